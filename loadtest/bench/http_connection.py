"""One kept HTTP connection and no more HTTP than a benchmark needs: a client library would hide what is compared."""

import asyncio
from urllib.parse import urlsplit

import orjson

from vitrine.embedding.transport import connection as kept

LARGEST_ANSWER = 16 * 1024 * 1024
_OK = 200


class BenchError(Exception):
    """Nothing could be measured."""


class Connection:
    """A connection that is kept open, for one request at a time: the one by which the gateway asks Triton."""

    def __init__(self, carrier: kept.Connection, host: str) -> None:
        self._carrier = carrier
        self._host = host

    @classmethod
    async def open(cls, url: str) -> "Connection":
        """Raises OSError: nobody listens there."""
        parts = urlsplit(url)
        host, port = parts.hostname or "127.0.0.1", parts.port or 80
        loop = asyncio.get_running_loop()
        _, carrier = await loop.create_connection(lambda: kept.Connection(LARGEST_ANSWER), host, port)
        return cls(carrier, f"{host}:{port}")

    @property
    def usable(self) -> bool:
        """Whether another request may be sent: neither side has ended it."""
        return self._carrier.usable

    def request(self, method: str, path: str, body: object = None) -> bytes:
        """A request's bytes, to be sent as often as needed."""
        content = b"" if body is None else orjson.dumps(body)
        head = f"{method} {path} HTTP/1.1\r\nHost: {self._host}\r\nContent-Length: {len(content)}\r\n"
        return head.encode() + b"Content-Type: application/json\r\n\r\n" + content

    async def exchange(self, request: bytes) -> kept.Answer:
        """The answer, whatever its status.

        Raises:
            ConnectionError: the connection broke.
        """
        try:
            return await self._carrier.exchange(request, b"")
        except kept.ConnectionBroken as error:
            raise ConnectionError(str(error)) from error

    async def send(self, request: bytes) -> bytes:
        """The answer's body.

        Raises:
            ConnectionError: the connection broke.
            BenchError: any status but 200.
        """
        answer = await self.exchange(request)
        if answer.status != _OK:
            raise BenchError(f"The gateway answered {answer.status}: {answer.body[:300].decode()}")
        return answer.body

    def close(self) -> None:
        """Ends it."""
        self._carrier.close()
