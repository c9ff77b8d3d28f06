"""The server's HTTP/1.1: uvicorn's, with an answer's head and body in one packet, and with refusals of its own.

uvicorn writes head and body one after the other, and uvloop hands each to the kernel at once: two packets, and two
times that a caller is woken up. Most answers are small, so that costs a tenth of a search's processor time. And for
every request uvicorn makes a task and a cycle of events, which is half of what a refusal in an overload costs.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from vitrine.gateway.admission import API_PREFIX
from vitrine.gateway.hang_up import announces_much
from vitrine.gateway.shedding import Refusals

_HEAD: Final = b"HTTP/1.1 "
_API: Final = API_PREFIX.encode()


class OnePacketProtocol(HttpToolsProtocol):
    """uvicorn's own protocol, on a transport that joins head and body."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Called once for each connection."""
        super().connection_made(_HeadJoining(transport, self.loop))  # type: ignore[arg-type]


class SheddingProtocol(OnePacketProtocol):
    """Refuses by itself what is to be refused and asks for nothing unusual. All else goes uvicorn's way.

    Args:
        refusals: when, and what is sent.
        leaving: whether the process is about to end: then answers say more than a refusal does here.
    """

    def __init__(self, *args: Any, refusals: Refusals, leaving: Callable[[], bool], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._refusals = refusals
        self._leaving = leaving
        self._refused = False

    def on_message_begin(self) -> None:
        """Called for each request."""
        self._refused = False
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Called for each request, before its body."""
        if self._refusals.due and self._is_plain():
            self._refuse()
        else:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Called for each part of a body; that of a refused request is thrown away."""
        if self._refused:
            self._await_more()
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Called for each request, after its body."""
        if self._refused:
            self._await_more()
        else:
            super().on_message_complete()

    def _is_plain(self) -> bool:
        return (
            self.url.startswith(_API)
            and self.parser.get_method() != b"HEAD"
            and self.parser.get_http_version() == "1.1"
            and self.parser.should_keep_alive()
            and not self.parser.should_upgrade()
            and not self.expect_100_continue
            and not announces_much(self.headers)
            and (self.cycle is None or self.cycle.response_complete)
            # Who does not read the answers gets no more of them before there is room.
            and not self.flow.write_paused
            and not self._leaving()
        )

    def _refuse(self) -> None:
        self._refused = True
        status, headers, body = self._refusals.answer(self.parser.get_method().decode(), self.headers)
        lines = [b"%b: %b\r\n" % header for header in (*self.server_state.default_headers, *headers)]
        transport: _HeadJoining = self.transport  # type: ignore[assignment]
        transport.write_at_once(b"".join((STATUS_LINE[status], *lines, b"\r\n", body)))
        self.on_response_complete()

    def _await_more(self) -> None:
        """Whatever comes ends the time for which a silent connection is kept; it begins anew."""
        if self.timeout_keep_alive_task is None and not self.transport.is_closing():
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )


class _HeadJoining:
    """A transport that keeps an answer's head back until its body is written, or the event loop goes on without it."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._head = b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """As a transport's own."""
        if self._head:
            data, self._head = self._head + data, b""
        elif data.startswith(_HEAD):
            self._head = data
            # Of an answer whose body takes its time, the head goes first.
            self._loop.call_soon(self._flush)
            return
        self._transport.write(data)

    def write_at_once(self, data: bytes) -> None:
        """Writes what is no head that a body follows."""
        self._flush()
        self._transport.write(data)

    def close(self) -> None:
        """As a transport's own: what was written is sent before."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._head:
            data, self._head = self._head, b""
            self._transport.write(data)
