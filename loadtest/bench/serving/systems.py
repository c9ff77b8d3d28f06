"""What is measured side by side: each system is something that answers a text, or one part of answering it."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
from pymilvus import AsyncMilvusClient
from tritonclient.grpc.aio import InferenceServerClient, InferInput

from loadtest.bench.bare_search import bare_search
from loadtest.bench.http_connection import Connection
from loadtest.bench.serving.collections import served
from loadtest.bench.serving.sizes import LIMIT
from loadtest.bench.serving.stack import MILVUS, gateway_name, triton_name
from vitrine.domain import Deadline, Vectors
from vitrine.embedding.contract import TEXT_MODEL, ModelContract
from vitrine.embedding.tokenizer import Tokenizer, pad_to_bucket
from vitrine.vectorstore.collection import CollectionInfo
from vitrine.vectorstore.connection import MilvusConnection
from vitrine.vectorstore.searcher import VectorSearcher

CALL_TIMEOUT_S: Final = 30.0
RECIPE: Final = "recipe"
MILVUS_ALONE: Final = "Milvus alone"
MILVUS_BY_GATEWAYS_CALL: Final = "Milvus alone, the gateway's call"

Call: TypeAlias = Callable[[int], Awaitable[object]]
"""Asks for the text of a row; gives an answer as it came."""
Rows: TypeAlias = npt.NDArray[np.int64]
Ids: TypeAlias = npt.NDArray[np.int32]


def triton_alone(precision: str) -> str:
    """The system's name."""
    return f"Triton alone, {precision}"


def gateway(precision: str, cache: str) -> str:
    """The system's name."""
    return f"gateway {cache}, {precision}"


@dataclass(frozen=True)
class System:
    """One of the systems.

    Args:
        name: for people.
        precision: of the text model that its answers come from; empty where any will do.
        processes: that work for it, the generator of load apart.
        caller: gives one caller, who asks for one text at a time.
        rows: which texts are asked under load, in this order and over again from the start.
        ids_in: the ids of an answer's hits, best first; None where the answer has none.
        seconds_in: the time that an answer says it took, where that is truer than the caller's clock.
        most_callers: at once; 0: not loaded at all, only asked in turns.
    """

    name: str
    precision: str
    processes: tuple[str, ...]
    caller: Callable[[], AbstractAsyncContextManager[Call]]
    rows: Rows
    ids_in: Callable[[Any], list[str]] | None = None
    seconds_in: Callable[[Any], float] | None = None
    most_callers: int = 1_024


def tokens_of(repository: Path, contract: ModelContract, texts: Sequence[str]) -> list[Ids]:
    """What the gateway sends for each text: token ids in the smallest bucket that holds them, int32 [1, bucket]."""
    tokenizer = Tokenizer.load(repository, contract)
    return [pad_to_bucket([tokens], tokenizer.buckets)[0].ids for tokens in tokenizer.encode(texts)]


def triton_system(precision: str, client: InferenceServerClient, tokens: Sequence[Ids], rows: Rows) -> System:
    """The text model by Triton's own client: token ids of int32 [1, bucket] by row of the text."""

    async def embed(row: int) -> object:
        tensor = InferInput("input_ids", list(tokens[row].shape), "INT32")
        tensor.set_data_from_numpy(tokens[row])
        answer = await client.infer(TEXT_MODEL, [tensor], client_timeout=CALL_TIMEOUT_S)
        return answer.as_numpy("embedding")

    return System(triton_alone(precision), precision, (triton_name(precision),), _shared(embed), rows)


def milvus_system(client: AsyncMilvusClient, collection: CollectionInfo, vectors: Vectors, rows: Rows) -> System:
    """The search by Milvus's own client, with the fields that the gateway asks for; rows of `vectors` are asked."""
    search = bare_search(client, collection, LIMIT)

    async def ask(row: int) -> object:
        return await search(vectors[row])

    return System(MILVUS_ALONE, "", (MILVUS,), _shared(ask), rows, lambda hits: [hit["id"] for hit in hits[0]])


def own_call_system(connection: MilvusConnection, collection: CollectionInfo, vectors: Vectors, rows: Rows) -> System:
    """The same search by the call that the gateway makes, which is leaner than the client's."""
    searcher = VectorSearcher(connection)

    async def ask(row: int) -> object:
        return await searcher.search(
            collection.name,
            vectors[row],
            limit=LIMIT,
            index=collection.index,
            fields=collection.fields,
            deadline=Deadline.after(CALL_TIMEOUT_S),
        )

    return System(
        MILVUS_BY_GATEWAYS_CALL,
        "",
        (MILVUS,),
        _shared(ask),
        rows,
        lambda hits: [hit.id for hit in hits],
        most_callers=0,
    )


def gateway_system(
    precision: str, cache: str, url: str, texts: Sequence[str], rows: Rows, collection: str | None = None
) -> System:
    """The whole answer over HTTP, each caller on its own connection; `collection` where it is not the usual one."""
    path = search_path(collection or served(precision))

    @asynccontextmanager
    async def caller() -> AsyncIterator[Call]:
        connection = await Connection.open(url)

        async def ask(row: int) -> object:
            return await connection.send(connection.request("POST", path, search_body(texts[row])))

        try:
            yield ask
        finally:
            connection.close()

    processes = (gateway_name(precision, cache), triton_name(precision), MILVUS)
    name = gateway(precision, cache) if collection is None else f"{gateway(precision, cache)}, {collection}"
    return System(name, precision, processes, caller, rows, ids_in_body)


def search_path(collection: str) -> str:
    """The route that searches a collection."""
    return f"/v1/collections/{collection}/search"


def search_body(text: str) -> dict[str, object]:
    """What is asked of the gateway."""
    return {"query": text, "limit": LIMIT}


def ids_in_body(body: bytes) -> list[str]:
    """Ids of the hits in a gateway's answer."""
    return [hit["id"] for hit in json.loads(body)["hits"]]


def _shared(call: Call) -> Callable[[], AbstractAsyncContextManager[Call]]:
    """Callers of a client that takes many calls at once."""

    @asynccontextmanager
    async def caller() -> AsyncIterator[Call]:
        yield call

    return caller
