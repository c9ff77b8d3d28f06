import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from tests.integration.vectorstore.conftest import drop, make_item, make_spec, soon, unit_vectors
from vitrine.errors import CollectionNotFound
from vitrine.vectorstore.admin import CollectionAdmin
from vitrine.vectorstore.collection import CollectionInfo
from vitrine.vectorstore.connection import MilvusConnection
from vitrine.vectorstore.directory import CollectionDirectory
from vitrine.vectorstore.index_params import Flat
from vitrine.vectorstore.searcher import VectorSearcher
from vitrine.vectorstore.writer import CollectionWriter

VECTORS = unit_vectors(40)


@pytest.fixture
async def pair(connection: MilvusConnection, admin: CollectionAdmin) -> AsyncIterator[list[CollectionInfo]]:
    """Two collections of 40 items each, whose ids start with the collection's name."""
    infos = [await admin.create(make_spec(index=Flat())) for _ in range(2)]
    for info in infos:
        items = [make_item(f"{info.name}-{row}", vector) for row, vector in enumerate(VECTORS)]
        await CollectionWriter(connection, info).upsert(items)
        assert await admin.count(info.name) == len(items)
    yield infos
    for info in infos:
        await drop(admin, info.name)


async def test_while_an_alias_moves_each_search_sees_one_collection_and_none_fails(
    admin: CollectionAdmin, searcher: VectorSearcher, pair: list[CollectionInfo]
) -> None:
    alias = f"{pair[0].name}_alias"
    directory = CollectionDirectory(admin, ttl_s=0.05)
    await admin.point_alias(alias, pair[0].name)
    moved = asyncio.Event()
    seen: set[str] = set()

    async def keep_searching() -> None:
        while not moved.is_set():
            info = await directory.resolve(alias, soon())
            hits = await searcher.search(
                info.name, VECTORS[0], limit=40, index=info.index, fields=info.fields, deadline=soon()
            )
            assert {hit.id.rsplit("-", 1)[0] for hit in hits} == {info.name}
            seen.add(info.name)

    async def keep_moving() -> None:
        for turn in range(1, 21):
            await asyncio.sleep(0.06)
            await admin.point_alias(alias, pair[turn % 2].name)
        moved.set()

    await asyncio.gather(keep_moving(), *(keep_searching() for _ in range(4)))
    assert seen == {info.name for info in pair}


async def test_a_moved_alias_is_followed_within_the_time_to_live(
    admin: CollectionAdmin, pair: list[CollectionInfo]
) -> None:
    alias = f"{pair[0].name}_alias"
    directory = CollectionDirectory(admin, ttl_s=0.3)
    with pytest.raises(CollectionNotFound):
        await directory.resolve(alias, soon())
    await admin.point_alias(alias, pair[0].name)
    assert (await directory.resolve(alias, soon())).build_id == pair[0].build_id
    await admin.point_alias(alias, pair[1].name)
    moved = time.monotonic()
    while (await directory.resolve(alias, soon())).name != pair[1].name:
        assert time.monotonic() - moved < 0.3 + 1.0
        await asyncio.sleep(0.01)
    await admin.point_alias(alias, pair[0].name)
    directory.invalidate(alias)
    assert (await directory.resolve(alias, soon())).name == pair[0].name
