"""What does a search, and what does building an index, cost Milvus in CPU time?

`vitrine plan` predicts query nodes from CPU time a search. Its constants (services/vitrine/tuning/costs.py) come from
here: collections of clustered unit vectors are built on a local Milvus that this starts itself, each is loaded afresh
and searched one call at a time, and the CPU seconds that the Milvus process used meanwhile are counted, less what it
uses while idle. CPU time hardly depends on what else the machine does, wall-clock time would.

    python loadtest/bench/search_cost.py [--rows 20000 60000] [--dimension 512] [--searches 400] [--json FILE]

With the table come least-squares constants of each kind of work, by the formulas of `vitrine plan`.
"""

import argparse
import asyncio
import itertools
import json
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import psutil

from vitrine.domain import CatalogueItem, Deadline, EmbeddedItem, Vectors
from vitrine.local.engines import Engines
from vitrine.local.milvus import MilvusService
from vitrine.local.ports import choose_free
from vitrine.local.process import Child
from vitrine.local.stack import new_run
from vitrine.settings import LocalSettings, MilvusSettings, read_settings
from vitrine.tuning.costs import Work, build_work_of, work_of
from vitrine.tuning.sizing import Extent
from vitrine.vectorstore.admin import CollectionAdmin
from vitrine.vectorstore.collection import CollectionInfo, CollectionSpec
from vitrine.vectorstore.connection import MilvusConnection
from vitrine.vectorstore.index_params import Flat, Hnsw, IndexParams, IvfFlat, IvfPq, IvfSq8
from vitrine.vectorstore.searcher import VectorSearcher
from vitrine.vectorstore.writer import CollectionWriter

START_TIMEOUT_S = 120.0
BUILD_TIMEOUT_S = 900.0
IDLE_S = 5.0
QUIET_CORES = 0.1
UPSERT_ROWS = 2_000
LIMIT = 10
PARTS = 10
BUILDS: tuple[tuple[IndexParams, tuple[dict[str, int], ...]], ...] = (
    (Flat(), ({},)),
    (Hnsw(), ({"ef": 16}, {"ef": 64}, {"ef": 256})),
    (Hnsw(M=32), ({"ef": 64},)),
    (IvfFlat(nlist=256), ({"nprobe": 8}, {"nprobe": 64}, {"nprobe": 256})),
    (IvfSq8(nlist=256), ({"nprobe": 8}, {"nprobe": 64}, {"nprobe": 256})),
    (IvfPq(nlist=256, m=8), ({"nprobe": 64},)),
    (IvfPq(nlist=256, m=32), ({"nprobe": 8}, {"nprobe": 64}, {"nprobe": 256})),
)


@dataclass(frozen=True)
class Cost:
    """CPU time of one setting.

    `build_core_s` covers compaction and whatever else Milvus does between the last write and a finished index.
    """

    kind: str
    settings: str
    rows: int
    dimension: int
    build_core_s: float
    search_cpu_ms: float
    search_wall_ms: float
    work: Work
    build_work: Work


def clustered(rows: int, dimension: int, seed: int) -> Vectors:
    """Unit vectors around common centres, spread as CLIP's picture embeddings are: cosines of 0.5 to 0.9 within one."""
    draw = np.random.default_rng(seed)
    centres = np.random.default_rng(7).normal(size=(200, dimension))
    chosen = centres[draw.integers(len(centres), size=rows)]
    found = chosen + draw.normal(scale=0.8, size=(rows, dimension))
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True), np.float32)


@contextmanager
def milvus(folder: Path, local: LocalSettings) -> Iterator[psutil.Process]:
    """A Milvus of its own, ready."""
    service = MilvusService(local, Engines.locate(local.engines_dir), folder / "milvus")
    child = Child(service.prepare(), folder / "milvus.log", new_run())
    try:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not service.is_ready():
            if child.exit_status() is not None or time.monotonic() > deadline:
                raise SystemExit(f"Milvus did not start; see {folder / 'milvus.log'}.")
            time.sleep(0.2)
        yield psutil.Process(child.pid)
    finally:
        child.terminate()
        deadline = time.monotonic() + 15
        while child.exit_status() is None and time.monotonic() < deadline:
            time.sleep(0.1)
        child.kill()
        service.clean_up()


