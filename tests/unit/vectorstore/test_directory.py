"""The directory's promises about time and sharing, against a reader that answers when told to."""

import asyncio
import dataclasses
from typing import Any, cast

import pytest

from vitrine.domain import Deadline
from vitrine.errors import CollectionNotFound, CollectionNotReady, DeadlineExceeded, VectorStoreUnavailable
from vitrine.vectorstore import directory as directory_module
from vitrine.vectorstore.collection import CollectionInfo
from vitrine.vectorstore.directory import CollectionDirectory
from vitrine.vectorstore.reader import CollectionReader


class Reader:
    def __init__(self, answer: CollectionInfo | Exception) -> None:
        self.answer = answer
        self.asked: list[str] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def describe(self, name: str, *, counted: bool) -> CollectionInfo:
        self.asked.append(name)
        answer = self.answer
        await self.may_answer.wait()
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> "Clock":
    clock = Clock()
    monkeypatch.setattr(directory_module, "time", clock)
    return clock


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def reader(info: CollectionInfo) -> Reader:
    return Reader(info)


@pytest.fixture
def directory(reader: Reader, clock: Clock) -> CollectionDirectory:
    return CollectionDirectory(cast("CollectionReader", cast("Any", reader)), ttl_s=1.0)


async def test_an_answer_is_used_for_its_time_and_not_longer(
    directory: CollectionDirectory, reader: Reader, clock: Clock, info: CollectionInfo
) -> None:
    assert await directory.resolve("products", Deadline.after(1)) is info
    clock.now += 0.999
    assert await directory.resolve("products", Deadline.after(1)) is info
    assert len(reader.asked) == 1
    clock.now += 0.001
    reader.answer = VectorStoreUnavailable("down")
    with pytest.raises(VectorStoreUnavailable):
        await directory.resolve("products", Deadline.after(1))


async def test_an_answers_time_counts_from_the_question(
    directory: CollectionDirectory, reader: Reader, clock: Clock
) -> None:
    reader.may_answer.clear()
    asking = asyncio.create_task(directory.resolve("products", Deadline.after(10)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    clock.now += 0.6
    reader.may_answer.set()
    await asking
    clock.now += 0.5
    await directory.resolve("products", Deadline.after(10))
    assert len(reader.asked) == 2


async def test_callers_at_the_same_time_share_one_question(
    directory: CollectionDirectory, reader: Reader, info: CollectionInfo
) -> None:
    reader.may_answer.clear()
    asking = [asyncio.create_task(directory.resolve("products", Deadline.after(10))) for _ in range(50)]
    await asyncio.sleep(0)
    reader.may_answer.set()
    assert await asyncio.gather(*asking) == [info] * 50
    assert len(reader.asked) == 1


async def test_a_caller_without_time_leaves_the_others_waiting(
    directory: CollectionDirectory, reader: Reader, info: CollectionInfo
) -> None:
    reader.may_answer.clear()
    patient = asyncio.create_task(directory.resolve("products", Deadline.after(10)))
    with pytest.raises(DeadlineExceeded):
        await directory.resolve("products", Deadline.after(0.01))
    reader.may_answer.set()
    assert await patient is info
    assert len(reader.asked) == 1


async def test_a_cancelled_caller_leaves_the_others_waiting(
    directory: CollectionDirectory, reader: Reader, info: CollectionInfo
) -> None:
    reader.may_answer.clear()
    first = asyncio.create_task(directory.resolve("products", Deadline.after(10)))
    second = asyncio.create_task(directory.resolve("products", Deadline.after(10)))
    await asyncio.sleep(0)
    first.cancel()
    reader.may_answer.set()
    assert await second is info


async def test_errors_are_not_remembered(directory: CollectionDirectory, reader: Reader, info: CollectionInfo) -> None:
    reader.answer = CollectionNotFound("none")
    with pytest.raises(CollectionNotFound):
        await directory.resolve("products", Deadline.after(1))
    reader.answer = info
    assert await directory.resolve("products", Deadline.after(1)) is info


async def test_an_answer_from_before_an_invalidation_is_not_kept(
    directory: CollectionDirectory, reader: Reader, info: CollectionInfo
) -> None:
    reader.may_answer.clear()
    asking = asyncio.create_task(directory.resolve("products", Deadline.after(10)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    newer = dataclasses.replace(info, name="products_v2")
    reader.answer = newer
    directory.invalidate("products")
    reader.may_answer.set()
    assert await asking is info
    assert await directory.resolve("products", Deadline.after(1)) is newer
    directory.invalidate()
    await directory.resolve("products", Deadline.after(1))
    assert len(reader.asked) == 3


async def test_a_half_made_collection_is_not_searched(
    directory: CollectionDirectory, reader: Reader, info: CollectionInfo
) -> None:
    reader.answer = dataclasses.replace(info, build_id="")
    with pytest.raises(CollectionNotReady):
        await directory.resolve("products", Deadline.after(1))
