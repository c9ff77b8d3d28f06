"""Searches on the real Milvus. Queries are numbers: their vectors are drawn, as no model matters here."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from vitrine.domain import CatalogueItem, Deadline, EmbeddedItem, FieldSpec, FieldType, FieldValue, Vectors
from vitrine.embedding.encoder import EncodedTexts, Encoder
from vitrine.errors import QueryEmpty
from vitrine.search.request import SearchRequest, SearchResult, TextPart
from vitrine.search.searcher import Searcher
from vitrine.settings import MilvusSettings, SearchSettings
from vitrine.telemetry.stages import StageClock
from vitrine.vectorstore.admin import CollectionAdmin
from vitrine.vectorstore.collection import CollectionInfo, CollectionSpec
from vitrine.vectorstore.connection import MilvusConnection
from vitrine.vectorstore.directory import CollectionDirectory
from vitrine.vectorstore.index_params import Flat, Hnsw, IndexParams
from vitrine.vectorstore.searcher import VectorSearcher
from vitrine.vectorstore.writer import CollectionWriter

DIMENSION = 16
ROWS = 2_000
FINGERPRINT = "f" * 64
FIELDS = (
    FieldSpec("colour", FieldType.TEXT, facetable=True),
    FieldSpec("season", FieldType.INTEGER, facetable=True),
    FieldSpec("price", FieldType.NUMBER),
)
_COLOURS = ("red", "blue", 'sea "green"', "")


@dataclass(frozen=True)
class Product:
    """One row as a test knows it; an empty colour or group, and a season of 0, are not stored."""

    id: str
    vector: Vectors
    group: str
    colour: str
    season: int
    price: float

    @property
    def item(self) -> EmbeddedItem:
        fields: dict[str, FieldValue] = {"price": self.price}
        if self.colour:
            fields["colour"] = self.colour
        if self.season:
            fields["season"] = self.season
        return EmbeddedItem(
            CatalogueItem(self.id, Path("x"), f"{self.id}.jpg", f"Product {self.id}", self.group, fields), self.vector
        )


def unit_vectors(count: int, seed: int) -> Vectors:
    vectors = np.random.default_rng(seed).normal(size=(count, DIMENSION)).astype(np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def products(count: int = ROWS, seed: int = 1) -> list[Product]:
    """Groups have one to seven members, one row in ten stands alone, and some rows are each other's equals."""
    draw = np.random.default_rng(seed)
    vectors = unit_vectors(count, seed)
    made: list[Product] = []
    group, left = 0, 0
    for row in range(count):
        if left == 0:
            group, left = group + 1, int(draw.integers(1, 8))
        left -= 1
        vector = vectors[row - 1] if row % 50 == 49 else vectors[row]
        alone = row % 10 == 9
        made.append(
            Product(
                f"{row:06d}",
                vector,
                "" if alone else f"{group:05d}",
                _COLOURS[int(draw.integers(len(_COLOURS)))],
                int(draw.integers(0, 5)),
                float(draw.integers(0, 100)),
            )
        )
    return made


def query_vector(text: str) -> Vectors:
    return unit_vectors(1, 10_000 + int(text))[0]


def ranking(shop: Sequence[Product], text: str) -> list[Product]:
    """What an exact search finds, best first, equal scores by id."""
    scores = np.stack([product.vector for product in shop]) @ query_vector(text)
    order = sorted(range(len(shop)), key=lambda row: (-round(float(scores[row]), 6), shop[row].id))
    return [shop[row] for row in order]


class NumberEncoder:
    """Stands in for the model: a text is a number, its vector is drawn from it."""

    contract = SimpleNamespace(fingerprint=FINGERPRINT, model="numbers", require=lambda _fingerprint, _owner: None)

    async def encode_texts(self, texts: Sequence[str], deadline: Deadline, clock: StageClock) -> EncodedTexts:
        if "" in texts:
            raise QueryEmpty("no number")
        return EncodedTexts(np.stack([query_vector(text) for text in texts]), (False,) * len(texts))


def make_searcher(connection: MilvusConnection, **settings: Any) -> Searcher:
    return Searcher(
        cast("Encoder", NumberEncoder()),
        CollectionDirectory(CollectionAdmin(connection), ttl_s=settings.pop("ttl_s", 1.0)),
        VectorSearcher(connection),
        SearchSettings.model_validate(settings),
    )


async def search(searcher: Searcher, request: SearchRequest) -> SearchResult:
    return await searcher.search(request, Deadline.after(30), StageClock())


async def walk(searcher: Searcher, request: SearchRequest, most: int = 100_000) -> AsyncIterator[SearchResult]:
    """Pages until the end of the walk, or until `most` hits were given."""
    following: SearchRequest | None = replace(request, paged=True)
    given = 0
    while following is not None and given < most:
        page = await search(searcher, following)
        given += len(page.hits)
        yield page
        following = replace(following, cursor=page.next_cursor) if page.next_cursor is not None else None


def asked(collection: str, text: str = "1", limit: int = 20, **more: Any) -> SearchRequest:
    return SearchRequest(collection, (TextPart(text),), limit, **more)


async def make(admin: CollectionAdmin, index: IndexParams, name: str = "") -> CollectionInfo:
    name = name or f"search_{secrets.token_hex(6)}"
    return await admin.create(
        CollectionSpec(name, DIMENSION, FIELDS, index, FINGERPRINT, "numbers", group_name="product_code")
    )


async def fill(connection: MilvusConnection, info: CollectionInfo, shop: Sequence[Product]) -> None:
    await CollectionWriter(connection, info).upsert([product.item for product in shop])
    # Counting waits until all of it can be seen.
    assert await CollectionAdmin(connection).count(info.name) >= len(shop)


async def drop(admin: CollectionAdmin, name: str) -> None:
    if await admin.exists(name):
        for alias in (await admin.describe(name)).aliases:
            await admin.remove_alias(alias)
        await admin.drop(name)


def in_a_loop(settings: MilvusSettings, work: Callable[[MilvusConnection], Awaitable[Any]]) -> Any:
    """Runs `work` in an event loop of its own: fixtures of a module outlive those of its tests."""

    async def run() -> Any:
        async with await MilvusConnection.open(settings) as connection:
            return await work(connection)

    return asyncio.run(run())


@pytest.fixture(scope="session")
def milvus_settings(milvus_server: Any) -> MilvusSettings:
    settings: MilvusSettings = milvus_server.settings.milvus
    return settings


@pytest.fixture
async def connection(milvus_settings: MilvusSettings) -> AsyncIterator[MilvusConnection]:
    async with await MilvusConnection.open(milvus_settings) as connection:
        yield connection


@pytest.fixture
def admin(connection: MilvusConnection) -> CollectionAdmin:
    return CollectionAdmin(connection)


def _filled(settings: MilvusSettings, index: IndexParams) -> Iterator[CollectionInfo]:
    async def filled(connection: MilvusConnection) -> CollectionInfo:
        info = await make(CollectionAdmin(connection), index)
        await fill(connection, info, products())
        return info

    info: CollectionInfo = in_a_loop(settings, filled)
    yield info
    in_a_loop(settings, lambda connection: drop(CollectionAdmin(connection), info.name))


@pytest.fixture(scope="module")
def exact(milvus_settings: MilvusSettings) -> Iterator[CollectionInfo]:
    """`products()` under an exact index, for tests that only read."""
    yield from _filled(milvus_settings, Flat())


@pytest.fixture
def living(milvus_settings: MilvusSettings) -> Iterator[CollectionInfo]:
    """`products()` under the default index, for one test to change."""
    yield from _filled(milvus_settings, Hnsw())
