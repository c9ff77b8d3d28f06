"""Tuning a real collection: 2,000 vectors under a graph so sparse that its present setting finds too little."""

import asyncio
import json
import os
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.fixtures.stack import RunningService, RunningStack
from vitrine.domain import CatalogueItem, Deadline, EmbeddedItem, FieldSpec, FieldType, Vectors
from vitrine.embedding.contract import ModelContract
from vitrine.errors import ContractMismatch, DeadlineExceeded, InvalidInput
from vitrine.local.gateway import environment_of
from vitrine.settings import Settings
from vitrine.tuning import tuner
from vitrine.tuning.plot import draw
from vitrine.tuning.queries import QueryKind
from vitrine.tuning.trial_builds import PREFIX, trial_build
from vitrine.tuning.tune_job import Tuned, TuneRequest, run_tune
from vitrine.tuning.tuner import Target
from vitrine.vectorstore.admin import CollectionAdmin
from vitrine.vectorstore.collection import CollectionInfo, CollectionSpec
from vitrine.vectorstore.connection import MilvusConnection
from vitrine.vectorstore.directory import CollectionDirectory
from vitrine.vectorstore.index_params import Flat, Hnsw, IvfFlat
from vitrine.vectorstore.searcher import VectorSearcher
from vitrine.vectorstore.writer import CollectionWriter

ROWS, DIMENSION = 2_000, 64
SPARSE = Hnsw(M=4, efConstruction=16, ef=10)
EASY_MS, IMPOSSIBLE_MS = 20_000.0, 0.1
SPEC_FIELDS = (FieldSpec("colour", FieldType.TEXT, max_bytes=16),)

Work = Callable[[MilvusConnection], Awaitable[Any]]


