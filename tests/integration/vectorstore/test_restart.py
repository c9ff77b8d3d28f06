"""One connection over the death, silence and return of the real Milvus."""

import asyncio
import dataclasses
import time
from collections.abc import AsyncIterator

import numpy as np
import pytest

from tests.fixtures.stack import RunningService
from tests.integration.vectorstore.conftest import drop, make_item, make_spec, soon, unit_vectors
from tests.integration.vectorstore.servers import LACKS, Part, Server
from vitrine.domain import Deadline, Hit
from vitrine.errors import DeadlineExceeded, VectorStoreUnavailable
from vitrine.settings import MilvusSettings
from vitrine.vectorstore.admin import CollectionAdmin
from vitrine.vectorstore.collection import CollectionInfo
from vitrine.vectorstore.connection import MilvusConnection
from vitrine.vectorstore.directory import CollectionDirectory
from vitrine.vectorstore.index_params import Hnsw
from vitrine.vectorstore.lineage import GateRecord, Lineage, now
from vitrine.vectorstore.searcher import VectorSearcher
from vitrine.vectorstore.writer import CollectionWriter

VECTORS = unit_vectors(100)
LINEAGE = Lineage("shop", finished_at=now(), rows=100, replaces="shop_v1", gates=(GateRecord("rows", True, "1", "1"),))
BACK_WITHIN_S = 90.0
"""How long Milvus itself may take from the start of its process until collections are loaded again."""


@pytest.fixture
async def collection(connection: MilvusConnection, admin: CollectionAdmin) -> AsyncIterator[CollectionInfo]:
    info = await admin.create(make_spec())
    await CollectionWriter(connection, info).upsert(
        [make_item(f"i{row:03d}", vector) for row, vector in enumerate(VECTORS)]
    )
    assert await admin.count(info.name) == len(VECTORS)
    await admin.point_alias(f"{info.name}_alias", info.name)
    await admin.set_search_defaults(info.name, {"ef": 200})
    await admin.record_lineage(info.name, LINEAGE)
    yield await admin.describe(info.name)
    await drop(admin, info.name)


async def search(connection: MilvusConnection, alias: str, deadline: Deadline) -> list[Hit]:
    """What a request does: the alias is resolved anew, then the collection is searched."""
    info = await CollectionDirectory(CollectionAdmin(connection)).resolve(alias, deadline)
    return await VectorSearcher(connection).search(
        info.name, VECTORS[7], limit=3, index=info.index, fields=info.fields, deadline=deadline
    )


async def searchable(connection: MilvusConnection, alias: str) -> list[Hit]:
    """Waits for the first answer; what comes before it must be a refusal that says so, and in time."""
    slowest, until = 0.0, time.monotonic() + BACK_WITHIN_S
    while True:
        began = time.monotonic()
        try:
            hits = await search(connection, alias, Deadline.after(2.0))
        except (VectorStoreUnavailable, DeadlineExceeded):
            slowest = max(slowest, time.monotonic() - began)
            if time.monotonic() > until:
                raise
            await asyncio.sleep(0.1)
        else:
            assert slowest < 3.0
            return hits


async def load_when_found(connection: MilvusConnection, name: str) -> None:
    """gRPC looks for a server that was away up to a second after it is back."""
    until = time.monotonic() + BACK_WITHIN_S
    while True:
        try:
            await CollectionAdmin(connection).load(name)
        except VectorStoreUnavailable:
            if time.monotonic() > until:
                raise
            await asyncio.sleep(0.1)
        else:
            return


async def test_a_killed_milvus_is_reported_at_once_and_found_again(
    connection: MilvusConnection,
    milvus_settings: MilvusSettings,
    server: Server,
    running_server: RunningService,
    collection: CollectionInfo,
) -> None:
    alias = collection.aliases[0]
    before = await search(connection, alias, soon())
    await asyncio.to_thread(running_server.kill)
    async with await MilvusConnection.open(milvus_settings) as opened_while_down:
        try:
            for each in (connection, opened_while_down):
                for _ in range(5):
                    began = time.monotonic()
                    with pytest.raises(VectorStoreUnavailable):
                        await search(each, alias, Deadline.after(10))
                    assert time.monotonic() - began < 1.5
        finally:
            running_server.start()
            await asyncio.to_thread(running_server.wait_ready)
        if Part.RELOADING in LACKS[server]:
            await load_when_found(connection, collection.name)
        assert await searchable(connection, alias) == before
        assert await searchable(opened_while_down, alias) == before
    # Nothing of the collection is lost: the build id, the alias, the search defaults and the lineage among it.
    assert collection.index == Hnsw(ef=200)
    assert collection.lineage == LINEAGE
    after = await CollectionAdmin(connection).describe(collection.name)
    assert dataclasses.replace(after, loaded=True) == collection
    found = await VectorSearcher(connection).vectors_of(collection.name, ["i042"], soon(), strong=True)
    np.testing.assert_array_equal(found["i042"], VECTORS[42])


async def test_a_silent_milvus_costs_a_request_its_deadline_and_no_more(
    connection: MilvusConnection, running_server: RunningService, collection: CollectionInfo
) -> None:
    alias = collection.aliases[0]
    before = await search(connection, alias, soon())
    running_server.pause()
    try:
        began = time.monotonic()
        with pytest.raises(DeadlineExceeded):
            await search(connection, alias, Deadline.after(0.5))
        with pytest.raises(DeadlineExceeded):
            await CollectionWriter(connection, collection).delete(["i001"])
        assert time.monotonic() - began < 0.5 + connection.settings.search_timeout_s + 1.0
    finally:
        running_server.resume()
    assert await searchable(connection, alias) == before
