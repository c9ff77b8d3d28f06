"""How the HTTP process ends: nobody who was listened to goes without an answer.

HTTP/1.1 has one way to take back a kept connection without a loss: an answer that says `Connection: close`. To close
one between two requests loses the request that its client writes at that moment, and clients with a pool always do.
"""

import asyncio
import logging
import select
import signal
import socket
import time
from types import FrameType
from typing import Final

import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from vitrine.gateway.dependencies import Services

logger = logging.getLogger(__name__)

# Between "not ready" and the closing of the listening socket: whoever probes once a second has noticed by then.
_NOTICE_S: Final = 1.0
# Kept connections are closed when they were silent for so long after the signal. What is in use is told by its next
# answer; the chance that one which was not is taken up in that very moment gets smaller with the time.
_SILENCE_S: Final = 5.0
_POLL_S: Final = 0.05


class Farewell:
    """Once `leaving`, every answer says `Connection: close`, those to requests that came before included.

    Args:
        app: the next ASGI application.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.leaving = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_taking_leave(message: Message) -> None:
            if self.leaving and message["type"] == "http.response.start":
                headers = [header for header in message.get("headers", ()) if header[0].lower() != b"connection"]
                message["headers"] = [*headers, (b"connection", b"close")]
            await send(message)

        await self._app(scope, receive, send_taking_leave)


class DrainingServer(uvicorn.Server):
    """On the first SIGTERM or SIGINT: not ready, and every answer the last one of its connection, at once; then no new
    connections; then an end to connections that stayed silent, and to the requests in flight.

    A second signal ends it without waiting. The exit status after a signal is 0: it was asked for.

    Args:
        config: of `farewell` as the application.
        app: what `farewell` wraps.
        farewell: told when the first signal comes.
        notice_s: from the signal to the closing of the listening socket.
        silence_s: from the signal to the closing of connections that nobody used meanwhile.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        app: FastAPI,
        farewell: Farewell,
        *,
        notice_s: float = _NOTICE_S,
        silence_s: float = _SILENCE_S,
    ) -> None:
        super().__init__(config)
        self._app = app
        self._farewell = farewell
        self._notice_s = notice_s
        self._silence_s = silence_s
        self._told_at: float | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Called by the interpreter between two instructions of the main thread."""
        if self._told_at is not None:
            self.should_exit = self.force_exit = True
            return
        logger.info("Draining after %s.", signal.Signals(sig).name)
        self._told_at = time.monotonic()
        self._farewell.leaving = True
        services: Services | None = getattr(self._app.state, "services", None)
        if services is None:
            self.should_exit = True
        else:
            services.readiness.drain()

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: whether to leave the main loop."""
        if self._told_at is not None and time.monotonic() >= self._told_at + self._notice_s:
            self.should_exit = True
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Takes no new connections and lets those that there are end by themselves; after a while closes the silent."""
        for server in self.servers:
            server.close()
        began = time.monotonic()
        drain_s = self.config.timeout_graceful_shutdown or 0
        silent_at = (began if self._told_at is None else self._told_at) + self._silence_s
        while self.server_state.connections and not self.force_exit and time.monotonic() < began + drain_s:
            if time.monotonic() >= silent_at:
                self._close_silent()
            await asyncio.sleep(_POLL_S)
        # What the connections left: tasks that outlive theirs. Never 0 s where there is time, which would be an error.
        left_s = began + drain_s - time.monotonic()
        self.config.timeout_graceful_shutdown = min(drain_s, max(1, round(left_s)))
        await super().shutdown(sockets)

    def _close_silent(self) -> None:
        """Closes connections that wait for a request of which not even a part has come."""
        for connection in list(self.server_state.connections):
            if isinstance(connection, HttpToolsProtocol) and not _is_busy(connection):
                connection.shutdown()


def _is_busy(connection: HttpToolsProtocol) -> bool:
    """Whether an answer is due, or bytes that this process has not read yet: on a loaded machine it may be late."""
    if connection.cycle is not None and not connection.cycle.response_complete:
        return True
    arrived = select.poll()
    arrived.register(connection.transport.get_extra_info("socket").fileno(), select.POLLIN)
    return bool(arrived.poll(0))
