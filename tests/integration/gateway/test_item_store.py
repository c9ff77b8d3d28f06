"""Writes that Milvus does not answer: stopped at the very moment that it is asked to write."""

import time
from collections.abc import AsyncIterator, Sequence
from functools import partial

import numpy as np
import pytest

from tests.fixtures.indexing import Shelf
from tests.fixtures.shop import jpeg
from tests.fixtures.stack import RunningService, RunningStack
from vitrine.domain import Deadline, EmbeddedItem
from vitrine.embedding.encoder import Encoder, open_encoder
from vitrine.errors import VitrineError
from vitrine.gateway.items.checking import SentItem
from vitrine.gateway.items.errors import WriteUnconfirmed
from vitrine.gateway.items.folder import open_folder
from vitrine.gateway.items.pictures import ItemPictures
from vitrine.gateway.items.writing import ItemStore
from vitrine.gateway.pictures import Pictures
from vitrine.telemetry.metrics import GatewayMetrics
from vitrine.telemetry.stages import StageClock
from vitrine.vectorstore.admin import CollectionAdmin
from vitrine.vectorstore.collection import CollectionInfo, CollectionSpec
from vitrine.vectorstore.connection import MilvusConnection
from vitrine.vectorstore.index_params import parse_index
from vitrine.vectorstore.searcher import VectorSearcher
from vitrine.vectorstore.writer import CollectionWriter

COLLECTION = "unanswered_v1"
TIME_S = 1.5
RECOVERY_S = 60.0


class StoppingWriter(CollectionWriter):
    """Stops Milvus before each call. Deletions ask what is there first, and then are not sent at all."""

    def __init__(self, milvus: RunningService, connection: MilvusConnection, info: CollectionInfo) -> None:
        super().__init__(connection, info)
        self._milvus = milvus

    async def upsert(self, items: Sequence[EmbeddedItem], deadline: Deadline | None = None) -> int:
        self._milvus.pause()
        return await super().upsert(items, deadline)

    async def delete(self, ids: Sequence[str], deadline: Deadline | None = None) -> list[str]:
        self._milvus.pause()
        return await super().delete(ids, deadline)


class Stage:
    """A collection, a store that works, and one under which Milvus stops."""

    def __init__(self, stack: RunningStack, connection: MilvusConnection, encoder: Encoder) -> None:
        self.milvus = stack.milvus
        self.shelf = Shelf(connection)
        self._settings = stack.settings
        self._connection = connection
        self._encoder = encoder
        self.working = self._store(partial(CollectionWriter, connection))
        self.stopping = self._store(partial(StoppingWriter, stack.milvus, connection))

    def _store(self, writer_of: "partial[CollectionWriter]") -> ItemStore:
        with open_folder(None, 1) as folder:
            pictures = ItemPictures(Pictures(self._settings.images), folder, self._encoder, at_once=2)
        admin, vectors = CollectionAdmin(self._connection), VectorSearcher(self._connection)
        return ItemStore(admin, vectors, self._encoder, pictures, writer_of, GatewayMetrics("1", (), (), ()).items)

    async def put(self, store: ItemStore, seed: int, seconds: float = 30.0) -> None:
        """Writes an item whose title is its picture's seed."""
        sent = SentItem("one", jpeg(seed), title=str(seed))
        await store.write(COLLECTION, [sent], Deadline.after(seconds), StageClock())

    async def title(self) -> str | None:
        """The title of the item that is there; fails the test when its vector is not that of its title's picture."""
        ids = await self.shelf.ids(COLLECTION)
        if "one" not in ids:
            return None
        title = (await self.shelf.hits(COLLECTION, ["one"]))["one"].title
        (vector,) = await self._encoder.encode_images([jpeg(int(title))], Deadline.after(30), StageClock())
        stored = (await self.shelf.vectors(COLLECTION, ["one"]))["one"]
        assert np.dot(stored, vector) == pytest.approx(1.0, abs=1e-5)
        return title

    async def recover(self) -> None:
        """Lets Milvus go on and waits until it answers."""
        self.milvus.resume()
        until = time.monotonic() + RECOVERY_S
        while True:
            try:
                await self.shelf.admin.count(COLLECTION, Deadline.after(5))
            except VitrineError:
                assert time.monotonic() < until, "Milvus did not recover"
            else:
                return


@pytest.fixture
async def stage(stack: RunningStack) -> AsyncIterator[Stage]:
    async with (
        open_encoder(stack.settings) as encoder,
        await MilvusConnection.open(stack.settings.milvus) as connection,
    ):
        admin = CollectionAdmin(connection)
        contract = encoder.contract
        if not await admin.exists(COLLECTION):
            index = parse_index("flat", {})
            await admin.create(CollectionSpec(COLLECTION, contract.dimension, (), index, contract.fingerprint, "tiny"))
        yield Stage(stack, connection, encoder)


async def test_pictures_of_two_seeds_can_be_told_apart(stage: Stage) -> None:
    first, second = [await _vector(stage, seed) for seed in (1, 2)]
    assert np.dot(first, second) < 0.999, "or the tests here would prove nothing"


async def _vector(stage: Stage, seed: int) -> "np.ndarray[tuple[int], np.dtype[np.float32]]":
    await stage.put(stage.working, seed)
    return (await stage.shelf.vectors(COLLECTION, ["one"]))["one"]


async def test_a_write_that_milvus_never_acknowledges_leaves_the_old_or_the_new_item(stage: Stage) -> None:
    await stage.put(stage.working, 1)
    began = time.monotonic()
    try:
        with pytest.raises(WriteUnconfirmed):
            await stage.put(stage.stopping, 2, TIME_S)
        assert time.monotonic() - began < TIME_S + 1
    finally:
        await stage.recover()
    assert await stage.title() in {"1", "2"}
    await stage.put(stage.working, 2)
    assert await stage.title() == "2", "sending the same again is safe"
    assert await stage.shelf.admin.count(COLLECTION) == 1


async def test_a_deletion_that_milvus_never_acknowledges_leaves_the_item_or_nothing(stage: Stage) -> None:
    await stage.put(stage.working, 3)
    try:
        with pytest.raises(WriteUnconfirmed):
            await stage.stopping.delete(COLLECTION, ["one"], Deadline.after(TIME_S), StageClock())
    finally:
        await stage.recover()
    assert await stage.title() in {"3", None}
    await stage.working.delete(COLLECTION, ["one"], Deadline.after(30), StageClock())
    assert await stage.title() is None


async def test_a_new_item_that_is_not_acknowledged_is_there_as_a_whole_or_not_at_all(stage: Stage) -> None:
    await stage.working.delete(COLLECTION, ["one"], Deadline.after(30), StageClock())
    try:
        with pytest.raises(WriteUnconfirmed):
            await stage.put(stage.stopping, 4, TIME_S)
    finally:
        await stage.recover()
    assert await stage.title() in {"4", None}
