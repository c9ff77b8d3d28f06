"""Editions of one small shop on the real Milvus, each marked, so that an answer that mixed two would show it."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.fixtures.stack import RunningStack
from vitrine.domain import CatalogueItem, EmbeddedItem, FieldSpec, FieldType, Vectors
from vitrine.embedding.contract import ModelContract
from vitrine.settings import Settings
from vitrine.vectorstore.admin import CollectionAdmin
from vitrine.vectorstore.collection import CollectionSpec
from vitrine.vectorstore.connection import MilvusConnection
from vitrine.vectorstore.index_params import Flat, IndexParams, IvfFlat
from vitrine.vectorstore.lineage import Lineage, now
from vitrine.vectorstore.writer import CollectionWriter

FIELDS = (FieldSpec("edition", FieldType.TEXT, facetable=True),)
INDEXED_ROWS = 1_100
"""Milvus builds no index of fewer than 1,024 rows."""
ROWS = 300
KINDS: dict[str, dict[str, Any]] = {
    "live": {},
    "good": {},
    "fewer": {"rows": ROWS // 2},
    "foreign": {"fingerprint": "e" * 64},
    "crippled": {"index": IvfFlat(nlist=256, nprobe=1), "rows": INDEXED_ROWS},
    "unindexed": {"flushed": False},
}
"""`foreign` is of another model, `crippled` has an index that finds little, and the rows of `unindexed` are in none."""


@dataclass(frozen=True)
class Editions:
    """Collections of one session.

    Args:
        alias: points at `live`.
        settings: lead to the stack.
    """

    alias: str
    settings: Settings

    def name(self, edition: str) -> str:
        return f"{self.alias}_{edition}"

    def run(self, work: Callable[[CollectionAdmin], Awaitable[Any]]) -> Any:
        """Runs `work` in an event loop of its own."""
        return in_a_loop(self.settings, lambda connection: work(CollectionAdmin(connection)))


def in_a_loop(settings: Settings, work: Callable[[MilvusConnection], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        async with await MilvusConnection.open(settings.milvus) as connection:
            return await work(connection)

    return asyncio.run(run())


def unit_vectors(count: int, dimension: int) -> Vectors:
    """The same rows for whatever count: editions differ in their marks alone."""
    vectors = np.random.default_rng(4).normal(size=(count, dimension)).astype(np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def item(number: int, vector: Vectors, edition: str) -> EmbeddedItem:
    title = f"Dress number {number}"
    return EmbeddedItem(
        CatalogueItem(f"{number:06d}", Path("x"), f"{number}.jpg", title, "", {"edition": edition}), vector
    )


async def make(
    connection: MilvusConnection,
    alias: str,
    edition: str,
    contract: ModelContract,
    *,
    index: IndexParams | None = None,
    rows: int = ROWS,
    fingerprint: str = "",
    flushed: bool = True,
) -> None:
    """A collection as a run of the indexer leaves it."""
    admin = CollectionAdmin(connection)
    spec = CollectionSpec(
        f"{alias}_{edition}", contract.dimension, FIELDS, index or Flat(), fingerprint or contract.fingerprint, "demo"
    )
    info = await admin.create(spec)
    writer = CollectionWriter(connection, info)
    vectors = unit_vectors(rows, contract.dimension)
    await writer.upsert([item(number, vector, info.name) for number, vector in enumerate(vectors)])
    if flushed:
        await writer.flush()
        await admin.wait_index_built(info.name)
        # Loading anew takes the index at once.
        await admin.release(info.name)
        await admin.load(info.name)
    await admin.record_lineage(info.name, Lineage(alias=alias, finished_at=now(), rows=rows))


async def drop_all(connection: MilvusConnection, prefix: str) -> None:
    admin = CollectionAdmin(connection)
    for info in await admin.list(counted=False):
        if info.name.startswith(prefix):
            for alias in info.aliases:
                await admin.remove_alias(alias)
            await admin.drop(info.name)


@pytest.fixture(scope="module")
def editions(stack: RunningStack, request: pytest.FixtureRequest) -> Iterator[Editions]:
    """The editions that the module names, the one called live behind the alias."""
    alias = f"promotion_{secrets.token_hex(4)}"
    contract = ModelContract.load(stack.settings.model.repository)

    async def fill(connection: MilvusConnection) -> None:
        wanted: tuple[str, ...] = request.module.EDITIONS
        await asyncio.gather(*(make(connection, alias, edition, contract, **KINDS[edition]) for edition in wanted))
        await CollectionAdmin(connection).point_alias(alias, f"{alias}_live")

    in_a_loop(stack.settings, fill)
    yield Editions(alias, stack.settings)
    in_a_loop(stack.settings, lambda connection: drop_all(connection, alias))