class Meter:
    """CPU seconds of one process, less its idle rate."""

    def __init__(self, process: psutil.Process) -> None:
        self._process = process
        self._idle = 0.0

    async def settle(self) -> None:
        """Measures the idle rate, once it has come down."""
        self._idle = await self.calm()

    async def calm(self) -> float:
        """Waits until hardly anything is done in the background, a minute at most; cores in use then."""
        rate = 0.0
        for _ in range(12):
            before = self._used()
            await asyncio.sleep(IDLE_S)
            rate = (self._used() - before) / IDLE_S
            if rate < QUIET_CORES:
                break
        return rate

    @contextmanager
    def counting(self) -> Iterator[list[float]]:
        """Gives a list that receives CPU seconds and wall-clock seconds of the block."""
        told: list[float] = []
        before, began = self._used(), time.monotonic()
        yield told
        elapsed = time.monotonic() - began
        told += [max(0.0, self._used() - before - self._idle * elapsed), elapsed]

    def _used(self) -> float:
        times = self._process.cpu_times()
        return times.user + times.system


async def measure(
    connection: MilvusConnection, meter: Meter, vectors: Vectors, queries: Vectors, searches: int
) -> list[Cost]:
    """Every build and search setting over one set of vectors."""
    admin, costs = CollectionAdmin(connection), list[Cost]()
    rows, dimension = vectors.shape
    for number, (index, settings) in enumerate(BUILDS):
        spec = CollectionSpec(f"search_cost_{rows}_{number}", dimension, (), index, "f" * 64, "none")
        info = await admin.create(spec)
        writer = CollectionWriter(connection, info)
        for start in range(0, rows, UPSERT_ROWS):
            await writer.upsert(_items(vectors[start : start + UPSERT_ROWS], start))
        until = Deadline.after(BUILD_TIMEOUT_S)
        with meter.counting() as built:
            await writer.flush()
            await admin.wait_index_built(info.name, deadline=until)
            await meter.calm()
        # Loaded afresh, its segments come with their index; otherwise they are compared one by one for a while.
        await admin.release(info.name)
        await admin.load(info.name)
        await meter.settle()
        for params in settings:
            cpu, wall = await _searched(connection, meter, info, queries, params, searches)
            searched = type(index).parse({**index.settings(), **params})
            named = ", ".join(f"{name}={value}" for name, value in searched.settings().items())
            extent = Extent(rows, dimension)
            work, build_work = work_of(searched, extent, LIMIT), build_work_of(index, extent)
            cost = Cost(index.index_type, named, rows, dimension, built[0], cpu * 1e3, wall * 1e3, work, build_work)
            costs.append(cost)
            print(
                f"{cost.kind:9} {rows:7} {named:44} build {cost.build_core_s:7.1f} core-s"
                f"  search {cost.search_cpu_ms:7.3f} CPU ms {cost.search_wall_ms:7.2f} ms",
                flush=True,
            )
        await admin.drop(info.name)
    return costs


