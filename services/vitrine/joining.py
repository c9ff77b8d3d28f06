"""Puts questions that would wait for a server anyway into one call.

While few calls are under way a question is sent at once; what comes meanwhile waits, and goes together in the next one.
So a lone question is never held back, and a busy server gets fewer and larger calls, which cost it less for each.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import Context
from dataclasses import dataclass, field
from typing import Generic, TypeAlias, TypeVar, cast

from vitrine.domain import Deadline
from vitrine.telemetry.spans import TraceContext, current_trace, link_to, recording, resumed, span

Key = TypeVar("Key", bound=Hashable)
Item = TypeVar("Item")
Answer = TypeVar("Answer")
Along: TypeAlias = Callable[[Mapping[Key, int], Key, int], bool]
Call: TypeAlias = Callable[[Key, list[Item], Deadline], Awaitable[Sequence[Answer]]]


@dataclass(frozen=True, slots=True)
class _Waiting(Generic[Item, Answer]):
    since: float
    item: Item
    rows: int
    deadline: Deadline
    answer: asyncio.Future[Answer]
    trace: TraceContext | None


@dataclass(slots=True)
class _Queue(Generic[Item, Answer]):
    """What waits of one key, and how many calls of it are under way."""

    waiting: deque[_Waiting[Item, Answer]] = field(default_factory=deque)
    under_way: int = 0

    def take(self, most: int) -> list[_Waiting[Item, Answer]]:
        """The longest waiting that fit one call, without those that nobody waits for any more."""
        batch: list[_Waiting[Item, Answer]] = []
        rows = 0
        while self.waiting and (not batch or rows + self.waiting[0].rows <= most):
            first = self.waiting.popleft()
            if not first.answer.done():
                batch.append(first)
                rows += first.rows
        return batch

    def rows(self) -> int:
        """How much room all take that wait and are waited for."""
        return sum(waiting.rows for waiting in self.waiting if not waiting.answer.done())


class Joiner(Generic[Key, Item, Answer]):
    """Asks for items of one key together.

    What waits is bounded by whoever admits requests, and by their deadlines. Belongs to one event loop.

    Args:
        call: asks for items of a key, and ends by itself at a deadline; an answer for each, in their order.
        most: rows that a call of a key may have; an item of more goes alone.
        under_way: calls of a key at the same time.
        altogether: calls at the same time, whatever their keys; the next is of the key that has waited longest. None:
            keys do not wait for each other.
        along: given the rows of a call by their keys, another key, and how many rows wait of that: whether these had
            better go in the same call than in one of their own. None: never.
        span_name: of the span around a call for several items.
        doing: what takes too long when the time is up, for the error.
    """

    def __init__(
        self,
        call: Call[Key, Item, Answer],
        *,
        most: Callable[[Key], int],
        under_way: int,
        altogether: int | None = None,
        along: Along[Key] | None = None,
        span_name: str,
        doing: str,
    ) -> None:
        self._call = call
        self._altogether = altogether
        self._along = along
        self._calls = 0
        self._span_name = span_name
        self._most = most
        self._under_way = under_way
        self._doing = doing
        self._queues: dict[Key, _Queue[Item, Answer]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def ask(self, key: Key, item: Item, rows: int, deadline: Deadline) -> Answer:
        """The answer to one item.

        Args:
            key: of those that can share a call.
            item: what is asked.
            rows: how much of a call's room it takes.
            deadline: of this item; a call lasts as long as its most patient one.

        Raises:
            DeadlineExceeded: no answer in time; an item that still waits is not asked any more.
            Whatever the call raises, for every item of it.
        """
        left = deadline.remaining()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Answer] = loop.create_future()
        waiting = _Waiting(loop.time(), item, rows, deadline, answer, current_trace())
        queue = self._queues.setdefault(key, _Queue())
        queue.waiting.append(waiting)
        begins = queue.under_way < self._under_way and (self._altogether is None or self._calls < self._altogether)
        if begins and await self._begins_alone(key, queue, waiting):
            return await self._alone(key, queue, waiting)
        with deadline.bounding(self._doing):
            async with asyncio.timeout(left):
                return await answer

    async def _begins_alone(self, key: Key, queue: _Queue[Item, Answer], own: _Waiting[Item, Answer]) -> bool:
        """Takes a place for calls of the key; whether the item is alone. Unless it is, a task sends it with others."""
        self._take_place(queue)
        try:
            await asyncio.sleep(0)  # who asks in the same turn of the event loop shares the call
        except asyncio.CancelledError:
            own.answer.cancel()
            self._send_in_task(key, queue)
            raise
        if len(queue.waiting) == 1 and queue.waiting[0] is own:
            queue.waiting.clear()
            return True
        self._send_in_task(key, queue)
        return False

    async def _alone(self, key: Key, queue: _Queue[Item, Answer], own: _Waiting[Item, Answer]) -> Answer:
        """Calls for one item where it is asked, which spares a task and two turns of the event loop."""
        try:
            (answer,) = await self._call(key, [own.item], own.deadline)
        finally:
            if queue.waiting and self._longest_waiting() is None:
                self._send_in_task(key, queue)
            else:
                self._give_place_back(key, queue)
        return answer

    def _take_place(self, queue: _Queue[Item, Answer]) -> None:
        queue.under_way += 1
        self._calls += 1

    def _give_place_back(self, key: Key, queue: _Queue[Item, Answer]) -> None:
        """Where calls are limited altogether, to the key whose turn it is."""
        queue.under_way -= 1
        self._calls -= 1
        self._forget_unused(key, queue)
        if (following := self._longest_waiting()) is not None:
            self._take_place(self._queues[following])
            self._send_in_task(following, self._queues[following])

    def _forget_unused(self, key: Key, queue: _Queue[Item, Answer]) -> None:
        if not queue.under_way and not queue.waiting and self._queues.get(key) is queue:
            del self._queues[key]

    def _send_in_task(self, key: Key, queue: _Queue[Item, Answer]) -> None:
        """Calls for what waits of a key, on a place that is taken."""
        # In no request's context: the task goes on for others when the one that began it has its answer.
        task = asyncio.create_task(self._send(key, queue), context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send(self, key: Key, queue: _Queue[Item, Answer]) -> None:
        """Calls for as long as items of the key wait; where calls are limited altogether, keys take turns."""
        try:
            while batch := self._take(key, queue):
                with resumed(_leading(batch)), _joined(self._span_name, batch):
                    await self._answer(key, batch)
                if self._longest_waiting() is not None:
                    break
        finally:
            self._give_place_back(key, queue)

    def _take(self, key: Key, queue: _Queue[Item, Answer]) -> list[_Waiting[Item, Answer]]:
        """What goes into the next call of a key."""
        most = self._most(key)
        batch = queue.take(most)
        if self._along is None or not batch:
            return batch
        rows = {key: sum(waiting.rows for waiting in batch)}
        for other, its in list(self._queues.items()):
            more = 0 if its is queue else its.rows()
            if 0 < more <= most - sum(rows.values()) and self._along(rows, other, more):
                batch += its.take(more)
                rows[other] = more
                self._forget_unused(other, its)
        return batch

    def _longest_waiting(self) -> Key | None:
        """Where calls are limited altogether: the key whose turn it is, of those that may have another call."""
        if self._altogether is None:
            return None
        waiting = {
            key: queue.waiting[0].since
            for key, queue in self._queues.items()
            if queue.waiting and queue.under_way < self._under_way
        }
        return min(waiting, key=waiting.__getitem__, default=None)

    async def _answer(self, key: Key, batch: list[_Waiting[Item, Answer]]) -> None:
        # The most patient one's deadline: each of the others stops waiting by itself.
        latest = max((waiting.deadline for waiting in batch), key=lambda deadline: deadline.at)
        try:
            with _ending_with_the_last(batch):
                answers = await self._call(key, [waiting.item for waiting in batch], latest)
        except Exception as error:  # noqa: BLE001 - handed to everyone who waits
            for waiting in batch:
                if not waiting.answer.done():
                    waiting.answer.set_exception(error)
            return
        for waiting, answer in zip(batch, answers, strict=True):
            if not waiting.answer.done():
                waiting.answer.set_result(answer)


class _Abandoned(Exception):
    """Nobody waits for a call any more."""


@contextmanager
def _ending_with_the_last(batch: Sequence[_Waiting[Item, Answer]]) -> Iterator[None]:
    """Cancels the awaiting block when all who wait for it have left.

    Raises:
        _Abandoned: they have.
    """
    task, left = cast("asyncio.Task[None]", asyncio.current_task()), False

    def note(_: "asyncio.Future[Answer]") -> None:
        nonlocal left
        if not left and all(waiting.answer.done() for waiting in batch):
            left = True
            task.cancel()

    for waiting in batch:
        waiting.answer.add_done_callback(note)
    try:
        yield
    except asyncio.CancelledError as error:
        if left and task.uncancel() == 0:
            raise _Abandoned from error
        raise
    finally:
        for waiting in batch:
            waiting.answer.remove_done_callback(note)


def _leading(batch: Sequence[_Waiting[Item, Answer]]) -> TraceContext | None:
    """The trace that a call belongs to: of the first item that is traced, else of the first."""
    traces = [waiting.trace for waiting in batch if waiting.trace is not None]
    return next((trace for trace in traces if trace.span is not None), traces[0] if traces else None)


def _joined(name: str, batch: Sequence[_Waiting[Item, Answer]]) -> AbstractContextManager[None]:
    """A span around a call for several items, which is in one of their traces and linked with all the others."""
    leading = recording()
    return nullcontext() if leading is None or len(batch) == 1 else _linked(name, batch, leading)


@contextmanager
def _linked(name: str, batch: Sequence[_Waiting[Item, Answer]], leading: TraceContext) -> Iterator[None]:
    others = [waiting.trace for waiting in batch if waiting.trace is not None and waiting.trace is not leading]
    rows = sum(waiting.rows for waiting in batch)
    with span(name, {"vitrine.joined": len(batch), "vitrine.batch_size": rows}, links=others):
        joined = current_trace()
        for other in others:
            with resumed(other):
                link_to(joined)
        yield
