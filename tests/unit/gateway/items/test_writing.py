"""The store itself, on a shelf in memory."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fixtures.shop import jpeg
from tests.unit.gateway.conftest import COLLECTION
from tests.unit.gateway.memory_shelf import CONTRACT, MemoryShelf
from vitrine.domain import Deadline
from vitrine.errors import (
    CollectionNotFound,
    CollectionNotReady,
    ContractMismatch,
    DeadlineExceeded,
    EncoderUnavailable,
    InvalidInput,
    LimitExceeded,
    VectorStoreUnavailable,
    VitrineError,
)
from vitrine.gateway.items.checking import SentItem
from vitrine.gateway.items.errors import ItemDuplicate, WriteUnconfirmed
from vitrine.gateway.items.writing import ItemStore, Stored
from vitrine.gateway.pictures import Pictures
from vitrine.settings import ItemSettings, Settings
from vitrine.telemetry.metrics import GatewayMetrics, ItemOutcome
from vitrine.telemetry.stages import Stage, StageClock

SETTINGS = Settings()


@pytest.fixture
def shelf() -> MemoryShelf:
    return MemoryShelf(replace(COLLECTION, fingerprint=CONTRACT.fingerprint))


@pytest.fixture
def metrics() -> GatewayMetrics:
    return GatewayMetrics("1", (), (), ())


@pytest.fixture
def store(shelf: MemoryShelf, metrics: GatewayMetrics) -> ItemStore:
    return shelf.store(SETTINGS, Pictures(SETTINGS.images), metrics)


def counted(metrics: GatewayMetrics, outcome: ItemOutcome) -> float:
    return metrics.registry.get_sample_value("vitrine_items_total", {"outcome": outcome}) or 0.0


def soon() -> Deadline:
    return Deadline.after(10)


def items(count: int) -> list[SentItem]:
    return [SentItem(f"p{n}", jpeg(n)) for n in range(count)]


async def test_many_items_are_embedded_in_full_batches_and_written_at_once(
    store: ItemStore, shelf: MemoryShelf, metrics: GatewayMetrics
) -> None:
    clock = StageClock()
    written = await store.write("products", items(70), soon(), clock)
    assert shelf.encoder.batches == [32, 32, 6]
    assert shelf.upserts == [[f"p{n}" for n in range(70)]]
    assert [outcome.item.id for outcome in written.outcomes if isinstance(outcome, Stored)] == shelf.upserts[0]
    assert all(isinstance(outcome, Stored) and outcome.created for outcome in written.outcomes)
    assert written.collection.name == "products_v1"
    assert set(clock.seconds) == {Stage.SEARCH, Stage.DECODE, Stage.EMBED, Stage.WRITE}
    assert counted(metrics, ItemOutcome.CREATED) == 70


async def test_the_good_ones_are_written_and_the_bad_ones_told_in_their_places(
    store: ItemStore, shelf: MemoryShelf, metrics: GatewayMetrics
) -> None:
    shelf.put("p2")
    malformed = InvalidInput("No item.")
    entries = [
        SentItem("p0", b"<html></html>"),
        malformed,
        SentItem("p2", jpeg(2)),
        SentItem("p3", jpeg(3), fields={"price": "cheap"}),
        SentItem("p2", jpeg(4)),
        SentItem("p0", jpeg(5)),
        SentItem("p6", jpeg(6)[:300]),
        SentItem("p7", jpeg(7)),
    ]
    outcomes = (await store.write("products", entries, soon(), StageClock())).outcomes
    told = [outcome.code if isinstance(outcome, VitrineError) else outcome.created for outcome in outcomes]
    assert told == [
        "image_unrecognised",
        "invalid_input",
        False,
        "invalid_input",
        "item_duplicate",
        "item_duplicate",  # of an item that failed, too: which of two was meant nobody can know
        "image_corrupt",
        True,
    ]
    assert isinstance(outcomes[4], ItemDuplicate)
    assert shelf.upserts == [["p2", "p7"]]
    assert counted(metrics, ItemOutcome.REJECTED) == 6
    assert counted(metrics, ItemOutcome.REPLACED) == 1


async def test_nothing_good_means_nothing_is_asked_of_the_engines(store: ItemStore, shelf: MemoryShelf) -> None:
    shelf.failure = shelf.encoder.failure = AssertionError("must not be asked")
    outcomes = (await store.write("products", [SentItem("p", b"nothing")], soon(), StageClock())).outcomes
    assert isinstance(outcomes[0], VitrineError)


async def test_another_models_collection_is_not_written_to(store: ItemStore, shelf: MemoryShelf) -> None:
    shelf.collection = replace(shelf.collection, fingerprint="e" * 64)
    with pytest.raises(ContractMismatch) as caught:
        await store.write("products", items(1), soon(), StageClock())
    assert {caught.value.details["expected"], caught.value.details["found"]} == {CONTRACT.fingerprint, "e" * 64}
    assert shelf.encoder.batches == []
    assert shelf.upserts == []


@pytest.mark.parametrize(
    ("changed", "kind"), [({"loaded": False}, CollectionNotReady), ({"build_id": ""}, CollectionNotReady)]
)
async def test_a_collection_that_is_not_ready_is_not_written_to(
    store: ItemStore, shelf: MemoryShelf, changed: dict[str, object], kind: type[VitrineError]
) -> None:
    shelf.put("p0")
    shelf.collection = replace(shelf.collection, **changed)
    with pytest.raises(kind):
        await store.write("products", items(1), soon(), StageClock())
    with pytest.raises(kind):
        await store.delete("products", ["p0"], soon(), StageClock())
    assert shelf.upserts == []
    assert "p0" in shelf.items


async def test_an_alias_is_followed_anew_for_each_write(store: ItemStore, shelf: MemoryShelf) -> None:
    await store.write("products", items(1), soon(), StageClock())
    shelf.collection = replace(shelf.collection, name="products_v2")
    assert (await store.write("products", items(1), soon(), StageClock())).collection.name == "products_v2"
    with pytest.raises(CollectionNotFound):
        await store.write("products_v1", items(1), soon(), StageClock())


@pytest.mark.parametrize("failure", [EncoderUnavailable("down"), DeadlineExceeded("late"), ContractMismatch("other")])
async def test_when_embedding_fails_nothing_is_written(
    store: ItemStore, shelf: MemoryShelf, failure: VitrineError
) -> None:
    shelf.encoder.failure = failure
    with pytest.raises(type(failure)):
        await store.write("products", items(40), soon(), StageClock())
    assert shelf.upserts == []


@pytest.mark.parametrize("failure", [VectorStoreUnavailable("gone"), DeadlineExceeded("late")])
async def test_a_write_that_is_not_acknowledged_is_called_unconfirmed(
    store: ItemStore, shelf: MemoryShelf, metrics: GatewayMetrics, failure: VitrineError
) -> None:
    shelf.put("p0")
    shelf.failure = failure
    with pytest.raises(WriteUnconfirmed):
        await store.write("products", items(3), soon(), StageClock())
    with pytest.raises(WriteUnconfirmed):
        await store.delete("products", ["p0"], soon(), StageClock())
    assert counted(metrics, ItemOutcome.UNCONFIRMED) == 4
    assert counted(metrics, ItemOutcome.CREATED) == counted(metrics, ItemOutcome.DELETED) == 0


async def test_a_collection_released_meanwhile_is_no_doubt_about_the_write(
    store: ItemStore, shelf: MemoryShelf
) -> None:
    shelf.put("p0")
    shelf.failure = CollectionNotReady("released")
    with pytest.raises(CollectionNotReady) as caught:
        await store.delete("products", ["p0"], soon(), StageClock())
    assert caught.value.code == "collection_not_ready"


async def test_without_time_nothing_is_sent(store: ItemStore, shelf: MemoryShelf) -> None:
    shelf.failure = AssertionError("must not be asked")
    for deadline in (Deadline.after(-1), Deadline.after(0)):
        with pytest.raises(DeadlineExceeded):
            await store.write("products", items(1), deadline, StageClock())
        with pytest.raises(DeadlineExceeded):
            await store.delete("products", ["p0"], deadline, StageClock())


async def test_deletions_tell_which_were_there(store: ItemStore, shelf: MemoryShelf, metrics: GatewayMetrics) -> None:
    shelf.put("p1")
    deleted = await store.delete("products", ["p1", "p2", "p1"], soon(), StageClock())
    assert deleted.ids == {"p1"}
    assert deleted.refusal_of("p1") is None
    refusal = deleted.refusal_of("p2")
    assert refusal is not None
    assert refusal.details == {"id": "p2"}
    assert shelf.items == {}
    assert counted(metrics, ItemOutcome.DELETED) == counted(metrics, ItemOutcome.MISSING) == 1


async def test_pictures_come_from_bodies_and_from_the_folder(
    shelf: MemoryShelf, metrics: GatewayMetrics, tmp_path: Path
) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg(1))
    settings = SETTINGS.model_copy(update={"items": ItemSettings(images_root=tmp_path)})
    store = shelf.store(settings, Pictures(settings.images), metrics)
    entries = [
        SentItem("p0", image_path="a.jpg"),
        SentItem("p1", jpeg(1), image_path="elsewhere/b.jpg"),
        SentItem("p2", image_path="b.jpg"),
    ]
    outcomes = (await store.write("products", entries, soon(), StageClock())).outcomes
    assert [getattr(outcome, "code", "stored") for outcome in outcomes] == ["stored", "stored", "image_missing"]
    assert shelf.items["p1"].item.image_path == "elsewhere/b.jpg"
    assert (shelf.items["p0"].vector == shelf.items["p1"].vector).all()


async def test_only_a_few_files_are_in_memory_at_once(shelf: MemoryShelf, metrics: GatewayMetrics) -> None:
    held, most = 0, 0

    class Counting(Pictures):
        async def bytes_of(self, sent: str, deadline: Deadline) -> bytes:
            nonlocal held, most
            held += 1
            most = max(most, held)
            await asyncio.sleep(0)
            return jpeg(1)

    decode = shelf.encoder.decode

    async def slow(data: bytes, deadline: Deadline) -> object:
        nonlocal held
        await asyncio.sleep(0)
        pixels = await decode(data, deadline)
        held -= 1
        return pixels

    shelf.encoder.decode = slow
    store = shelf.store(SETTINGS, Counting(SETTINGS.images), metrics)
    entries = [SentItem(f"p{n}", "https://pictures.example/x.jpg") for n in range(50)]
    await store.write("products", entries, soon(), StageClock())
    assert most == SETTINGS.images.decode_threads


async def test_addresses_are_counted_over_the_whole_request(shelf: MemoryShelf, metrics: GatewayMetrics) -> None:
    class Refusing(Pictures):
        def check_count(self, sent: object) -> None:
            raise LimitExceeded(f"{sent}")

    store = shelf.store(SETTINGS, Refusing(SETTINGS.images), metrics)
    with pytest.raises(LimitExceeded):
        await store.write("products", [SentItem("p", "https://pictures.example/x.jpg")], soon(), StageClock())
    assert shelf.upserts == []