async def _searched(
    connection: MilvusConnection,
    meter: Meter,
    info: CollectionInfo,
    queries: Vectors,
    params: dict[str, int],
    searches: int,
) -> tuple[float, float]:
    """CPU and wall-clock seconds of one search: medians of parts, as Milvus compacts and collects when it likes."""
    searcher = VectorSearcher(connection)

    async def run(count: int) -> None:
        for query in itertools.islice(itertools.cycle(queries), count):
            await searcher.search(
                info.name, query, limit=LIMIT, index=info.index, fields=(), params=params, deadline=Deadline.after(30)
            )

    await run(20)
    parts: list[list[float]] = []
    for _ in range(PARTS):
        with meter.counting() as used:
            await run(max(1, searches // PARTS))
        parts.append([seconds / max(1, searches // PARTS) for seconds in used])
    cpu, wall = (statistics.median(column) for column in zip(*parts, strict=True))
    return cpu, wall


def search_constants(costs: Sequence[Cost]) -> dict[str, float]:
    """Nanoseconds of each kind of work, and milliseconds of any search, that fit the measured costs best."""
    return _fitted([cost.work for cost in costs], [cost.search_cpu_ms for cost in costs], "search_ms")


def build_constants(costs: Sequence[Cost]) -> dict[str, float]:
    """Nanoseconds of each kind of work, and milliseconds of any build."""
    builds = list({(cost.build_core_s, cost.kind): cost for cost in costs}.values())
    return _fitted([cost.build_work for cost in builds], [cost.build_core_s * 1e3 for cost in builds], "build_ms")


def _fitted(works: Sequence[Work], measured_ms: Sequence[float], fixed: str) -> dict[str, float]:
    """Least squares of relative errors, so that cheap settings weigh as much as dear ones; nothing below zero."""
    names = sorted({name for work in works for name in work})
    rows = np.array([[1.0, *(work.get(name, 0.0) * 1e-6 for name in names)] for work in works])
    measured = np.maximum(np.array(measured_ms), 1e-3)
    kept, found = list(range(rows.shape[1])), np.zeros(rows.shape[1])
    while kept:
        found[:] = 0.0
        found[kept] = np.linalg.lstsq(rows[:, kept] / measured[:, None], np.ones(len(works)), rcond=None)[0]
        worst = min(kept, key=lambda column: found[column])
        if found[worst] >= 0:
            break
        kept.remove(worst)
    return dict(zip([fixed, *names], found.tolist(), strict=True))


def _items(vectors: Vectors, start: int) -> list[EmbeddedItem]:
    return [
        EmbeddedItem(CatalogueItem(f"{start + row:010}", Path("x"), "", "", "", {}), vector)
        for row, vector in enumerate(vectors)
    ]


async def run(arguments: argparse.Namespace) -> list[Cost]:
    """Measures and prints as it goes."""
    costs: list[Cost] = []
    milvus_port, metrics, etcd = choose_free(3)
    engines = read_settings().local.engines_dir
    with tempfile.TemporaryDirectory(prefix="search_cost_", dir=arguments.state) as folder:
        local = LocalSettings(engines_dir=engines, milvus_port=milvus_port, milvus_metrics_port=metrics, etcd_port=etcd)
        with milvus(Path(folder), local) as process:
            settings = MilvusSettings(uri=f"http://127.0.0.1:{milvus_port}", admin_timeout_s=BUILD_TIMEOUT_S)
            async with await MilvusConnection.open(settings) as connection:
                for rows in arguments.rows:
                    vectors = clustered(rows, arguments.dimension, seed=1)
                    queries = clustered(200, arguments.dimension, seed=2)
                    costs += await measure(connection, Meter(process), vectors, queries, arguments.searches)
    return costs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[20_000, 60_000])
    parser.add_argument("--dimension", type=int, default=512)
    parser.add_argument("--searches", type=int, default=400)
    parser.add_argument("--state", help="folder for Milvus's data; by default the system's temporary one")
    parser.add_argument("--json", help="also write the figures here")
    arguments = parser.parse_args()
    costs = asyncio.run(run(arguments))
    fitted = {**search_constants(costs), **build_constants(costs)}
    print("\nconstants: " + ", ".join(f"{name} {value:.4g}" for name, value in fitted.items()))
    if arguments.json:
        report = {"costs": [asdict(cost) for cost in costs], "constants": fitted}
        Path(arguments.json).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
