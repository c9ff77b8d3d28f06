"""One connection to a server that answers well, badly, or not."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from tests.unit.embedding.transport.scripted_server import Script, Scripted, polite, request, response, serving
from vitrine.embedding.transport.connection import Connection, ConnectionBroken

MOST = 1_000
ASKED = b"GET / HTTP/1.1\r\nHost: there\r\n\r\n"


@asynccontextmanager
async def connected(script: Script) -> AsyncIterator[tuple[Connection, Scripted]]:
    async with serving(script) as server:
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: Connection(MOST), "127.0.0.1", server.port
        )
        try:
            yield connection, server
        finally:
            connection.close()


def saying(*parts: bytes) -> Script:
    """Sends these, with pauses, for the first request; then keeps the connection open."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0.01)
        await reader.read()

    return script


async def test_one_request_after_the_other_on_one_connection() -> None:
    async with connected(polite) as (connection, server):
        for body in (b"first", b"", b"x" * 700):
            head = f"POST / HTTP/1.1\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            answer = await connection.exchange(head, body)
            assert (answer.status, answer.body) == (200, head + body)
            assert connection.usable
        assert server.connections == 1


@pytest.mark.parametrize("size", [1, 3, 50])
async def test_an_answer_may_come_in_pieces(size: int) -> None:
    whole = response(b"0123456789", status="503 Service Unavailable", headers="X-Told: Yes\r\n")
    async with connected(saying(*(whole[at : at + size] for at in range(0, len(whole), size)))) as (connection, _):
        answer = await connection.exchange(ASKED, b"")
    assert (answer.status, answer.body) == (503, b"0123456789")
    assert answer.headers[b"x-told"] == b"Yes"


async def test_an_answer_may_come_in_chunks() -> None:
    whole = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n2\r\nef\r\n0\r\n\r\n"
    async with connected(saying(whole)) as (connection, _):
        assert (await connection.exchange(ASKED, b"")).body == b"abcdef"
        assert connection.usable


async def test_a_connection_that_the_server_will_end_is_not_used_again() -> None:
    async with connected(saying(response(b"last", headers="Connection: close\r\n"))) as (connection, _):
        assert (await connection.exchange(ASKED, b"")).body == b"last"
        assert not connection.usable
        with pytest.raises(ConnectionBroken):
            await connection.exchange(ASKED, b"")


@pytest.mark.parametrize(
    "whole",
    [response(b"x" * (MOST + 1)), b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 1_001],
)
async def test_an_answer_is_no_longer_than_allowed(whole: bytes) -> None:
    async with connected(saying(whole)) as (connection, _):
        with pytest.raises(ConnectionBroken, match="longer than 1000 bytes"):
            await connection.exchange(ASKED, b"")
        assert not connection.usable


@pytest.mark.parametrize("nonsense", [b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"])
async def test_what_is_no_http_breaks_it(nonsense: bytes) -> None:
    async with connected(saying(nonsense)) as (connection, _):
        with pytest.raises(ConnectionBroken, match="HTTP"):
            await asyncio.wait_for(connection.exchange(ASKED, b""), 5)
        assert not connection.usable


@pytest.mark.parametrize("part", [b"", b"HTTP/1.1 200 OK\r\nContent-Le", response(b"0123456789")[:-1]])
async def test_an_end_before_the_answer_is_complete_breaks_it(part: bytes) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(part)

    async with connected(script) as (connection, _):
        with pytest.raises(ConnectionBroken):
            await asyncio.wait_for(connection.exchange(ASKED, b""), 5)
        assert not connection.usable


async def test_whoever_leaves_before_the_answer_ends_the_connection() -> None:
    ended = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        with suppress(ConnectionResetError):
            await reader.read()
        ended.set()

    async with connected(script) as (connection, _):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(connection.exchange(ASKED, b""), 0.05)
        assert not connection.usable
        await asyncio.wait_for(ended.wait(), 5)


async def test_bytes_that_nobody_asked_for_end_it() -> None:
    more, ended = asyncio.Event(), asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(response(b"asked"))
        await more.wait()
        writer.write(response(b"not asked"))
        with suppress(ConnectionResetError):
            await reader.read()
        ended.set()

    async with connected(script) as (connection, _):
        assert (await connection.exchange(ASKED, b"")).body == b"asked"
        assert connection.usable
        more.set()
        await asyncio.wait_for(ended.wait(), 5)
        assert not connection.usable
