"""Callers who go away: what is done for them ends, instead of running on to their deadline."""

import asyncio
from contextlib import AbstractContextManager, suppress
from types import TracebackType
from typing import Any, Final, cast

from starlette.requests import Request

from vitrine.gateway.errors import ClientGone

PATIENCE_S: Final = 0.05
"""Most searches are over by then, and cost no more than a timer that is never due."""


def ending_with_caller(request: Request) -> AbstractContextManager[None]:
    """Cancels the awaiting block once the caller has closed the connection.

    Args:
        request: its body, if any, has been read.

    Raises:
        ClientGone: the block was cancelled for that.
    """
    return _Departure(request)


class _Departure(AbstractContextManager[None]):
    """Watches one connection on behalf of the task that works for it."""

    __slots__ = ("_request", "_seen", "_task", "_timer", "_watcher")
    _task: "asyncio.Task[Any]"
    _timer: asyncio.TimerHandle

    def __init__(self, request: Request) -> None:
        self._request = request
        self._seen = False
        self._watcher: asyncio.Task[None] | None = None

    def __enter__(self) -> None:
        self._task = cast("asyncio.Task[Any]", asyncio.current_task())
        self._timer = asyncio.get_running_loop().call_later(PATIENCE_S, self._watch)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        if self._watcher is not None:
            self._watcher.cancel()
        if isinstance(error, asyncio.CancelledError) and self._seen and self._task.uncancel() == 0:
            raise ClientGone("The connection was closed before there was an answer.") from error

    def _watch(self) -> None:
        self._watcher = asyncio.get_running_loop().create_task(self._await_departure())

    async def _await_departure(self) -> None:
        # A connection that breaks in any other way is noticed when the answer is sent.
        with suppress(OSError):
            while (await self._request.receive())["type"] != "http.disconnect":
                pass
            self._seen = True
            self._task.cancel()
