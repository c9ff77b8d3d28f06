"""The server's HTTP/1.1, with an answer's head and body in one packet.

uvicorn writes them one after the other, and uvloop hands each to the kernel at once: two packets, and two times that a
caller is woken up. Most answers are small, so that costs a tenth of a search's processor time.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_HEAD = b"HTTP/1.1 "


class OnePacketProtocol(HttpToolsProtocol):
    """uvicorn's own protocol, on a transport that joins head and body."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Called once for each connection."""
        super().connection_made(_HeadJoining(transport, self.loop))  # type: ignore[arg-type]


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

    def close(self) -> None:
        """As a transport's own: what was written is sent before."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._head:
            data, self._head = self._head, b""
            self._transport.write(data)
