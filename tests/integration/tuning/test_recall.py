"""Measuring a real collection: 1,500 vectors in lists of compressed codes, and a copy of it with another index."""

import asyncio
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.fixtures.stack import RunningService, RunningStack
from vitrine.domain import CatalogueItem, Deadline, EmbeddedItem, Vectors
from vitrine.embedding.contract import ModelContract
from vitrine.errors import CollectionNotFound, InvalidInput
from vitrine.local.gateway import environment_of
from vitrine.settings import Settings
from vitrine.tuning.queries import QueryKind
from vitrine.tuning.recall import Compared, RecallReport, RecallRequest, run_recall
from vitrine.tuning.recall_report import as_json
from vitrine.tuning.trial_builds import PREFIX
from vitrine.vectorstore.admin import CollectionAdmin
from vitrine.vectorstore.collection import CollectionSpec
from vitrine.vectorstore.connection import MilvusConnection
from vitrine.vectorstore.index_params import Flat, IvfPq
from vitrine.vectorstore.writer import CollectionWriter

ROWS, DIMENSION = 1_500, 32


@pytest.fixture(scope="module")
def settings(milvus_server: RunningService) -> Settings:
    return milvus_server.settings


def with_milvus(settings: Settings, work: Callable[[MilvusConnection], Awaitable[Any]]) -> Any:
    """Runs `work` in an event loop of its own: the collection outlives the loops of its tests."""

    async def run() -> Any:
        async with await MilvusConnection.open(settings.milvus) as connection:
            return await work(connection)

    return asyncio.run(run())


def vectors() -> Vectors:
    drawn = np.random.default_rng(5).normal(size=(ROWS, DIMENSION)).astype(np.float32)
    return np.asarray(drawn / np.linalg.norm(drawn, axis=1, keepdims=True), np.float32)


@pytest.fixture(scope="module")
def compressed(settings: Settings) -> Iterator[str]:
    name = f"recall_{secrets.token_hex(6)}"

    async def make(connection: MilvusConnection) -> None:
        admin = CollectionAdmin(connection)
        index = IvfPq(nlist=8, m=4, nprobe=8)
        info = await admin.create(CollectionSpec(name, DIMENSION, (), index, "f" * 64, "none"))
        items = [
            EmbeddedItem(CatalogueItem(f"{row:06d}", Path("x"), "x.jpg", f"Item {row}", "", {}), vector)
            for row, vector in enumerate(vectors())
        ]
        await CollectionWriter(connection, info).upsert(items)
        await CollectionWriter(connection, info).flush()
        await admin.wait_index_built(name)
        await admin.release(name)
        await admin.load(name)

    with_milvus(settings, make)
    yield name
    with_milvus(settings, lambda connection: CollectionAdmin(connection).drop(name))


@pytest.fixture(scope="module")
def report(settings: Settings, compressed: str) -> RecallReport:
    """The collection's own index with and without reranking, beside a copy with a graph."""
    request = RecallRequest(
        collection=compressed,
        indexes=("ivf_pq:nprobe=8", "ivf_pq:rerank=20", "ivf_pq:nprobe=1", "hnsw:ef=400"),
        build=True,
        queries=40,
        rounds=1,
        max_minutes=4,
    )
    return asyncio.run(run_recall(request, settings, lambda what, share: None))


def recall_of(one: Compared, k: int) -> float:
    return one.measured[QueryKind.IMAGE].recall(k)


def test_a_wide_graph_finds_nearly_everything_and_a_compressed_index_does_not(report: RecallReport) -> None:
    coarse, reranked, narrow, graph = report.compared
    assert recall_of(graph, 10) > 0.95
    assert recall_of(graph, 100) > 0.95
    assert recall_of(coarse, 10) < 0.8, "the index is not used: rows are compared one by one"
    assert recall_of(narrow, 10) < recall_of(coarse, 10)
    assert recall_of(reranked, 10) > recall_of(coarse, 10) + 0.2


def test_settings_of_the_collections_own_build_are_searched_in_place_and_others_on_copies(
    report: RecallReport,
) -> None:
    assert [one.built for one in report.compared] == [False, False, False, True]
    assert [one.index.index_type for one in report.compared] == ["IVF_PQ", "IVF_PQ", "IVF_PQ", "HNSW"]
    assert report.compared[0].memory_bytes < report.compared[3].memory_bytes


