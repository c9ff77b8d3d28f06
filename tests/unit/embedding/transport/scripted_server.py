"""A server on a real socket that does with its connections what a test tells it to."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from typing import TypeAlias

Script: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
"""Serves one connection, which ends when it returns."""


@dataclass
class Scripted:
    """What runs.

    Args:
        port: where.
        requests: their heads and bodies, of all connections, as they came.
        connections: how many were made.
    """

    port: int
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@asynccontextmanager
async def serving(script: Script, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[Scripted]:
    """Runs a script for every connection; ends them all."""
    tasks = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        scripted.connections += 1
        tasks.add(asyncio.current_task())
        with closing(writer), suppress(asyncio.IncompleteReadError, ConnectionError):  # the client has left
            await script(reader, writer)

    server = await asyncio.start_server(connected, host, port)
    scripted = Scripted(server.sockets[0].getsockname()[1])
    try:
        yield scripted
    finally:
        server.close()
        for task in tasks:
            task.cancel()


async def request(reader: asyncio.StreamReader) -> bytes:
    """The next request, head and body.

    Raises:
        asyncio.IncompleteReadError: the client has left.
    """
    head = await reader.readuntil(b"\r\n\r\n")
    _, _, after = head.lower().partition(b"content-length:")
    return head + await reader.readexactly(int(after.split(b"\r\n")[0] or 0))


def response(body: bytes = b"", *, status: str = "200 OK", headers: str = "") -> bytes:
    """An answer with its length."""
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode() + body


async def polite(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers each request with itself, on a kept connection."""
    while True:
        writer.write(response(await request(reader)))
