"""Collections into memory, one after the other, and the search setting that a run keeps to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from loadtest.bench.http_connection import BenchError
from loadtest.bench.local_milvus import LocalMilvus
from loadtest.bench.serving.collections import RECIPE, adopt, load, served
from loadtest.bench.serving.preparing import Prepared
from loadtest.bench.serving.recall import MOST_EF, SHOP, TIMED, Found, RecallOf, truth_of
from loadtest.bench.serving.sizes import LIMIT, PRECISIONS, RECALL, Size
from vitrine.domain import Vectors
from vitrine.settings import MilvusSettings
from vitrine.tuning.truth import ExactNeighbours
from vitrine.vectorstore.admin import CollectionAdmin
from vitrine.vectorstore.collection import CollectionInfo
from vitrine.vectorstore.connection import MilvusConnection


@dataclass(frozen=True)
class Tuned:
    """Loaded collections.

    Args:
        ef: HNSW's setting, now the default of every collection that gateways search.
        collections: by precision.
        recall: at that setting, by collection and kind of text.
        truths: exact neighbours of the short texts, by the precision of the model that embedded them.
        memory_mb: anonymous memory of Milvus, `idle` and then more with each collection.
    """

    ef: int
    collections: Mapping[str, CollectionInfo]
    recall: Mapping[str, Mapping[str, Found]]
    truths: Mapping[str, ExactNeighbours]
    memory_mb: Mapping[str, float]


async def load_and_tune(prepared: Prepared, size: Size, milvus: LocalMilvus) -> Tuned:
    """Loads what gateways and recipe search, and finds the least ef that suffices for every kind of text.

    Raises:
        BenchError: no ef does.
    """
    products = prepared.products
    queries = {precision: {SHOP: products.shop_texts, **prepared.vectors[precision]} for precision in PRECISIONS}
    truths = {
        precision: {kind: truth_of(vectors, products.vectors) for kind, vectors in kinds.items()}
        for precision, kinds in queries.items()
    }
    settings = MilvusSettings(uri=milvus.uri)
    async with await MilvusConnection.open(settings) as connection:
        memory = {"idle": milvus.settled_memory(size.settle_s) / 1e6}
        for name in (RECIPE, *map(served, PRECISIONS)):
            await load(connection, name)
            memory[name] = milvus.settled_memory(size.settle_s) / 1e6 - sum(memory.values())
        admin = CollectionAdmin(connection)
        searches = {
            precision: RecallOf(
                connection, await admin.describe(served(precision)), queries[precision], truths[precision]
            )
            for precision in PRECISIONS
        }
        ef = await _least_ef(list(searches.values()))
        recall = {served(precision): await search.at(ef) for precision, search in searches.items()}
        infos = {
            precision: await adopt(connection, served(precision), contract, ef)
            for precision, contract in prepared.contracts.items()
        }
    return Tuned(ef, infos, recall, {precision: kinds[TIMED] for precision, kinds in truths.items()}, memory)


async def _least_ef(searches: Sequence[RecallOf]) -> int:
    """The greatest of what each needs."""
    needed = [await search.least_ef() for search in searches]
    if None in needed:
        raise BenchError(f"No ef up to {MOST_EF} reaches a recall of {RECALL:g}.")
    return max(ef for ef in needed if ef is not None)


def agreement(vectors: Mapping[str, Vectors], truths: Mapping[str, ExactNeighbours]) -> dict[str, float]:
    """How near the reduced text model is to the one in fp32: mean cosine, and overlap of the ten nearest products."""
    exact, reduced = PRECISIONS[0], PRECISIONS[-1]
    cosines = np.einsum("ij,ij->i", vectors[exact], vectors[reduced])
    overlaps = [
        len(set(one[:LIMIT]) & set(other[:LIMIT])) / LIMIT
        for one, other in zip(truths[exact].ids, truths[reduced].ids, strict=True)
    ]
    return {"mean cosine": float(cosines.mean()), "top-10 overlap": float(np.mean(overlaps))}
