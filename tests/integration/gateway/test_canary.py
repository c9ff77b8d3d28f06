"""The recall canary on real collections: what it estimates against what is true, and what makes it go down."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from tests.fixtures.stack import RunningService, RunningStack
from vitrine.domain import CatalogueItem, Deadline, EmbeddedItem, Vectors
from vitrine.embedding.contract import ModelContract
from vitrine.embedding.encoder import EncodedTexts, Encoder
from vitrine.errors import CollectionNotFound
from vitrine.gateway.canary.recall import Figure, RecallCanary
from vitrine.gateway.canary.watching import watched_recall
from vitrine.search.searcher import Searcher
from vitrine.settings import CanarySettings
from vitrine.telemetry.stages import StageClock
from vitrine.vectorstore.admin import CollectionAdmin
from vitrine.vectorstore.collection import CollectionInfo, CollectionSpec
from vitrine.vectorstore.connection import MilvusConnection
from vitrine.vectorstore.directory import CollectionDirectory
from vitrine.vectorstore.index_params import Flat, IndexParams, IvfFlat
from vitrine.vectorstore.sampling import SampleReader
from vitrine.vectorstore.searcher import VectorSearcher
from vitrine.vectorstore.writer import CollectionWriter

ROWS, DIMENSION, QUERIES, K = 2_000, 16, 40, 10
FINGERPRINT = "f" * 64
TEXTS = [str(number) for number in range(QUERIES)]
SHOP_SEED, QUERY_SEED = 1, 2


def unit(count: int, seed: int) -> Vectors:
    drawn = np.random.default_rng(seed).normal(size=(count, DIMENSION)).astype(np.float32)
    return np.asarray(drawn / np.linalg.norm(drawn, axis=1, keepdims=True), np.float32)


class NumberEncoder:
    """Stands in for the model: a text is a number, its vector is drawn from it."""

    contract = SimpleNamespace(fingerprint=FINGERPRINT, model="numbers", require=lambda _fingerprint, _owner: None)

    async def encode_texts(self, texts: Sequence[str], deadline: Deadline, clock: StageClock) -> EncodedTexts:
        return EncodedTexts(unit(QUERIES, QUERY_SEED)[[int(text) for text in texts]], (False,) * len(texts))


@dataclass(frozen=True)
class Shop:
    """A collection of drawn vectors."""

    connection: MilvusConnection
    info: CollectionInfo

    @property
    def admin(self) -> CollectionAdmin:
        return CollectionAdmin(self.connection)

    @property
    def writer(self) -> CollectionWriter:
        return CollectionWriter(self.connection, self.info)

    def canary(self, sample: int = ROWS, name: str | None = None) -> RecallCanary:
        reader = SampleReader(self.connection)
        directory = CollectionDirectory(reader, ttl_s=0.0)
        searcher = Searcher(cast("Encoder", NumberEncoder()), directory, VectorSearcher(self.connection))
        settings = CanarySettings(sample=sample, depth=K)
        return RecallCanary(searcher, reader, name or self.info.name, TEXTS, settings, Random(5))

    async def true_recall(self) -> float:
        """Recall@10 of the very same searches, against all vectors."""
        info = await self.admin.describe(self.info.name)
        queries, shop = unit(QUERIES, QUERY_SEED), unit(ROWS, SHOP_SEED)
        answers = await VectorSearcher(self.connection).neighbours(
            info.name, queries, limit=K, index=info.index, fields=(), deadline=Deadline.after(30)
        )
        best = np.argsort(-(queries @ shop.T), axis=1)[:, :K]
        found = [
            len({item(row).item.id for row in rows} & set(one.ids))
            for rows, one in zip(best.tolist(), answers, strict=True)
        ]
        return sum(found) / (QUERIES * K)


def item(row: int, vector: Vectors | None = None) -> EmbeddedItem:
    told = CatalogueItem(f"{row:06d}", Path("x"), "x.jpg", f"Item {row}", "", {})
    return EmbeddedItem(told, unit(1, 0)[0] if vector is None else vector)


async def made(server: RunningService, index: IndexParams) -> str:
    async with await MilvusConnection.open(server.settings.milvus) as connection:
        admin = CollectionAdmin(connection)
        spec = CollectionSpec(f"canary_{secrets.token_hex(6)}", DIMENSION, (), index, FINGERPRINT, "numbers")
        info = await admin.create(spec)
        writer = CollectionWriter(connection, info)
        await writer.upsert([item(row, vector) for row, vector in enumerate(unit(ROWS, SHOP_SEED))])
        await writer.flush()
        await admin.wait_index_built(info.name)
        await admin.wait_index_served(info.name, deadline=Deadline.after(60))
        return info.name


async def dropped(server: RunningService, name: str) -> None:
    async with await MilvusConnection.open(server.settings.milvus) as connection:
        await CollectionAdmin(connection).drop(name)


@asynccontextmanager
async def opened(server: RunningService, name: str) -> AsyncIterator[Shop]:
    async with await MilvusConnection.open(server.settings.milvus) as connection:
        yield Shop(connection, await CollectionAdmin(connection).describe(name))


async def ran(canary: RecallCanary, times: int = 1) -> Figure:
    figures = [await canary.run(Deadline.after(60)) for _ in range(times)]
    return figures[-1]


def recall(figure: Figure) -> float:
    return figure.found / figure.neighbours


@pytest.fixture(scope="module")
def flat(milvus_server: RunningService) -> Iterator[str]:
    """Outlives the loops of its tests."""
    name = asyncio.run(made(milvus_server, Flat()))
    yield name
    asyncio.run(dropped(milvus_server, name))


@pytest.fixture
async def exact(milvus_server: RunningService, flat: str) -> AsyncIterator[Shop]:
    async with opened(milvus_server, flat) as shop:
        yield shop


@pytest.fixture
async def listed(milvus_server: RunningService) -> AsyncIterator[Shop]:
    name = await made(milvus_server, IvfFlat(nlist=64, nprobe=64))
    async with opened(milvus_server, name) as shop:
        yield shop
    await dropped(milvus_server, name)


async def test_exact_search_has_recall_1_from_the_first_sample_to_the_last(exact: Shop) -> None:
    canary = exact.canary(sample=500)
    for share in (0.25, 0.5, 0.75, 1.0, 1.0):
        figure = await ran(canary)
        assert figure.seen == pytest.approx(share, abs=0.02)
        assert (recall(figure), figure.found) == (1.0, figure.neighbours)
    assert figure.neighbours == QUERIES * K


async def test_a_crippled_index_pulls_the_figure_down_to_what_is_true(listed: Shop) -> None:
    canary = listed.canary()
    assert recall(await ran(canary, 2)) == 1.0
    await listed.admin.set_search_defaults(listed.info.name, {"nprobe": 1})
    figure, true = await ran(canary), await listed.true_recall()
    assert true < 0.5
    assert recall(figure) == pytest.approx(true, abs=0.005), "with all of the collection seen it is no estimate"
    early = [await ran(listed.canary(sample=500)) for _ in range(4)]
    found, neighbours = (sum(getattr(one, name) for one in early) for name in ("found", "neighbours"))
    # Of a quarter, 100 neighbours each: docs/recall-canary.md gives the error.
    assert found / neighbours == pytest.approx(true, abs=0.15)


async def test_products_that_change_or_go_are_not_missed(exact: Shop) -> None:
    canary = exact.canary()
    await ran(canary)
    best = int(np.argmax(unit(ROWS, SHOP_SEED) @ unit(QUERIES, QUERY_SEED)[0]))
    second = int(np.argmax(unit(ROWS, SHOP_SEED) @ unit(QUERIES, QUERY_SEED)[1]))
    await exact.writer.delete([item(best).item.id])
    await exact.writer.upsert([item(second, -unit(QUERIES, QUERY_SEED)[1])])
    await exact.admin.count(exact.info.name)
    # Nothing of the collection is read anew: what the canary remembers is out of date.
    canary._sampling.walk.ahead = lambda products: []  # type: ignore[union-attr,method-assign]
    figure = await ran(canary)
    assert recall(figure) == 1.0
    again = await ran(canary)
    assert (recall(again), again.neighbours) == (1.0, figure.neighbours)


async def test_another_collection_behind_the_alias_is_sampled_from_its_beginning(exact: Shop) -> None:
    alias = f"{exact.info.name}_live"
    await exact.admin.point_alias(alias, exact.info.name)
    canary = exact.canary(name=alias)
    try:
        assert (await ran(canary)).seen == 1.0
        async with opened_beside(exact) as other:
            await exact.admin.point_alias(alias, other.name)
            figure = await ran(canary)
            assert (figure.seen, figure.neighbours) == (1.0, QUERIES), "one product"
            await exact.admin.remove_alias(alias)
    finally:
        await exact.admin.remove_alias(alias)
    with pytest.raises(CollectionNotFound):
        await ran(canary)


@asynccontextmanager
async def opened_beside(shop: Shop) -> AsyncIterator[CollectionInfo]:
    """A collection of one product."""
    spec = CollectionSpec(f"{shop.info.name}_small", DIMENSION, (), Flat(), FINGERPRINT, "numbers")
    info = await shop.admin.create(spec)
    try:
        await CollectionWriter(shop.connection, info).upsert([item(1)])
        await shop.admin.count(info.name)
        yield info
    finally:
        await shop.admin.drop(info.name)


async def test_a_dependency_that_hangs_fails_runs_and_the_canary_recovers(stack: RunningStack) -> None:
    """The real model this time: nothing of a run comes from a cache."""
    contract = ModelContract.load(stack.settings.model.repository)
    spec = CollectionSpec(
        f"canary_{secrets.token_hex(6)}", contract.dimension, (), Flat(), contract.fingerprint, contract.model
    )
    settings = stack.settings.model_copy(
        update={
            "gateway": stack.settings.gateway.model_copy(update={"default_collection": spec.name}),
            "canary": CanarySettings(interval_s=0.05, timeout_s=20.0),
        }
    )
    registry = CollectorRegistry()
    value = registry.get_sample_value
    async with await MilvusConnection.open(settings.milvus) as connection:
        admin = CollectionAdmin(connection)
        info = await admin.create(spec)
        drawn = np.random.default_rng(3).normal(size=(100, contract.dimension)).astype(np.float32)
        drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
        await CollectionWriter(connection, info).upsert([item(row, vector) for row, vector in enumerate(drawn)])
        await admin.count(info.name)
        try:
            async with watched_recall(settings, connection, registry):
                await until(lambda: runs(registry, "ok") >= 1)
                assert (value("vitrine_canary_recall_ratio"), value("vitrine_canary_sampled_neighbours")) == (1, 1_000)
                stack.triton.pause()
                try:
                    await until(lambda: runs(registry, "failed") >= 1)
                    at = value("vitrine_canary_last_success_timestamp_seconds")
                    assert at is not None
                    assert value("vitrine_canary_recall_ratio") == 1, "the last figure stays, and ages"
                finally:
                    stack.triton.resume()
                so_far = runs(registry, "ok")
                await until(lambda: runs(registry, "ok") > so_far)
                assert (value("vitrine_canary_last_success_timestamp_seconds") or 0) > at
        finally:
            await admin.drop(info.name)


def runs(registry: CollectorRegistry, outcome: str) -> float:
    return registry.get_sample_value("vitrine_canary_runs_total", {"outcome": outcome}) or 0


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(90):
        while not holds():  # noqa: ASYNC110 - a counter of prometheus-client cannot be waited for
            await asyncio.sleep(0.05)
