"""What does the gateway add to a query that it remembers?

A repeated query needs no model: what is left is one search in Milvus and the way of a request through HTTP. This asks a
running stack for both and for the whole, in turns, one call at a time, so that a disturbance of the machine hits all
alike:

- the search over HTTP, its query remembered;
- Milvus alone: the same vector, limit, index settings and fields, by pymilvus's client and by the gateway's own call,
  which is leaner;
- the empty route, /livez.

The search may take 1.2 times what a bare search in Milvus and the empty route take together. Bare means by pymilvus;
`--against own` compares with the gateway's own call.

    make demo
    python loadtest/bench/repeated_query.py [--rounds 2000] [--query "red floral dress"] [--json FILE]

Exit status: 0 when the ratio of medians is within the threshold, 1 when it is not, 2 when nothing could be measured.
"""

import argparse
import base64
import gc
import json
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import uvloop
from bare_search import bare_search
from http_connection import BenchError, Connection
from pymilvus import AsyncMilvusClient

from vitrine.domain import Deadline, Vectors
from vitrine.errors import VitrineError
from vitrine.settings import Settings
from vitrine.vectorstore.admin import CollectionAdmin
from vitrine.vectorstore.collection import ID
from vitrine.vectorstore.connection import MilvusConnection
from vitrine.vectorstore.searcher import VectorSearcher

CALL_TIMEOUT_S = 30.0
SEARCH, EMPTY = "repeated search", "empty route"
MILVUS = {"pymilvus": "Milvus, pymilvus", "own": "Milvus, own call"}
PARTS = 5

Call = Callable[[], Awaitable[object]]


@dataclass(frozen=True)
class Report:
    """What was measured: medians and 95th percentiles in milliseconds, by name.

    `ratios` are the search's median over those of Milvus and the empty route together, by who asks Milvus: of the whole
    run, then of its parts, each by itself, to show how steady it was.
    """

    query: str
    limit: int
    rounds: int
    rows: int
    p50: Mapping[str, float]
    p95: Mapping[str, float]
    ratios: Mapping[str, tuple[float, ...]]
    against: str
    threshold: float

    @property
    def passed(self) -> bool:
        return self.ratios[self.against][0] <= self.threshold


async def embedding_of(http: Connection, query: str) -> Vectors:
    """The query's vector as the gateway has it, float32 [dim]; from now on it is remembered."""
    body = {"model": "default", "input": query, "encoding_format": "base64"}
    answer = json.loads(await http.send(http.request("POST", "/v1/embeddings", body)))
    return np.frombuffer(base64.b64decode(answer["data"][0]["embedding"]), "<f4").astype(np.float32)


async def hits_counted(http: Connection) -> float:
    """How many texts the gateway has found in its cache so far."""
    text = (await http.send(http.request("GET", "/metrics"))).decode()
    name = 'vitrine_embedding_cache_requests_total{kind="text",outcome="hit"}'
    return next(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name))


