"""Walks by cursor, while nothing changes and while everything does."""

import asyncio
from collections import Counter
from dataclasses import replace
from typing import Self

import numpy as np
import pytest

from tests.integration.search.conftest import (
    Product,
    asked,
    drop,
    fill,
    make,
    make_searcher,
    products,
    ranking,
    search,
    unit_vectors,
    walk,
)
from vitrine.domain import Deadline
from vitrine.errors import CursorExpired
from vitrine.search.request import DEPTH_REACHED, SearchResult
from vitrine.telemetry.stages import StageClock
from vitrine.vectorstore.admin import CollectionAdmin
from vitrine.vectorstore.collection import CollectionInfo
from vitrine.vectorstore.connection import MilvusConnection
from vitrine.vectorstore.filters import Eq, Ge
from vitrine.vectorstore.index_params import Flat
from vitrine.vectorstore.writer import CollectionWriter


def ids(pages: list[SearchResult]) -> list[str]:
    return [hit.id for page in pages for hit in page.hits]


@pytest.mark.parametrize("limit", [7, 50, 250])
async def test_a_walk_of_500_is_the_exact_ranking(
    connection: MilvusConnection, exact: CollectionInfo, limit: int
) -> None:
    searcher = make_searcher(connection)
    pages = [page async for page in walk(searcher, asked(exact.name, limit=limit), most=500)]
    expected = ranking(products(), "1")
    assert ids(pages)[:500] == [product.id for product in expected[:500]]
    deep = pages[-1].hits[-1]
    product = expected[len(ids(pages)) - 1]
    assert (deep.title, deep.group, deep.image_path) == (f"Product {product.id}", product.group, f"{product.id}.jpg")
    assert deep.fields == product.item.item.fields


async def test_a_walk_through_all_that_a_filter_leaves_ends_after_the_last(
    connection: MilvusConnection, exact: CollectionInfo
) -> None:
    searcher = make_searcher(connection)
    left = [product for product in products() if product.price >= 75]
    request = asked(exact.name, limit=len(left) // 4, filter=Ge("price", 75.0))
    pages = [page async for page in walk(searcher, request)]
    assert ids(pages) == [product.id for product in ranking(left, "1")]
    assert not any(page.warnings for page in pages)


async def test_a_walk_ends_at_its_depth_and_says_so(connection: MilvusConnection, exact: CollectionInfo) -> None:
    searcher = make_searcher(connection, max_depth=130)
    pages = [page async for page in walk(searcher, asked(exact.name, limit=50))]
    assert ids(pages) == [product.id for product in ranking(products(), "1")[:130]]
    assert [page.warnings for page in pages] == [(), (), (DEPTH_REACHED,)]


async def test_a_walk_over_a_graph_repeats_nothing_and_misses_next_to_nothing(
    connection: MilvusConnection, living: CollectionInfo
) -> None:
    searcher = make_searcher(connection)
    pages = [page async for page in walk(searcher, asked(living.name, limit=20, params={"ef": 32}), most=500)]
    found = ids(pages)
    assert len(found) == len(set(found)) == 500
    assert len(set(found) & {product.id for product in ranking(products(), "1")[:500]}) >= 495


class Upserts:
    """Moves products to where no query expects them and adds new ones, for as long as it is entered."""

    def __init__(self, connection: MilvusConnection, info: CollectionInfo) -> None:
        self.batches = 0
        self._name = info.name
        self._admin = CollectionAdmin(connection)
        self._writer = CollectionWriter(connection, info)
        self._written = asyncio.Event()
        self._stopping = False

    async def seen(self) -> None:
        """Until a search sees one batch more."""
        self._written.clear()
        await self._written.wait()
        await self._admin.count(self._name)

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._write())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stopping = True
        await self._task

    async def _write(self) -> None:
        shop = products()
        draw = np.random.default_rng(7)
        try:
            while not self._stopping:
                vectors = unit_vectors(50, seed=int(draw.integers(1 << 30)))
                moved = draw.choice(len(shop), 40, replace=False)
                batch = [replace(shop[row], vector=vectors[number]) for number, row in enumerate(moved)]
                batch += [_new(self.batches * 10 + number, vectors[40 + number]) for number in range(10)]
                await self._writer.upsert([product.item for product in batch])
                self.batches += 1
                self._written.set()
        finally:
            self._written.set()  # nobody waits for a writer that failed


