"""One kept HTTP connection and no more HTTP than a benchmark needs: a client library would hide what is compared."""

import asyncio
from dataclasses import dataclass
from urllib.parse import urlsplit

import orjson

LARGEST_ANSWER = 16 * 1024 * 1024
_OK = 200


class BenchError(Exception):
    """Nothing could be measured."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back.

    Args:
        status: of HTTP.
        head: status line and headers, as they came.
        body: as it came.
    """

    status: int
    head: bytes
    body: bytes

    def header(self, name: str) -> str | None:
        """The first header of that name, whatever its case; None when there is none."""
        return _header(self.head, name.lower().encode())


class Connection:
    """A connection that is kept open, for one request at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str) -> None:
        self._reader = reader
        self._writer = writer
        self._host = host

    @classmethod
    async def open(cls, url: str) -> "Connection":
        """Raises OSError: nobody listens there."""
        parts = urlsplit(url)
        host, port = parts.hostname or "127.0.0.1", parts.port or 80
        reader, writer = await asyncio.open_connection(host, port, limit=LARGEST_ANSWER)
        return cls(reader, writer, f"{host}:{port}")

    def request(self, method: str, path: str, body: object = None) -> bytes:
        """A request's bytes, to be sent as often as needed."""
        content = b"" if body is None else orjson.dumps(body)
        head = f"{method} {path} HTTP/1.1\r\nHost: {self._host}\r\nContent-Length: {len(content)}\r\n"
        return head.encode() + b"Content-Type: application/json\r\n\r\n" + content

    async def exchange(self, request: bytes) -> Answer:
        """The answer, whatever its status.

        Raises:
            OSError, asyncio.IncompleteReadError: the connection broke.
            BenchError: the answer does not say how long it is.
        """
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = _header(head, b"content-length")
        if length is None:
            raise BenchError("An answer came without its length.")
        return Answer(int(head[9:12]), head, await self._reader.readexactly(int(length)))

    async def send(self, request: bytes) -> bytes:
        """The answer's body.

        Raises:
            BenchError: any status but 200.
        """
        answer = await self.exchange(request)
        if answer.status != _OK:
            told = answer.head.splitlines()[0].decode()
            raise BenchError(f"The gateway answered {told}: {answer.body[:300].decode()}")
        return answer.body

    async def aclose(self) -> None:
        self._writer.close()
        await self._writer.wait_closed()


def _header(head: bytes, name: bytes) -> str | None:
    """The value of a header, whose name is given in lower case."""
    _, _, after = head.lower().partition(b"\r\n%b:" % name)
    if not after:
        return None
    value, _, _ = head[-len(after) :].partition(b"\r\n")
    return value.strip().decode("latin-1")
