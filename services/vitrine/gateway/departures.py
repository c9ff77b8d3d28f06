"""Callers who go away: what is done for them ends, instead of running on to their deadline."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, cast

from starlette.requests import Request

from vitrine.gateway.errors import ClientGone

PATIENCE_S: Final = 0.05
"""Most searches are over by then, and cost no more than a timer that is never due."""


@contextmanager
def ending_with_caller(request: Request) -> Iterator[None]:
    """Cancels the awaiting block once the caller has closed the connection.

    Args:
        request: its body, if any, has been read.

    Raises:
        ClientGone: the block was cancelled for that.
    """
    departure = _Departure(request)
    timer = asyncio.get_running_loop().call_later(PATIENCE_S, departure.watch)
    try:
        yield
    except asyncio.CancelledError as error:
        if departure.seen and departure.task.uncancel() == 0:
            raise ClientGone("The connection was closed before there was an answer.") from error
        raise
    finally:
        timer.cancel()
        departure.forget()


class _Departure:
    """Watches one connection on behalf of the task that works for it."""

    def __init__(self, request: Request) -> None:
        self.task = cast("asyncio.Task[Any]", asyncio.current_task())
        self.seen = False
        self._request = request
        self._watcher: asyncio.Task[None] | None = None

    def watch(self) -> None:
        self._watcher = asyncio.get_running_loop().create_task(self._await_departure())

    def forget(self) -> None:
        if self._watcher is not None:
            self._watcher.cancel()

    async def _await_departure(self) -> None:
        # A connection that breaks in any other way is noticed when the answer is sent.
        with suppress(OSError):
            while (await self._request.receive())["type"] != "http.disconnect":
                pass
            self.seen = True
            self.task.cancel()