def _new(number: int, vector: np.ndarray[tuple[int], np.dtype[np.float32]]) -> Product:
    return Product(f"new{number:06d}", vector, f"{number % 400 + 1:05d}", "red", 1, 1.0)


@pytest.mark.parametrize("limit", [20, 50])
async def test_a_walk_of_500_under_upserts_gives_nothing_twice(
    connection: MilvusConnection, living: CollectionInfo, limit: int
) -> None:
    searcher = make_searcher(connection)
    async with Upserts(connection, living) as upserts:
        pages = []
        async for page in walk(searcher, asked(living.name, limit=limit), most=500):
            pages.append(page)
            await upserts.seen()
    found = ids(pages)
    assert len(found) == 500
    assert [item_id for item_id, times in Counter(found).items() if times > 1] == []
    assert upserts.batches >= len(pages)
    assert any(item_id.startswith("new") for item_id in found)


async def test_groups_under_upserts_are_given_once(connection: MilvusConnection, living: CollectionInfo) -> None:
    searcher = make_searcher(connection)
    pages = []
    async with Upserts(connection, living) as upserts:
        async for page in walk(searcher, asked(living.name, limit=30, group_by="group"), most=300):
            pages.append(page)
            await upserts.seen()
    groups = Counter(hit.group or f"alone {hit.id}" for page in pages for hit in page.hits)
    assert sum(groups.values()) >= 300
    assert [group for group, times in groups.items() if times > 1] == []


async def test_a_walk_stays_on_its_collection_when_the_alias_moves_and_ends_when_that_is_gone(
    connection: MilvusConnection, admin: CollectionAdmin
) -> None:
    searcher = make_searcher(connection, ttl_s=0.0)
    shop = products(100)
    old, new = [await make(admin, Flat()) for _ in range(2)]
    alias = f"alias_of_{old.name}"
    try:
        await fill(connection, old, shop)
        await fill(connection, new, [replace(product, id=f"new{product.id}") for product in shop])
        await admin.point_alias(alias, old.name)
        first = await search(searcher, asked(alias, paged=True))
        await admin.point_alias(alias, new.name)
        second = await search(searcher, asked(alias, paged=True, cursor=first.next_cursor))
        assert (second.collection, (await search(searcher, asked(alias))).collection) == (old.name, new.name)
        assert ids([first, second]) == [product.id for product in ranking(shop, "1")[:40]]
        await admin.drop(old.name)
        with pytest.raises(CursorExpired):
            await search(searcher, asked(alias, paged=True, cursor=second.next_cursor))
    finally:
        for name in (old.name, new.name):
            await drop(admin, name)


async def test_a_collection_built_anew_under_its_name_ends_the_walk(
    connection: MilvusConnection, admin: CollectionAdmin
) -> None:
    searcher = make_searcher(connection, ttl_s=0.0)
    info = await make(admin, Flat())
    try:
        await fill(connection, info, products(60))
        first = await search(searcher, asked(info.name, paged=True))
        await admin.drop(info.name)
        await make(admin, Flat(), info.name)
        await fill(connection, info, products(60))
        with pytest.raises(CursorExpired):
            await search(searcher, asked(info.name, paged=True, cursor=first.next_cursor))
    finally:
        await drop(admin, info.name)


async def test_a_search_follows_an_alias_away_from_a_collection_that_was_just_dropped(
    connection: MilvusConnection, admin: CollectionAdmin
) -> None:
    searcher = make_searcher(connection, ttl_s=600.0)
    old, new = [await make(admin, Flat()) for _ in range(2)]
    alias = f"alias_of_{old.name}"
    try:
        for info in (old, new):
            await fill(connection, info, products(10))
        await admin.point_alias(alias, old.name)
        assert (await search(searcher, asked(alias))).collection == old.name
        await admin.point_alias(alias, new.name)
        await admin.drop(old.name)
        assert (await search(searcher, asked(alias))).collection == new.name
        requests = [asked(alias), asked(alias, filter=Eq("colour", "red"))]
        many = await searcher.search_many(requests, Deadline.after(30), StageClock())
        assert {outcome.collection for outcome in many if isinstance(outcome, SearchResult)} == {new.name}
    finally:
        for name in (old.name, new.name):
            await drop(admin, name)