async def measure(calls: Mapping[str, Call], rounds: int) -> dict[str, list[float]]:
    """Seconds of each call in each round; who begins changes from round to round."""
    names = list(calls)
    times: dict[str, list[float]] = {name: [] for name in names}
    warm = max(20, rounds // 10)
    gc.collect()
    gc.disable()
    try:
        for number in range(-warm, rounds):
            for step in range(len(names)):
                name = names[(number + step) % len(names)]
                began = time.perf_counter()
                await calls[name]()
                spent = time.perf_counter() - began
                if number >= 0:
                    times[name].append(spent)
    finally:
        gc.enable()
    return times


def ratios_of(times: Mapping[str, list[float]], milvus: str) -> tuple[float, ...]:
    """The search's median over what it is measured against: of the whole run, then of each part."""
    size = len(times[SEARCH]) // PARTS
    ranges = [slice(None), *(slice(part * size, (part + 1) * size) for part in range(PARTS))]
    return tuple(
        statistics.median(times[SEARCH][rounds])
        / (statistics.median(times[milvus][rounds]) + statistics.median(times[EMPTY][rounds]))
        for rounds in ranges
    )


async def run(settings: Settings, arguments: argparse.Namespace) -> Report:
    """One run against a running stack.

    Raises:
        BenchError: the stack is not there, or the query was not remembered after all.
    """
    limit = arguments.limit
    async with AsyncExitStack() as stack:
        try:
            http = await Connection.open(arguments.url)
            stack.callback(http.close)
            milvus = await stack.enter_async_context(await MilvusConnection.open(settings.milvus))
            collection = await CollectionAdmin(milvus).describe(arguments.collection)
        except (OSError, VitrineError) as error:
            raise BenchError(f"There is no running stack to measure (see `make demo`): {error}") from error
        client = AsyncMilvusClient(uri=settings.milvus.uri, token=settings.milvus.token.get_secret_value())
        stack.push_async_callback(client.close)
        vector = await embedding_of(http, arguments.query)
        searcher, bare = VectorSearcher(milvus), bare_search(client, collection, limit)
        search = http.request(
            "POST", f"/v1/collections/{arguments.collection}/search", {"query": arguments.query, "limit": limit}
        )
        livez = http.request("GET", "/livez")
        calls: dict[str, Call] = {
            SEARCH: lambda: http.send(search),
            MILVUS["pymilvus"]: lambda: bare(vector),
            MILVUS["own"]: lambda: searcher.search(
                collection.name,
                vector,
                limit=limit,
                index=collection.index,
                fields=collection.fields,
                deadline=Deadline.after(CALL_TIMEOUT_S),
            ),
            EMPTY: lambda: http.send(livez),
        }
        await require_the_same_hits(calls)
        before = await hits_counted(http)
        times = await measure(calls, arguments.rounds)
        if await hits_counted(http) - before < arguments.rounds:
            raise BenchError("The query was not remembered: is cache.max_bytes 0?")
    return Report(
        query=arguments.query,
        limit=limit,
        rounds=arguments.rounds,
        rows=collection.rows,
        p50={name: statistics.median(spent) * 1000 for name, spent in times.items()},
        p95={name: float(np.percentile(spent, 95)) * 1000 for name, spent in times.items()},
        ratios={who: ratios_of(times, name) for who, name in MILVUS.items()},
        against=arguments.against,
        threshold=arguments.threshold,
    )


async def require_the_same_hits(calls: Mapping[str, Call]) -> None:
    """What is compared must be the same work: all three find the same products in the same order."""
    answer: Any = json.loads(await calls[SEARCH]())  # type: ignore[arg-type]
    bare: Any = await calls[MILVUS["pymilvus"]]()
    own: Any = await calls[MILVUS["own"]]()
    found = [hit["id"] for hit in answer["hits"]]
    if found != [hit[ID] for hit in bare[0]] or found != [hit.id for hit in own]:
        raise BenchError("The gateway and Milvus find different products: is something else being written?")


def table(report: Report) -> str:
    """The report for people."""
    lines = ["| | p50 ms | p95 ms |", "|---|---|---|"]
    lines += [f"| {name} | {report.p50[name]:.2f} | {report.p95[name]:.2f} |" for name in report.p50]
    lines += ["", f"{report.rounds} rounds, limit {report.limit}, {report.rows} rows.", ""]
    for who, (whole, *parts) in report.ratios.items():
        steady = ", ".join(f"{ratio:.3f}" for ratio in parts)
        lines.append(f"{SEARCH} / ({MILVUS[who]} + {EMPTY}) = {whole:.3f} (by parts of the run: {steady})")
    verdict = "passed" if report.passed else "FAILED"
    lines.append(f"At most {report.threshold:g} against {MILVUS[report.against]}: {verdict}.")
    return "\n".join(lines)


def main() -> None:
    settings = Settings()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default=f"http://{settings.gateway.host}:{settings.gateway.port}")
    parser.add_argument("--collection", default=settings.gateway.default_collection)
    parser.add_argument("--query", default="red floral dress")
    parser.add_argument("--limit", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=2_000)
    parser.add_argument("--threshold", type=float, default=1.2)
    parser.add_argument(
        "--against", choices=list(MILVUS), default="pymilvus", help="whose call of Milvus is the measure"
    )
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    if arguments.rounds < PARTS:
        parser.error(f"--rounds is {PARTS} at least")
    try:
        report = uvloop.run(run(settings, arguments))
    except BenchError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)
    print(table(report))
    if arguments.json:
        arguments.json.write_text(json.dumps(asdict(report), indent=2) + "\n", encoding="utf-8")
    sys.exit(0 if report.passed else 1)


if __name__ == "__main__":
    main()
