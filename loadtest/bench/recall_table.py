"""What recall does each kind of index buy, for how much time and memory?

Fills a Milvus of its own with vectors that behave like CLIP's (see clip_like.py), or with kept embeddings of a real
catalogue, and for one index after the other: builds it, starts Milvus anew, loads it into an otherwise empty server,
and searches with texts (outside the cloud of the pictures) and with pictures that are no products, one search at a
time. Settings that need the same build take turns at each query. Recall is against exact search; latency is of the
text queries, with title, picture and group of ten hits.

    make engines
    python loadtest/bench/recall_table.py [--rows 105542] [--index hnsw:ef=64 ...] [--json FILE]
    python loadtest/bench/recall_table.py --from-kept DIR [--text-vectors FILE.npy]
    python loadtest/bench/recall_table.py --memory --rows 1000000 --json FILE    (no searches but a few)

Memory is what Milvus's process takes beyond an idle one, mapped files apart; with reranking it also maps the files of
whole vectors, which the last column tells.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from clip_like import Shop
from local_milvus import LocalMilvus, local_milvus
from merged_index import LONGEST_S, merge_segments, replace_index

from vitrine.domain import CatalogueItem, Deadline, EmbeddedItem, Vectors
from vitrine.errors import VitrineError
from vitrine.settings import MilvusSettings, Settings
from vitrine.tuning.measure import Measurement, Trial, measure
from vitrine.tuning.queries import QueryKind, QuerySet
from vitrine.tuning.truth import ExactNeighbours, ExactSearch
from vitrine.tuning.written import parse_written
from vitrine.vectorstore.admin import CollectionAdmin
from vitrine.vectorstore.collection import CollectionInfo, CollectionSpec
from vitrine.vectorstore.connection import MilvusConnection
from vitrine.vectorstore.index_params import RERANK, Flat, IndexParams
from vitrine.vectorstore.searcher import VectorSearcher
from vitrine.vectorstore.writer import CollectionWriter

KS = (10, 100)
DEFAULT = (
    "flat",
    *(f"hnsw:ef={ef}" for ef in (16, 32, 64, 128, 256, 512)),
    *(f"ivf_flat:nprobe={nprobe}" for nprobe in (16, 64, 128)),
    *(f"ivf_sq8:nprobe={nprobe}" for nprobe in (16, 64, 128)),
    "ivf_pq:m=8,nprobe=20",
    "ivf_pq:m=8,nprobe=128",
    "ivf_pq:m=8,nprobe=20,rerank=10",
    "ivf_pq:m=8,nprobe=128,rerank=20",
    "ivf_pq:m=64,nprobe=64",
    "ivf_pq:m=64,nprobe=64,rerank=10",
    "ivf_pq:m=64,nprobe=128,rerank=10",
)
_BATCH = 4_096
_TOUCHES = 10


@dataclass(frozen=True)
class Data:
    """What is searched and what is searched for."""

    source: str
    ids: list[str]
    vectors: Vectors
    queries: Mapping[QueryKind, QuerySet]

    def truths(self) -> dict[QueryKind, ExactNeighbours]:
        """Exact neighbours of every query."""
        truths = {}
        for kind, queries in self.queries.items():
            search = ExactSearch(queries, max(KS))
            search.take(self.ids, self.vectors)
            truths[kind] = search.neighbours()
        return truths


@dataclass
class Row:
    """One setting of one build."""

    index: str
    settings: dict[str, Any]
    recall: dict[str, dict[int, float]] = field(default_factory=dict)
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    searches: int = 0


@dataclass
class Build:
    """One build and all that was measured of it; bytes are None where the server is not ours."""

    index_type: str
    params: dict[str, Any]
    insert_s: float = 0.0
    build_s: float = 0.0
    load_s: float = 0.0
    memory_bytes: int | None = None
    rerank_mapped_bytes: int | None = None
    rows: list[Row] = field(default_factory=list)


def made_up(rows: int, queries: int, seed: int) -> Data:
    """Vectors of a made-up shop; pictures to search with are drawn like its products, but are none of them."""
    shop = Shop(seed=seed)
    pictures, texts = shop.pictures(rows + queries), shop.texts(queries)
    sets = {QueryKind.TEXT: _query_set(QueryKind.TEXT, texts)}
    sets[QueryKind.IMAGE] = _query_set(QueryKind.IMAGE, pictures[rows:])
    return Data(f"made-up vectors, seed {seed}", [f"{row:010d}" for row in range(rows)], pictures[:rows], sets)


def kept(folder: Path, rows: int, queries: int, seed: int, texts: Path | None) -> Data:
    """Kept embeddings of a catalogue; pictures to search with are held out from them by chance."""
    parts = sorted(folder.glob("part-*.parquet"))
    if not parts:
        raise SystemExit(f"{folder} has no kept embeddings (part-000001.parquet, ...).")
    tables = [pq.read_table(part, columns=["id", "embedding"]) for part in parts]
    found: dict[str, Vectors] = {}
    for table in tables:
        flat = table["embedding"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
        vectors = flat.reshape(table.num_rows, -1).astype(np.float32)
        found.update(zip(table["id"].to_pylist(), vectors, strict=True))
    ids = np.random.default_rng(seed).permutation(sorted(found))[: rows + queries].tolist()
    if len(ids) <= 2 * queries:
        raise SystemExit(f"{folder} keeps {len(ids)} embeddings: too few for {queries} queries.")
    held, products = ids[:queries], ids[queries:]
    sets = {QueryKind.IMAGE: _query_set(QueryKind.IMAGE, np.stack([found[one] for one in held]))}
    if texts is not None:
        sets[QueryKind.TEXT] = _query_set(QueryKind.TEXT, np.load(texts).astype(np.float32)[:queries])
    return Data(f"kept embeddings, seed {seed}", products, np.stack([found[one] for one in products]), sets)


def _query_set(kind: QueryKind, vectors: Vectors) -> QuerySet:
    return QuerySet(kind, vectors, ("",) * len(vectors))


def builds_of(written: Sequence[str]) -> list[list[IndexParams]]:
    """Settings that need the same build, together."""
    groups: dict[str, list[IndexParams]] = {}
    for index in map(parse_written, written):
        groups.setdefault(json.dumps([index.index_type, index.build_params()]), []).append(index)
    return list(groups.values())


class Bench:
    """Builds and measures on one server.

    Args:
        server: ours, or None for one that is given by its address.
        settings: lead to it.
        rounds: how often each text query is timed; 0: a few searches that make Milvus read what it needs, and no more.
    """

    def __init__(self, server: LocalMilvus | None, settings: MilvusSettings, data: Data, rounds: int) -> None:
        self._server = server
        self._settings = settings
        self._data = data
        self._truths = data.truths() if rounds else {}
        self._rounds = rounds

    async def run(self, indexes: Sequence[IndexParams]) -> Build:
        """One build and every setting of it."""
        build = Build(indexes[0].index_type, indexes[0].build_params())
        name = f"bench_recall_{time.time_ns():x}"
        try:
            async with await MilvusConnection.open(self._settings) as connection:
                await self._fill(connection, name, indexes[0], build)
            idle = self._restart()
            async with await MilvusConnection.open(self._settings) as connection:
                await self._measure(connection, name, indexes, build, idle)
        finally:
            async with await MilvusConnection.open(self._settings) as connection:
                await CollectionAdmin(connection).drop(name)
        return build

    async def _fill(self, connection: MilvusConnection, name: str, index: IndexParams, build: Build) -> None:
        admin, data = CollectionAdmin(connection), self._data
        # Of FLAT nothing is built: another index would be built of each small segment, and again of each larger one
        # that Milvus merges them into, which is most of the work for a million vectors.
        info = await admin.create(CollectionSpec(name, data.vectors.shape[1], (), Flat(), "0" * 64, "bench"))
        await admin.release(name)  # nobody searches while it is built
        writer = CollectionWriter(connection, info)
        began = time.perf_counter()
        for start in range(0, len(data.ids), _BATCH):
            ids = data.ids[start : start + _BATCH]
            await writer.upsert([_item(*one) for one in zip(ids, data.vectors[start : start + _BATCH], strict=True)])
        build.insert_s = time.perf_counter() - began
        tell = _telling(f"{index.index_type} {build.params}")
        await writer.flush()
        await merge_segments(connection, name)
        began = time.perf_counter()
        await replace_index(connection, name, index)
        await admin.wait_index_built(name, on_progress=tell)
        build.build_s = time.perf_counter() - began

    def _restart(self) -> int | None:
        """Starts our server anew, so that nothing of the build is left in its memory; the memory it takes idle."""
        if self._server is None:
            return None
        self._server.stop()
        self._server.start()
        return self._server.settled_memory()

    async def _measure(
        self, connection: MilvusConnection, name: str, indexes: Sequence[IndexParams], build: Build, idle: int | None
    ) -> None:
        admin = CollectionAdmin(connection)
        info = await _described(admin, name)
        began = time.perf_counter()
        await admin.load(name)
        await admin.wait_index_served(name, on_progress=_telling(f"load {build.index_type}"))
        build.load_s = time.perf_counter() - began
        plain = [index for index in indexes if not index.settings().get(RERANK)]
        reranked = [index for index in indexes if index.settings().get(RERANK)]
        if plain:
            build.rows += await self._search(connection, info, plain)
        else:
            await self._touch(connection, [Trial("first", info.name, indexes[0], {RERANK: 0})])
        if self._server is not None and idle is not None:
            build.memory_bytes = max(0, self._server.settled_memory() - idle)
        if reranked:
            before = 0 if self._server is None else self._server.mapped()
            build.rows += await self._search(connection, info, reranked)
            build.rerank_mapped_bytes = None if self._server is None else max(0, self._server.mapped() - before)

    async def _search(
        self, connection: MilvusConnection, info: CollectionInfo, indexes: Sequence[IndexParams]
    ) -> list[Row]:
        trials = [Trial(written(index), info.name, index) for index in indexes]
        rows = {trial.label: Row(trial.label, trial.index.settings()) for trial in trials}
        if not self._rounds:
            await self._touch(connection, trials)
            return list(rows.values())
        for kind, queries in self._data.queries.items():
            timed = kind is QueryKind.TEXT or QueryKind.TEXT not in self._data.queries
            measured = await measure(
                VectorSearcher(connection),
                trials,
                queries,
                self._truths[kind],
                ks=KS,
                rounds=self._rounds if timed else 1,
                deadline=Deadline.after(LONGEST_S),
            )
            for one in measured:
                _note(rows[one.trial.label], kind, one, timed=timed)
        return list(rows.values())

    async def _touch(self, connection: MilvusConnection, trials: Sequence[Trial]) -> None:
        vectors = next(iter(self._data.queries.values())).vectors[:_TOUCHES]
        for trial in trials:
            await VectorSearcher(connection).neighbours(
                trial.collection,
                vectors,
                limit=KS[0],
                index=trial.index,
                fields=(),
                params=trial.params,
                deadline=Deadline.after(60),
            )


def _note(row: Row, kind: QueryKind, measured: Measurement, *, timed: bool) -> None:
    row.recall[kind.value] = {k: measured.recall(k) for k in KS}
    if timed:
        row.p50_ms, row.p99_ms = measured.latency_ms(50), measured.latency_ms(99)
        row.searches = measured.latencies_ms.size


async def _described(admin: CollectionAdmin, name: str) -> CollectionInfo:
    """A server that just started may not know its collections for a moment."""
    deadline = Deadline.after(60)
    while True:
        try:
            return replace(await admin.describe(name, deadline, counted=False), loaded=True)
        except VitrineError:
            deadline.remaining()
            await asyncio.sleep(0.5)


def _item(item_id: str, vector: Vectors) -> EmbeddedItem:
    return EmbeddedItem(CatalogueItem(item_id, Path("x"), f"images/{item_id}.jpg", f"Item {item_id}", "", {}), vector)


def written(index: IndexParams) -> str:
    """The kind, how finely it is cut, what else differs from its defaults, and the settings of its searches."""
    settings, defaults = index.settings(), type(index)().settings()
    told = {name: settings[name] for name in ("M", "m", "nlist") if name in settings}
    told |= {
        name: value for name, value in settings.items() if value != defaults[name] and name not in index.search_names
    }
    told |= {name: settings[name] for name in index.search_names if name != RERANK or settings[name]}
    return f"{index.index_type} {', '.join(f'{name} {value}' for name, value in told.items())}".strip()


def _telling(what: str) -> Callable[[str, float], None]:
    last = 0.0

    def tell(doing: str, share: float) -> None:
        nonlocal last
        if time.monotonic() - last > 10:
            last = time.monotonic()
            print(f"{what}: {share:.0%}", file=sys.stderr, flush=True)

    return tell


def table(builds: Sequence[Build], kinds: Sequence[QueryKind]) -> Iterator[str]:
    """The figures as Markdown."""
    recalls = [f"{kind.value} recall@{k}" for kind in kinds for k in KS]
    heads = ["index", *recalls, "p50 ms", "p99 ms", "build s", "memory MiB"]
    yield "| " + " | ".join(heads) + " |"
    yield "|---|" + "---:|" * (len(heads) - 1)
    for build in builds:
        for row in build.rows:
            told = row.recall
            figures = [f"{told[kind.value][k]:.3f}" if kind.value in told else "-" for kind in kinds for k in KS]
            figures += [f"{row.p50_ms:.1f}", f"{row.p99_ms:.1f}"] if row.searches else ["-", "-"]
            figures += [f"{build.build_s:.0f}", _memory(build, row)]
            yield "| " + " | ".join([row.index, *figures]) + " |"


def _memory(build: Build, row: Row) -> str:
    if build.memory_bytes is None:
        return "-"
    told = f"{build.memory_bytes / 2**20:.0f}"
    if row.settings.get(RERANK) and build.rerank_mapped_bytes is not None:
        told += f" + {build.rerank_mapped_bytes / 2**20:.0f} mapped"
    return told


def main() -> None:
    arguments = _arguments()
    data = (
        kept(arguments.from_kept, arguments.rows, arguments.queries, arguments.seed, arguments.text_vectors)
        if arguments.from_kept
        else made_up(arguments.rows, arguments.queries, arguments.seed)
    )
    with ExitStack() as stack:
        server = None if arguments.milvus else stack.enter_context(local_milvus(Settings().local.engines_dir))
        settings = Settings().milvus.model_copy(
            update={"uri": server.uri if server else arguments.milvus, "admin_timeout_s": LONGEST_S}
        )
        rounds = 0 if arguments.memory else arguments.rounds
        bench = Bench(server, settings, data, rounds)
        builds: list[Build] = []
        for indexes in builds_of(arguments.index or DEFAULT):
            builds.append(asyncio.run(bench.run(indexes)))
            print(f"{builds[-1].index_type} {builds[-1].params} done", file=sys.stderr, flush=True)
            if arguments.json:  # after each: a run of hours may not come to its end
                _write(arguments.json, data, arguments.queries, rounds, builds)
    print("\n".join(table(builds, list(data.queries))))
    print(f"\n{len(data.ids)} vectors of {data.vectors.shape[1]} ({data.source}), {arguments.queries} queries a kind.")


def _write(path: Path, data: Data, queries: int, rounds: int, builds: Sequence[Build]) -> None:
    report = {
        "rows": len(data.ids),
        "dimension": data.vectors.shape[1],
        "source": data.source,
        "queries": queries,
        "rounds": rounds,
        "builds": [asdict(build) for build in builds],
    }
    path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=105_542)
    parser.add_argument("--queries", type=int, default=400, help="of each kind")
    parser.add_argument("--rounds", type=int, default=3, help="how often each text query is timed")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--index", action="append", help="hnsw:M=16,ef=64; repeatable; by default a whole table")
    parser.add_argument("--from-kept", type=Path, help="folder of kept embeddings instead of made-up vectors")
    parser.add_argument("--text-vectors", type=Path, help="with --from-kept: float32 [n, dim] of texts, a .npy file")
    parser.add_argument("--memory", action="store_true", help="measure building and memory, not recall and latency")
    parser.add_argument("--milvus", default="", help="address of a running Milvus; memory is not measured then")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    if arguments.queries < 1 or arguments.rows <= max(KS) or arguments.rounds < 1:
        parser.error(f"there must be more than {max(KS)} rows, and at least one query and round")
    return arguments


if __name__ == "__main__":
    main()
