"""One kept connection to an HTTP/1.1 server.

Here, and not in a client library, because such a library takes longer over a request than the network does: see
docs/adr/0006. httptools, which reads requests for the gateway too, reads what comes.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from httptools import HttpParserError, HttpResponseParser


class ConnectionBroken(Exception):
    """A connection ended, or carried no HTTP, before an answer was complete."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back.

    Args:
        status: HTTP's.
        headers: by their names in lower case.
        body: the whole of it.
    """

    status: int
    headers: Mapping[bytes, bytes]
    body: bytes


class Connection(asyncio.Protocol):
    """Carries one request at a time. Made by the event loop: `loop.create_connection(lambda: Connection(...), ...)`.

    Args:
        most_bytes: of an answer's body; the connection ends with a longer one.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._parser = HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._waiting: asyncio.Future[Answer] | None = None
        self._headers: dict[bytes, bytes] = {}
        self._body: list[bytes] = []
        self._left = most_bytes
        self.usable = False
        """Whether another request may be sent."""

    async def exchange(self, head: bytes, body: bytes) -> Answer:
        """Sends a request and waits for its answer. Whoever leaves before it has come ends the connection.

        Raises:
            ConnectionBroken
        """
        if self._transport is None or not self.usable:
            raise ConnectionBroken("It has ended.")
        self._waiting = asyncio.get_running_loop().create_future()
        self.usable = False
        self._headers, self._body, self._left = {}, [], self._most_bytes
        self._transport.writelines((head, body))
        answered = False
        try:
            answer = await self._waiting
            answered = True
        finally:
            self._waiting = None
            if not answered:
                self.close()
        return answer

    def close(self) -> None:
        """Ends it now."""
        self.usable = False
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The event loop has connected."""
        self._transport = cast("asyncio.Transport", transport)
        self.usable = True

    def connection_lost(self, error: Exception | None) -> None:
        """The other side has ended it, or this one has."""
        self.usable = False
        self._fail(str(error) if error else "The other side has closed it.")

    def data_received(self, data: bytes) -> None:
        """The next bytes of an answer."""
        if self._waiting is None:
            self.close()  # nobody has asked for anything
            return
        try:
            self._parser.feed_data(data)
        except HttpParserError as error:
            self._fail(f"It does not carry HTTP: {error}")

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, as the parser has read it."""
        self._headers[name.lower()] = value

    def on_body(self, part: bytes) -> None:
        """A piece of the body, as the parser has read it."""
        self._left -= len(part)
        if self._left < 0:
            self._fail(f"An answer is longer than {self._most_bytes} bytes.")
        else:
            self._body.append(part)

    def on_message_complete(self) -> None:
        """The parser has come to the end of an answer."""
        if self._waiting is not None and not self._waiting.done():
            self.usable = self._parser.should_keep_alive()
            self._waiting.set_result(Answer(self._parser.get_status_code(), self._headers, b"".join(self._body)))

    def _fail(self, reason: str) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(ConnectionBroken(reason))
