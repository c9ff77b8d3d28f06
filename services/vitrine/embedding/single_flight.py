"""Work that several wait for is done once, and only for as long as somebody waits."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Hashable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

from vitrine.domain import Deadline
from vitrine.errors import DeadlineExceeded
from vitrine.telemetry.spans import TraceContext, link_to, recording

Answer = TypeVar("Answer")
Key = TypeVar("Key", bound=Hashable)
Work: TypeAlias = Callable[[Deadline], Awaitable[Answer]]


@dataclass(slots=True)
class _Flight(Generic[Answer]):
    """Work under way.

    Args:
        deadline: of whoever began it.
        trace: of whoever began it, where that is recorded.
        waiting: how many want its answer.
    """

    task: asyncio.Task[Answer]
    deadline: Deadline
    trace: TraceContext | None
    waiting: int = 0


class SingleFlight(Generic[Key, Answer]):
    """Lets equal work that is wanted while it is under way be waited for instead of done again. For one event loop."""

    def __init__(self) -> None:
        self._flights: dict[Key, _Flight[Answer]] = {}

    def __contains__(self, key: object) -> bool:
        """Whether work of that key is under way."""
        return key in self._flights

    async def run(self, works: Mapping[Key, Work[Answer]], deadline: Deadline, doing: str) -> dict[Key, Answer]:
        """The answers to all keys, from work under way where there is any, else from the work given.

        Work is cancelled when nobody waits for it any more. It is begun with the deadline of whoever came first; those
        who have more time begin it anew when that was too short.

        Args:
            works: how to get the answer to each key, within a deadline.
            doing: what takes too long when it does, for the error.

        Raises:
            DeadlineExceeded: no answer before `deadline`.
            Whatever the work raises, for everyone who waits for it; nothing of it is kept.
        """
        answers: dict[Key, Answer] = {}
        while missing := [key for key in works if key not in answers]:
            joined = {key: self._join(key) or self._begin(key, works[key], deadline) for key in missing}
            await self._wait(joined, deadline)
            for key, flight in joined.items():
                if flight.task.done() and not _was_hurried(flight, deadline):
                    answers[key] = flight.task.result()
            if not all(flight.task.done() for flight in joined.values()):
                raise DeadlineExceeded(f"The request ran out of time while {doing}.")
        return answers

    def _join(self, key: Key) -> _Flight[Answer] | None:
        """Work under way. What it does is in the trace of whoever began it, so this one is linked with that."""
        flight = self._flights.get(key)
        if flight is not None:
            link_to(flight.trace)
        return flight

    def _begin(self, key: Key, work: Work[Answer], deadline: Deadline) -> _Flight[Answer]:
        async def fly() -> Answer:
            try:
                return await work(deadline)
            finally:
                self._land(key, flight)

        flight = _Flight(asyncio.create_task(fly()), deadline, recording())
        # Read here too: everyone may have left by the time it fails.
        flight.task.add_done_callback(lambda task: task.cancelled() or task.exception())
        self._flights[key] = flight
        return flight

    async def _wait(self, joined: Mapping[Key, _Flight[Answer]], deadline: Deadline) -> None:
        """Until all have landed or the time is up; whoever leaves last ends what is still under way."""
        flights: Collection[_Flight[Answer]] = joined.values()
        for flight in flights:
            flight.waiting += 1
        try:
            # Unlike `gather` and `wait_for` this cancels nothing by itself.
            await asyncio.wait([flight.task for flight in flights], timeout=deadline.remaining())
        finally:
            for key, flight in joined.items():
                flight.waiting -= 1
                if not flight.waiting and not flight.task.done():
                    # Gone from the table at once: whoever comes now must not wait for what is being cancelled.
                    self._land(key, flight)
                    flight.task.cancel()

    def _land(self, key: Key, flight: _Flight[Answer]) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]


def _was_hurried(flight: _Flight[Answer], deadline: Deadline) -> bool:
    """Whether work failed only because whoever began it had less time than `deadline` leaves."""
    failed = not flight.task.cancelled() and isinstance(flight.task.exception(), DeadlineExceeded)
    return failed and flight.deadline.at < deadline.at
