"""Requests to one server or several, some of which have ended, hang, or end while they answer."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.unit.embedding.transport.scripted_server import Script, polite, request, response, serving
from vitrine.embedding.transport.addresses import Address
from vitrine.embedding.transport.servers import Servers, Unreachable


@asynccontextmanager
async def client(url: str, *hosts: str) -> AsyncIterator[Servers]:
    """A client of a URL; of several servers where hosts are given, which its name stands for."""

    async def resolver(_: str, port: int) -> list[Address]:
        return [(host, port) for host in hosts]

    servers = Servers(url, resolver) if hosts else Servers(url)
    try:
        yield servers
    finally:
        servers.close()


async def hanging(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Takes requests and answers none."""
    await reader.read()


def ending_after(answers: int) -> Script:
    """Keeps a connection for so many answers, takes one more request, and ends."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(answers):
            await request(reader)
            writer.write(response(b"answered"))
        await request(reader)

    return script


def named(name: bytes) -> Script:
    """Answers with its name."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await request(reader)
            writer.write(response(name))

    return script


async def test_requests_are_http_and_share_a_connection() -> None:
    async with serving(polite) as server, client(server.url) as servers:
        asked = await servers.get("/v2/health/ready", 5)
        assert asked.body == f"GET /v2/health/ready HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n\r\n".encode()
        sent = await servers.post("/v2/models/m/infer", [("A", "1"), ("B", "2")], b"body", 5)
        head = f"POST /v2/models/m/infer HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nContent-Length: 4\r\n"
        assert sent.body == f"{head}A: 1\r\nB: 2\r\n\r\nbody".encode()
        assert server.connections == 1


async def test_requests_at_the_same_time_have_a_connection_each_which_are_kept() -> None:
    async with serving(polite) as server, client(server.url) as servers:
        for _ in range(3):
            await asyncio.gather(*(servers.get(f"/{row}", 5) for row in range(5)))
        assert server.connections == 5


async def test_more_connections_than_are_kept_end_after_their_answer() -> None:
    async with serving(polite) as server, client(server.url) as servers:
        await asyncio.gather(*(servers.get(f"/{row}", 5) for row in range(40)))
        assert server.connections == 40
        await asyncio.gather(*(servers.get(f"/{row}", 5) for row in range(40)))
        assert server.connections == 48


async def test_a_request_on_a_kept_connection_that_ends_is_sent_again() -> None:
    async with serving(ending_after(1)) as server, client(server.url) as servers:
        for _ in range(3):
            assert (await servers.get("/", 5)).body == b"answered"
        assert server.connections == 3


async def test_a_request_is_sent_twice_at_most() -> None:
    async with serving(ending_after(0)) as server, client(server.url) as servers:
        with pytest.raises(Unreachable):
            await servers.get("/", 5)
        assert server.connections == 2


async def test_a_server_that_has_ended_is_unreachable_and_found_again() -> None:
    async with serving(polite) as server:
        servers = Servers(server.url)
        assert (await servers.get("/", 5)).status == 200
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1"):
        await servers.get("/", 5)
    async with serving(polite, port=server.port):
        assert (await servers.get("/", 5)).status == 200
    servers.close()


async def test_nobody_waits_longer_than_told() -> None:
    async with serving(hanging) as server, client(server.url) as servers:
        with pytest.raises(TimeoutError):
            await servers.get("/", 0.05)


async def test_a_name_without_address_is_unreachable() -> None:
    async with client("http://nowhere.invalid:8000") as servers:
        with pytest.raises(Unreachable, match="name"):
            await servers.get("/", 5)


async def test_servers_of_one_name_are_asked_in_turns() -> None:
    async with (
        serving(named(b"one")) as one,
        serving(named(b"two"), "127.0.0.2", one.port) as two,
        client(f"http://tritons:{one.port}", "127.0.0.1", "127.0.0.2") as servers,
    ):
        answers = [(await servers.get("/", 5)).body for _ in range(6)]
        assert answers == [b"two", b"one"] * 3
        assert (one.connections, two.connections) == (1, 1)


async def test_a_server_that_is_away_is_passed_over() -> None:
    async with (
        serving(named(b"one")) as one,
        client(f"http://tritons:{one.port}", "127.0.0.1", "127.0.0.2") as servers,
    ):
        assert [(await servers.get("/", 5)).body for _ in range(6)] == [b"one"] * 6


async def test_a_server_that_ends_leaves_its_request_to_another() -> None:
    async with (
        serving(ending_after(0)) as one,
        serving(named(b"two"), "127.0.0.2", one.port) as two,
        client(f"http://tritons:{one.port}", "127.0.0.1", "127.0.0.2") as servers,
    ):
        assert [(await servers.get("/", 5)).body for _ in range(4)] == [b"two"] * 4
        assert two.connections == 1


async def test_a_server_that_hangs_goes_last_for_a_while() -> None:
    async with (
        serving(hanging) as one,
        serving(named(b"two"), "127.0.0.2", one.port),
        client(f"http://tritons:{one.port}", "127.0.0.1", "127.0.0.2") as servers,
    ):
        assert (await servers.get("/", 5)).body == b"two"
        with pytest.raises(TimeoutError):
            await servers.get("/", 0.05)
        assert [(await servers.get("/", 5)).body for _ in range(4)] == [b"two"] * 4


async def test_connections_to_a_server_that_left_the_name_end() -> None:
    hosts, ended = ["127.0.0.1"], asyncio.Event()

    async def noting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await named(b"one")(reader, writer)
        finally:
            ended.set()

    async def resolver(_: str, port: int) -> list[Address]:
        return [(host, port) for host in hosts]

    async with serving(noting) as one, serving(named(b"two"), "127.0.0.2", one.port):
        servers = Servers(f"http://tritons:{one.port}", resolver)
        assert (await servers.get("/", 5)).body == b"one"
        hosts[:] = ["127.0.0.2"]
        servers._addresses._known_until = 0.0
        assert (await servers.get("/", 5)).body == b"one", "the last known address serves while the name is looked up"
        await asyncio.sleep(0)
        assert (await servers.get("/", 5)).body == b"two"
        await asyncio.wait_for(ended.wait(), 5)
        servers.close()


async def test_closing_ends_kept_connections() -> None:
    ended = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await polite(reader, writer)
        finally:
            ended.set()

    async with serving(script) as server, client(server.url) as servers:
        await servers.get("/", 5)
        servers.close()
        await asyncio.wait_for(ended.wait(), 5)


async def test_the_kernel_gives_up_a_machine_that_acknowledges_nothing() -> None:
    async with serving(polite) as server, client(server.url) as servers:
        await servers.get("/", 5)
        ((connection,),) = servers._kept.values()
        assert connection._transport is not None
        own = connection._transport.get_extra_info("socket")
        assert own.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 3_000