@pytest.fixture(autouse=True)
def few_timed_searches(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test here judges a latency: a tenth of the searches keeps them short."""
    monkeypatch.setattr(tuner, "TIMED_SEARCHES", 60)


@pytest.fixture(scope="module")
def settings(milvus_server: RunningService) -> Settings:
    return milvus_server.settings


def with_milvus(settings: Settings, work: Work) -> Any:
    """Runs `work` in an event loop of its own: the collection outlives the loops of its tests."""

    async def run() -> Any:
        async with await MilvusConnection.open(settings.milvus) as connection:
            return await work(connection)

    return asyncio.run(run())


@pytest.fixture(scope="module")
def sparse(settings: Settings) -> Iterator[str]:
    """An alias of the collection, searched by its index."""
    alias = f"tune_{secrets.token_hex(6)}"

    async def make(connection: MilvusConnection) -> None:
        admin = CollectionAdmin(connection)
        info = await admin.create(CollectionSpec(f"{alias}_v1", DIMENSION, SPEC_FIELDS, SPARSE, "f" * 64, "none"))
        writer = CollectionWriter(connection, info)
        await writer.upsert([item(row, vector) for row, vector in enumerate(vectors(ROWS))])
        await writer.flush()
        await admin.wait_index_built(info.name)
        await admin.release(info.name)
        await admin.load(info.name)
        await admin.point_alias(alias, info.name)

    async def remove(connection: MilvusConnection) -> None:
        admin = CollectionAdmin(connection)
        await admin.remove_alias(alias)
        await admin.drop(f"{alias}_v1")

    with_milvus(settings, make)
    yield alias
    with_milvus(settings, remove)


@pytest.fixture
async def connection(settings: Settings) -> AsyncIterator[MilvusConnection]:
    async with await MilvusConnection.open(settings.milvus) as connection:
        yield connection


def vectors(count: int, dimension: int = DIMENSION) -> Vectors:
    drawn = np.random.default_rng(3).normal(size=(count, dimension))
    return np.asarray(drawn / np.linalg.norm(drawn, axis=1, keepdims=True), np.float32)


def item(row: int, vector: Vectors) -> EmbeddedItem:
    told = CatalogueItem(f"{row:05}", Path("x"), f"{row}.jpg", f"Product {row}", "", {"colour": "red"})
    return EmbeddedItem(told, vector)


def request(alias: str, p99_ms: float = EASY_MS, **more: Any) -> TuneRequest:
    asked = {"queries": 120, "kind": QueryKind.IMAGE, "max_minutes": 5.0, **more}
    return TuneRequest(alias, Target(recall=0.95, p99_ms=p99_ms), **asked)


def silent(what: str, share: float) -> None:
    """Nobody watches."""


async def described(connection: MilvusConnection, alias: str) -> CollectionInfo:
    return await CollectionAdmin(connection).describe(alias)


def test_a_target_out_of_reach_changes_nothing_and_says_what_is_closest(settings: Settings, sparse: str) -> None:
    told = f"--p99-ms {IMPOSSIBLE_MS} --queries 80 --query-kind image --json"
    found = subprocess.run(
        [sys.executable, "-m", "vitrine.cli.app", "tune", sparse, *told.split()],
        env={**os.environ, **environment_of(settings)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert found.returncode == 1, found.stderr
    assert "target_not_reached: No search setting of" in found.stderr
    assert "Nothing was changed." in found.stderr
    answer = json.loads(found.stdout)
    assert (answer["written"], answer["chosen"], answer["checked"]) == (False, None, [])
    assert answer["queries"] == {"asked": "pictures of the collection", "tuning": 40, "held_out": 40}
    assert with_milvus(settings, lambda connection: described(connection, sparse)).index == SPARSE


async def test_the_least_setting_that_reaches_the_recall_becomes_the_default(
    settings: Settings, sparse: str, connection: MilvusConnection, tmp_path: Path
) -> None:
    directory = CollectionDirectory(CollectionAdmin(connection), ttl_s=0.1)
    assert (await directory.resolve(sparse, Deadline.after(10))).index == SPARSE
    tuned = await run_tune(request(sparse), settings, silent)
    assert tuned.written
    chosen = tuned.chosen
    assert chosen is not None
    assert chosen.point.least_recall >= 0.95
    assert chosen.recall >= 0.95
    assert below(tuned), "the least setting that was tried reaches it already"
    _looks_like_a_picture(tuned, tmp_path / "tune.png")
    # Whoever resolves the alias from now on searches with the choice, unless a search brings a setting of its own.
    await asyncio.sleep(0.1)
    index = (await directory.resolve(sparse, Deadline.after(10))).index
    assert index == chosen.point.index
    assert index.search_params({}, limit=10) == chosen.point.index.search_settings()
    assert index.search_params({"ef": 17}, limit=10) == {"ef": 17}
    assert await recall(connection, sparse, {}) > await recall(connection, sparse, {"ef": 10}) + 0.05


async def test_a_trial_build_is_measured_beside_and_leaves_nothing(
    settings: Settings, sparse: str, connection: MilvusConnection
) -> None:
    before = await described(connection, sparse)
    builds = (IvfFlat(nlist=16, nprobe=16),)
    tuned = await run_tune(request(sparse, dry_run=True, builds=builds), settings, silent)
    others = [point for point in tuned.points if not point.own]
    assert {point.index.index_type for point in others} == {"IVF_FLAT"}
    assert max(point.recall for point in others) == 1.0, "all lists searched is exact"
    assert (tuned.chosen is not None, tuned.written) == (True, False)
    assert await described(connection, sparse) == before, "a dry run changes nothing"
    assert await trials(connection) == []


async def test_a_trial_that_fails_is_dropped_and_holds_what_the_collection_holds(
    sparse: str, connection: MilvusConnection
) -> None:
    info = await described(connection, sparse)

    async def fail() -> None:
        async with trial_build(connection, info, Flat(), Deadline.after(60), silent) as copy:
            assert await CollectionAdmin(connection).count(copy.name) == ROWS
            searcher = VectorSearcher(connection)
            for name in (info.name, copy.name):
                found = await searcher.items_of(name, ["00007"], Deadline.after(10), fields=info.fields)
                assert found["00007"].fields == {"colour": "red"}
            raise InvalidInput("enough")

    with pytest.raises(InvalidInput, match="enough"):
        await fail()
    assert await trials(connection) == []


async def test_texts_are_embedded_by_the_model_of_the_collection_and_by_no_other(
    stack: RunningStack, connection: MilvusConnection, sparse: str, tmp_path: Path
) -> None:
    contract = ModelContract.load(stack.settings.model.repository)
    name = f"tune_{secrets.token_hex(6)}_v1"
    admin = CollectionAdmin(connection)
    spec = CollectionSpec(name, contract.dimension, SPEC_FIELDS, Flat(), contract.fingerprint, contract.model)
    try:
        info = await admin.create(spec)
        shown = vectors(90, contract.dimension)
        await CollectionWriter(connection, info).upsert([item(row, vector) for row, vector in enumerate(shown)])
        assert await admin.count(name) == 90
        texts = tmp_path / "texts.txt"
        texts.write_text("".join(f"red dress {number}\n" for number in range(60)), encoding="utf-8")
        for options, asked in (({}, "titles of products, as texts"), ({"texts": texts}, "texts of texts.txt")):
            # Thirty queries that find all of ten show a recall of 0.917.
            wanted = TuneRequest(name, Target(recall=0.9, p99_ms=EASY_MS), queries=60, **options)
            tuned = await run_tune(wanted, stack.settings, silent)
            assert (tuned.asked, tuned.queries) == (asked, (30, 30))
            assert tuned.chosen is not None
            assert (tuned.chosen.recall, tuned.chosen.point.index) == (1.0, Flat())
    finally:
        await admin.drop(name)
    with pytest.raises(ContractMismatch, match="was built with model fingerprint ffff"):
        await run_tune(request(sparse, kind=QueryKind.TEXT), stack.settings, silent)


async def test_a_tuning_that_runs_out_of_time_changes_nothing_and_says_so(
    settings: Settings, sparse: str, connection: MilvusConnection
) -> None:
    before = await described(connection, sparse)
    with pytest.raises(DeadlineExceeded, match=r"could not be tuned in 0\.01 minutes; nothing was changed"):
        await run_tune(request(sparse, max_minutes=0.01), settings, silent)
    assert await described(connection, sparse) == before


def below(tuned: Tuned) -> list[float]:
    return [point.recall for point in tuned.points if point.own and point.least_recall < 0.95]


async def trials(connection: MilvusConnection) -> list[str]:
    infos = await CollectionAdmin(connection).list(counted=False)
    return [info.name for info in infos if info.name.startswith(PREFIX)]


async def recall(connection: MilvusConnection, alias: str, params: dict[str, int]) -> float:
    """Of 40 queries that have no part in the collection."""
    info = await described(connection, alias)
    stored, queries = vectors(ROWS), vectors(ROWS + 40)[ROWS:]
    searcher, found = VectorSearcher(connection), 0
    for query in queries:
        true = {f"{row:05}" for row in np.argsort(-(stored @ query))[:10]}
        hits = await searcher.search(
            info.name, query, limit=10, index=info.index, fields=(), params=params, deadline=Deadline.after(10)
        )
        found += len(true & {hit.id for hit in hits})
    return found / (10 * len(queries))


def _looks_like_a_picture(tuned: Tuned, path: Path) -> None:
    draw(tuned, path)
    with Image.open(path) as picture:
        assert picture.size == (1_440, 896)
        colours = picture.convert("RGB").getcolors(maxcolors=1_000_000)
    assert colours is not None
    # The star of the chosen point, and the area where the target is met.
    assert {(200, 85, 61), (230, 240, 234)} <= {colour for _, colour in colours}
