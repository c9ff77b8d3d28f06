"""Puts texts that wait for Triton anyway into one request, by length.

Triton joins neighbours in its queue only while their shapes are equal, so a mixture of short and long texts arrives
there as batches of one or two. Joined on this side, where texts of each length wait in a queue of their own, the same
mixture makes full batches, with one copy of the model and fewer calls: see docs/adr/0002-text-buckets.md.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import Context
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from vitrine.domain import Deadline, Vectors
from vitrine.telemetry.spans import TraceContext, current_trace, link_to, recording, resumed, span

Ids: TypeAlias = npt.NDArray[np.int32]
Infer: TypeAlias = Callable[[Ids, Deadline], Awaitable[Vectors]]

UNDER_WAY = 2
"""Requests of one length at the same time: as many as the model has instances; more would empty the queues early."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    ids: Ids
    deadline: Deadline
    answer: asyncio.Future[Vectors]
    trace: TraceContext | None


class TextJoiner:
    """Sends texts on at once while few are under way, and together with others of their length otherwise.

    A lone text is never held back. What waits is bounded by whoever admits requests, and by their deadlines. Belongs to
    one event loop.

    Args:
        infer: one call to Triton: int32 [n, length] to float32 [n, dim].
        max_batch: most rows in one call.
        under_way: calls of one length at the same time.
    """

    def __init__(self, infer: Infer, *, max_batch: int, under_way: int = UNDER_WAY) -> None:
        self._infer = infer
        self._max_batch = max_batch
        self._under_way = under_way
        self._queues: defaultdict[int, deque[_Waiting]] = defaultdict(deque)
        self._senders: defaultdict[int, int] = defaultdict(int)
        self._tasks: set[asyncio.Task[None]] = set()

    async def infer_text(self, ids: Ids, deadline: Deadline) -> Vectors:
        """Embeds token ids, int32 [n, length] with n up to `max_batch`. Returns float32 [n, dim].

        Raises:
            DeadlineExceeded: no answer in time; the text is taken out of the queue.
            Whatever `infer` raises, for every text of the call.
        """
        left = deadline.remaining()
        waiting = _Waiting(ids, deadline, asyncio.get_running_loop().create_future(), current_trace())
        length = ids.shape[1]
        self._queues[length].append(waiting)
        if self._senders[length] < self._under_way:
            self._senders[length] += 1
            # In no request's context: the task goes on for others when the text that began it has its answer.
            task = asyncio.create_task(self._send(length), context=Context())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        with deadline.bounding("waiting for the embedding of a text"):
            async with asyncio.timeout(left):
                return await waiting.answer

    async def _send(self, length: int) -> None:
        """Calls for as long as texts of the length wait."""
        try:
            while batch := self._take(length):
                with resumed(_leading(batch)), _joined(batch):
                    await self._answer(batch)
        finally:
            self._senders[length] -= 1

    def _take(self, length: int) -> list[_Waiting]:
        """The longest waiting texts that fit one call, without those that nobody waits for any more."""
        queue, batch, rows = self._queues[length], list[_Waiting](), 0
        while queue and (not batch or rows + len(queue[0].ids) <= self._max_batch):
            waiting = queue.popleft()
            if not waiting.answer.done():
                batch.append(waiting)
                rows += len(waiting.ids)
        return batch

    async def _answer(self, batch: list[_Waiting]) -> None:
        ids = batch[0].ids if len(batch) == 1 else np.concatenate([waiting.ids for waiting in batch])
        # The most patient one's deadline: each of the others stops waiting by itself.
        latest = max((waiting.deadline for waiting in batch), key=lambda deadline: deadline.at)
        try:
            vectors = await self._infer(ids, latest)
        except Exception as error:  # noqa: BLE001 - handed to everyone who waits
            for waiting in batch:
                if not waiting.answer.done():
                    waiting.answer.set_exception(error)
            return
        start = 0
        for waiting in batch:
            end = start + len(waiting.ids)
            if not waiting.answer.done():
                waiting.answer.set_result(vectors[start:end])
            start = end


def _leading(batch: Sequence[_Waiting]) -> TraceContext | None:
    """The trace that a call belongs to: of the first text that is traced, else of the first."""
    traces = [waiting.trace for waiting in batch if waiting.trace is not None]
    return next((trace for trace in traces if trace.span is not None), traces[0] if traces else None)


@contextmanager
def _joined(batch: Sequence[_Waiting]) -> Iterator[None]:
    """A span around a call for several texts, which is in one of their traces and linked with all the others."""
    leading = recording()
    if leading is None or len(batch) == 1:
        yield
        return
    others = [waiting.trace for waiting in batch if waiting.trace is not None and waiting.trace is not leading]
    rows = sum(len(waiting.ids) for waiting in batch)
    with span("joined batch", {"vitrine.texts": len(batch), "vitrine.batch_size": rows}, links=others):
        joined = current_trace()
        for other in others:
            with resumed(other):
                link_to(joined)
        yield
