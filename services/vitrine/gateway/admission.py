"""What is refused before any work: requests above the number of permits, and bodies over their size or time."""

import asyncio
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vitrine.errors import Overloaded
from vitrine.gateway.errors import BODY_CUT_OFF, BodyTimedOut, BodyTooLarge, ClientGone
from vitrine.telemetry.metrics import GatewayMetrics, ShedReason

API_PREFIX: Final = "/v1/"
"""Paths that need a caller and a permit. Health, metrics, the page and pictures answer also when none is left."""


def needs_permit(scope: Scope) -> bool:
    """Whether this is a request of the API."""
    return scope["type"] == "http" and str(scope["path"]).startswith(API_PREFIX)


class Permits:
    """How many API requests are worked on at the same time. Also bounds memory: each holds one body at most.

    Args:
        total: permits there are.
        metrics: where those in use are counted.
    """

    def __init__(self, total: int, metrics: GatewayMetrics) -> None:
        self.total = total
        self.in_use = 0
        metrics.capacity.set(total)
        metrics.in_flight.set_function(lambda: self.in_use)

    @property
    def exhausted(self) -> bool:
        """Whether all are in use."""
        return self.in_use >= self.total

    def refusal(self) -> Overloaded:
        """What a request is answered for which there is none."""
        return Overloaded(
            f"All {self.total} permits are in use.", reason=ShedReason.IN_FLIGHT.value, permits=self.total
        )


class Admission:
    """A permit at once, or a refusal at once: nothing ever queues here.

    Args:
        app: the next ASGI application.
        permits: what is given. Most requests that get none do not come as far as here (`shedding`); those do for which
            the last one was taken while it was looked at who asks.
    """

    def __init__(self, app: ASGIApp, permits: Permits) -> None:
        self._app = app
        self._permits = permits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not needs_permit(scope):
            await self._app(scope, receive, send)
            return
        if self._permits.exhausted:
            raise self._permits.refusal()
        self._permits.in_use += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._permits.in_use -= 1


class BodyLimit:
    """Counts a body's bytes as they arrive, so that a wrong or missing Content-Length changes nothing.

    Args:
        app: the next ASGI application.
        max_bytes: largest body.
        timeout_s: longest a body may take to arrive.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, timeout_s: float) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not self._announces_body(scope):
            await self._app(scope, receive, send)
        else:
            await self._app(scope, _CountedBody(receive, self._max_bytes, self._timeout_s), send)

    def _announces_body(self, scope: Scope) -> bool:
        """Whether a body follows.

        Raises:
            BodyTooLarge: its announced length is over the limit.
        """
        for name, value in scope["headers"]:
            if name == b"content-length":
                # The server has refused what is no number.
                if int(value) > self._max_bytes:
                    raise _too_large(self._max_bytes)
                return int(value) > 0
            if name == b"transfer-encoding":
                return True
        return False


class _CountedBody:
    """An ASGI `receive` that gives up on a body that is too large, too slow or cut off."""

    def __init__(self, receive: Receive, max_bytes: int, timeout_s: float) -> None:
        self._receive = receive
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s
        self._expires = asyncio.get_running_loop().time() + timeout_s
        self._received = 0
        self._complete = False

    async def __call__(self) -> Message:
        if self._complete:
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._expires):
                message = await self._receive()
        except TimeoutError as error:
            raise BodyTimedOut(
                f"The request body did not arrive within {self._timeout_s:g} s.", timeout_s=self._timeout_s
            ) from error
        if message["type"] == "http.disconnect":
            raise ClientGone(BODY_CUT_OFF)
        self._received += len(message.get("body", b""))
        if self._received > self._max_bytes:
            raise _too_large(self._max_bytes)
        self._complete = not message.get("more_body", False)
        return message


def _too_large(max_bytes: int) -> BodyTooLarge:
    return BodyTooLarge(f"The request body is larger than {max_bytes} bytes.", limit_bytes=max_bytes)
