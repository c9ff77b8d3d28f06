import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.harness.service import Service


@asynccontextmanager
async def endpoint(name: bytes) -> AsyncIterator[int]:
    """A server that answers every line with its name; its port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readline():
            writer.write(name + b"\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    writer.write(b"?\n")
    async with asyncio.timeout(5):
        return (await reader.readline()).strip()


async def known(service: Service, ports: set[int]) -> None:
    async with asyncio.timeout(5):
        while service.endpoints != ports:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)


async def test_an_established_connection_stays_and_new_ones_go_where_the_endpoint_is() -> None:
    async with endpoint(b"old") as old, endpoint(b"new") as new, Service(random.Random(1), (0.0, 0.05)) as service:
        service.add(old)
        await known(service, {old})
        reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
        assert await ask(reader, writer) == b"old"
        service.add(new)
        service.remove(old)
        await known(service, {new})
        assert await ask(reader, writer) == b"old"
        others = await asyncio.open_connection("127.0.0.1", service.port)
        assert await ask(*others) == b"new"
        for one in (writer, others[1]):
            one.close()


async def test_changes_take_their_time_and_keep_their_order() -> None:
    rng = random.Random(3)
    async with Service(rng, (0.0, 0.1)) as service:
        for _ in range(20):
            service.add(1)
            service.remove(1)
        service.add(2)
        assert service.endpoints == set()
        await known(service, {2})


@pytest.mark.parametrize("gone", [False, True])
async def test_a_connection_without_an_endpoint_gets_no_answer(gone: bool) -> None:
    async with Service(random.Random(1), (0.0, 0.0)) as service:
        if gone:
            async with endpoint(b"gone") as port:
                service.add(port)
                await known(service, {port})
        reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
        try:
            answer = await ask(reader, writer)
        except ConnectionResetError:
            answer = b""
        assert answer == b""
        assert service.reset == 1
        writer.close()