def test_texts_that_the_collections_model_cannot_embed_are_left_out_and_told(report: RecallReport) -> None:
    assert list(report.counts.items()) == [(QueryKind.IMAGE, 40)]
    assert any("No text queries" in note for note in report.notes)
    assert as_json(report)["latency_of"] == "image"


async def test_copies_are_gone_afterwards(settings: Settings, report: RecallReport) -> None:
    async with await MilvusConnection.open(settings.milvus) as connection:
        names = [info.name for info in await CollectionAdmin(connection).list(counted=False)]
    assert not [name for name in names if name.startswith(PREFIX)]


async def test_an_index_that_the_collection_does_not_have_needs_a_build(settings: Settings, compressed: str) -> None:
    with pytest.raises(InvalidInput, match="with --build, copies of it are made to measure HNSW"):
        await run_recall(RecallRequest(compressed, ("hnsw",)), settings, lambda what, share: None)


async def test_a_collection_that_is_not_there_is_told_at_once(settings: Settings) -> None:
    with pytest.raises(CollectionNotFound):
        await run_recall(RecallRequest("no_such_shop"), settings, lambda what, share: None)


async def test_every_vector_is_read_once_as_it_was_written(settings: Settings, compressed: str) -> None:
    found: dict[str, Vectors] = {}
    async with await MilvusConnection.open(settings.milvus) as connection:
        pages = CollectionAdmin(connection).vectors(compressed, DIMENSION, Deadline.after(30))
        async for ids, page in pages:
            assert not found.keys() & set(ids)
            found.update(zip(ids, page, strict=True))
    assert len(found) == ROWS
    stored = vectors()
    assert all((found[f"{row:06d}"] == stored[row]).all() for row in range(ROWS))


@pytest.fixture(scope="module")
def titled(stack: RunningStack) -> Iterator[str]:
    """300 products with titles, under the model that the stack serves; exact, so that nothing has to be built."""
    name = f"recall_{secrets.token_hex(6)}"
    contract = ModelContract.load(stack.settings.model.repository)
    drawn = np.random.default_rng(6).normal(size=(300, contract.dimension)).astype(np.float32)
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)

    async def make(connection: MilvusConnection) -> None:
        spec = CollectionSpec(name, contract.dimension, (), Flat(), contract.fingerprint, contract.model)
        info = await CollectionAdmin(connection).create(spec)
        colours = ("red", "blue", "green")
        items = [
            EmbeddedItem(CatalogueItem(f"{row:06d}", Path("x"), "x.jpg", f"{colours[row % 3]} shirt", "", {}), vector)
            for row, vector in enumerate(drawn)
        ]
        await CollectionWriter(connection, info).upsert(items)
        assert await CollectionAdmin(connection).count(name) == 300

    with_milvus(stack.settings, make)
    yield name
    with_milvus(stack.settings, lambda connection: CollectionAdmin(connection).drop(name))


def run_verb(stack: RunningStack, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "vitrine.cli.app", "recall", *arguments],
        env={**os.environ, **environment_of(stack.settings)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_verb_asks_with_titles_and_pictures(stack: RunningStack, titled: str) -> None:
    ended = run_verb(stack, titled, "--queries", "20", "--rounds", "1", "--json")
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)
    assert told["queries"]["text"] == {"count": 3, "of": "titles of products"}
    assert told["queries"]["image"]["count"] == 20
    (exact,) = told["compared"]
    assert exact["recall"] == {"text": {"10": 1.0, "100": 1.0}, "image": {"10": 1.0, "100": 1.0}}
    assert 0 < exact["p50_ms"] <= exact["p99_ms"]
    assert told["notes"] == []


def test_the_verb_asks_with_a_file_of_texts_and_refuses_what_it_cannot_measure(
    stack: RunningStack, titled: str, tmp_path: Path
) -> None:
    (tmp_path / "queries.txt").write_text("floral dress\nblack shoes\n", encoding="utf-8")
    ended = run_verb(stack, titled, "--text-queries", str(tmp_path / "queries.txt"), "--queries", "5", "--rounds", "1")
    assert ended.returncode == 0, ended.stderr
    assert "2 text queries: texts of queries.txt" in ended.stdout
    refused = run_verb(stack, titled, "--index", "hnsw:ef=64")
    assert refused.returncode == 2
    assert "invalid_input" in refused.stderr
