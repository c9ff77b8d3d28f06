"""What joining adds for keys and for callers who leave; `embedding/test_text_joiner.py` has the rest."""

import asyncio

import pytest

from vitrine.domain import Deadline
from vitrine.errors import DeadlineExceeded
from vitrine.joining import Joiner


class Server:
    """Answers each item with itself, once its gate is open; records what it was asked and what was taken back."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, list[int]]] = []
        self.cancelled = 0
        self.gate = asyncio.Event()

    async def ask(self, key: str, items: list[int], _: Deadline) -> list[int]:
        self.calls.append((key, items))
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return items


def joiner(server: Server, *, under_way: int = 1) -> Joiner[str, int, int]:
    room = {"narrow": 2}
    return Joiner(
        server.ask, most=lambda key: room.get(key, 8), under_way=under_way, span_name="joined", doing="waiting"
    )


def ask(joined: Joiner[str, int, int], key: str, item: int, seconds: float = 30) -> asyncio.Task[int]:
    return asyncio.create_task(joined.ask(key, item, 1, Deadline.after(seconds)))


async def settle() -> None:
    """Lets every task run until it waits."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_items_of_different_keys_share_no_call_and_each_key_has_room_of_its_own() -> None:
    server = Server()
    joined = joiner(server)
    first = [ask(joined, "wide", 0), ask(joined, "narrow", 10)]
    await settle()
    others = [ask(joined, key, base + item) for item in range(1, 5) for key, base in (("wide", 0), ("narrow", 10))]
    await settle()
    server.gate.set()
    assert sorted(await asyncio.gather(*first, *others)) == [*range(5), *range(10, 15)]
    assert [items for key, items in server.calls if key == "wide"] == [[0], [1, 2, 3, 4]]
    assert [items for key, items in server.calls if key == "narrow"] == [[10], [11, 12], [13, 14]]


async def test_a_call_that_nobody_waits_for_any_more_ends_and_what_waits_goes_on() -> None:
    server = Server()
    joined = joiner(server)
    leaving = [ask(joined, "wide", item) for item in (1, 2)]
    await settle()
    staying = ask(joined, "wide", 3)
    await settle()
    for task in leaving:
        task.cancel()
    await settle()
    assert server.cancelled == 1
    assert server.calls == [("wide", [1, 2]), ("wide", [3])]
    server.gate.set()
    assert await staying == 3


async def test_a_call_goes_on_while_one_of_its_callers_waits() -> None:
    server = Server()
    joined = joiner(server)
    leaving, staying = ask(joined, "wide", 1), ask(joined, "wide", 2)
    await settle()
    leaving.cancel()
    await settle()
    assert server.cancelled == 0
    server.gate.set()
    assert await staying == 2


async def test_a_call_ends_with_the_time_of_its_last_caller() -> None:
    server = Server()
    joined = joiner(server)
    asked = [ask(joined, "wide", item, seconds) for item, seconds in ((1, 0.01), (2, 0.05))]
    for task in asked:
        with pytest.raises(DeadlineExceeded):
            await task
    await settle()
    assert server.cancelled == 1


async def test_a_process_that_ends_ends_its_calls() -> None:
    server = Server()
    joined = joiner(server)
    waiting = [ask(joined, "wide", item) for item in (1, 2)]
    await settle()
    for task in joined._tasks:
        task.cancel()
    await settle()
    assert server.cancelled == 1
    for caller in waiting:
        caller.cancel()


async def test_a_lone_item_needs_no_task_and_what_comes_meanwhile_goes_together() -> None:
    server = Server()
    joined = joiner(server)
    first = ask(joined, "wide", 1)
    await settle()
    assert joined._tasks == set()
    later = [ask(joined, "wide", item) for item in (2, 3)]
    await settle()
    server.gate.set()
    assert await asyncio.gather(first, *later) == [1, 2, 3]
    assert server.calls == [("wide", [1]), ("wide", [2, 3])]


async def test_a_lone_call_ends_with_its_caller_and_what_waits_goes_on() -> None:
    server = Server()
    joined = joiner(server)
    leaving = ask(joined, "wide", 1)
    await settle()
    staying = ask(joined, "wide", 2)
    await settle()
    leaving.cancel()
    await settle()
    assert server.cancelled == 1
    server.gate.set()
    assert await staying == 2
    assert server.calls == [("wide", [1]), ("wide", [2])]


async def test_who_leaves_before_the_call_began_is_not_asked_for() -> None:
    server = Server()
    server.gate.set()
    joined = joiner(server)
    leaving = ask(joined, "wide", 1)
    await asyncio.sleep(0)
    leaving.cancel()
    await settle()
    assert server.calls == []
    assert await ask(joined, "wide", 2) == 2
    assert joined._queues == {}


async def test_a_lone_call_that_fails_gives_its_place_back() -> None:
    async def refuse(_: str, __: list[int], ___: Deadline) -> list[int]:
        raise ValueError("no")

    joined: Joiner[str, int, int] = Joiner(refuse, most=lambda _: 8, under_way=1, span_name="joined", doing="waiting")
    for item in range(2):
        with pytest.raises(ValueError, match="no"):
            await ask(joined, "wide", item)
    assert joined._queues == {}


async def test_nothing_is_kept_of_a_key_without_questions() -> None:
    server = Server()
    server.gate.set()
    joined = joiner(server)
    for item in range(3):
        assert await ask(joined, f"key {item}", item) == item
    await settle()
    assert joined._queues == {}
