"""Refusals that the server writes by itself, over real connections to a server in this loop."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import NamedTuple, cast

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from vitrine.gateway.admission import Admission, Permits
from vitrine.gateway.draining import Farewell
from vitrine.gateway.protocol import SheddingProtocol
from vitrine.gateway.shedding import Refusals, Shedding
from vitrine.local.ports import choose_free
from vitrine.telemetry.metrics import GatewayMetrics

BODY = b'{"query":"dress"}'
SEARCH = b"POST /v1/collections/products/search HTTP/1.1\r\nHost: localhost\r\n"
PLAIN = SEARCH + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
STATUS = b"HTTP/1.1 503"
BRIEF = b"GET /v1/x HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> str:
        return str(json.loads(self.body)["code"])


class Gate:
    """A server with so many permits; notes what of its requests came as far as the application."""

    def __init__(self, permits: int, keep_alive_s: int) -> None:
        (self.port,) = choose_free(1)
        self.came: list[str] = []
        self.may_answer = asyncio.Event()
        self.metrics = GatewayMetrics("0", (), ("overloaded",), ())
        self.permits = Permits(permits, self.metrics)
        refusals = Refusals(self.permits, self.metrics)
        shedding = Shedding(Admission(self._answer, self.permits), refusals)

        async def outermost(scope: Scope, receive: Receive, send: Send) -> None:
            self.came.append(f"{scope['method']} {scope['path']}")
            await shedding(scope, receive, send)

        self.farewell = Farewell(outermost)
        protocol = partial(SheddingProtocol, refusals=refusals, leaving=lambda: self.farewell.leaving)
        config = uvicorn.Config(
            self.farewell,
            port=self.port,
            http=cast("type[asyncio.Protocol]", protocol),
            lifespan="off",
            ws="none",
            log_config=None,
            timeout_keep_alive=keep_alive_s,
        )
        self.server = uvicorn.Server(config)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive()).get("more_body"):
            pass
        await self.may_answer.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    def counted(self) -> float | None:
        return self.metrics.registry.get_sample_value("vitrine_http_shed_total", {"reason": "in_flight"})


class Caller:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer

    async def ask(self, request: bytes, *, bodiless: bool = False) -> Answer:
        self.writer.write(request)
        return await self.answer(bodiless=bodiless)

    async def answer(self, *, bodiless: bool = False) -> Answer:
        async with asyncio.timeout(10):
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
            length = 0 if bodiless else int(headers["content-length"])
            return Answer(int(head[0].split()[1]), headers, await self._reader.readexactly(length))

    async def is_closed(self) -> bool:
        async with asyncio.timeout(10):
            return await self._reader.read(1) == b""


@asynccontextmanager
async def _gate(permits: int = 0, keep_alive_s: int = 30) -> AsyncIterator[Gate]:
    gate = Gate(permits, keep_alive_s)
    ended = asyncio.create_task(gate.server._serve())
    async with asyncio.timeout(10):
        while not gate.server.started:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)
    try:
        yield gate
    finally:
        gate.may_answer.set()
        gate.server.should_exit = gate.server.force_exit = True
        await ended


@asynccontextmanager
async def _calling(gate: Gate) -> AsyncIterator[Caller]:
    reader, writer = await asyncio.open_connection("127.0.0.1", gate.port)
    try:
        yield Caller(reader, writer)
    finally:
        writer.close()


async def test_a_plain_request_is_refused_before_the_application_and_answered_as_there() -> None:
    async with _gate() as gate, _calling(gate) as caller:
        early = await caller.ask(PLAIN.replace(b"\r\n\r\n", b"\r\nX-Request-ID: shop-1\r\n\r\n"))
        assert gate.came == []
        late = await caller.ask(SEARCH + b"Expect: 100-continue\r\nX-Request-ID: shop-1\r\n\r\n")
        assert len(gate.came) == 1
        assert gate.counted() == 2
    for answer in (early, late):
        answer.headers.pop("date")
    assert early == late
    assert (early.status, early.code, early.headers["retry-after"]) == (503, "overloaded", "1")
    assert early.headers["x-request-id"] == "shop-1"


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(SEARCH.replace(b"POST", b"HEAD") + b"\r\n", id="HEAD"),
        pytest.param(SEARCH + b"Connection: close\r\n\r\n", id="the last one of its connection"),
        pytest.param(SEARCH.replace(b"HTTP/1.1", b"HTTP/1.0") + b"\r\n", id="HTTP/1.0"),
        pytest.param(SEARCH + b"Connection: upgrade\r\nUpgrade: websocket\r\n\r\n", id="an upgrade"),
        pytest.param(SEARCH + b"Expect: 100-continue\r\nContent-Length: 4\r\n\r\n", id="a body that waits"),
        pytest.param(SEARCH + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", id="chunks"),
        pytest.param(SEARCH + b"Content-Length: 100000\r\n\r\n", id="a large body"),
        pytest.param(SEARCH.replace(b"/v1/", b"/%761/") + b"\r\n", id="a path in another spelling"),
    ],
)
async def test_whatever_is_unusual_is_refused_by_the_application(request_: bytes) -> None:
    async with _gate() as gate, _calling(gate) as caller:
        answer = await caller.ask(request_, bodiless=request_.startswith(b"HEAD"))
        assert answer.status == 503
        assert len(gate.came) == 1
        assert gate.counted() == 1


async def test_what_needs_no_permit_is_answered() -> None:
    async with _gate() as gate, _calling(gate) as caller:
        gate.may_answer.set()
        gate.permits.total = 1
        gate.permits.in_use = 1
        assert (await caller.ask(BRIEF.replace(b"/v1/x", b"/livez"))).status == 200
        assert (await caller.ask(BRIEF)).status == 503


async def test_a_connection_is_refused_and_served_by_turns() -> None:
    async with _gate(permits=1) as gate, _calling(gate) as caller:
        gate.may_answer.set()
        found = []
        for in_use in (0, 1, 1, 0, 1, 0):
            gate.permits.in_use = in_use
            found.append((await caller.ask(PLAIN)).status)
        assert found == [200, 503, 503, 200, 503, 200]
        assert gate.counted() == 3
        assert gate.permits.in_use == 0


async def test_requests_in_one_packet_are_all_answered_in_their_order() -> None:
    async with _gate() as gate, _calling(gate) as caller:
        ids = [f"{number}" for number in range(20)]
        numbered = [PLAIN.replace(b"Host", b"X-Request-ID: %b\r\nHost" % name.encode()) for name in ids]
        caller.writer.write(b"".join(numbered))
        assert [(await caller.answer()).headers["x-request-id"] for _ in ids] == ids


async def test_a_request_behind_one_that_is_worked_on_waits_for_its_turn() -> None:
    async with _gate(permits=1) as gate, _calling(gate) as caller:
        caller.writer.write(PLAIN + PLAIN)
        async with asyncio.timeout(10):
            while gate.permits.in_use == 0:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.01)
        async with _calling(gate) as another:
            assert (await another.ask(PLAIN)).status == 503
        gate.may_answer.set()
        assert [(await caller.answer()).status for _ in range(2)] == [200, 200]


async def test_a_body_that_comes_after_its_refusal_is_not_taken_for_a_request() -> None:
    async with _gate() as gate, _calling(gate) as caller:
        assert (await caller.ask(PLAIN[:-10])).status == 503
        for byte in PLAIN[-10:]:
            caller.writer.write(bytes([byte]))
            await asyncio.sleep(0)
        assert (await caller.ask(PLAIN)).status == 503
        assert (gate.came, gate.counted()) == ([], 2)


@pytest.mark.parametrize("sent", [PLAIN, PLAIN[:-10], PLAIN[: -len(BODY)]])
@pytest.mark.parametrize("more", [b"", b" "])
async def test_a_refused_connection_that_falls_silent_is_closed(sent: bytes, more: bytes) -> None:
    async with _gate(keep_alive_s=1) as gate, _calling(gate) as caller:
        await caller.ask(sent)
        await asyncio.sleep(0.1)
        if sent != PLAIN:
            caller.writer.write(more)
        assert await caller.is_closed()


async def test_a_process_that_is_leaving_says_so() -> None:
    async with _gate() as gate, _calling(gate) as caller:
        assert "connection" not in (await caller.ask(PLAIN)).headers
        gate.farewell.leaving = True
        assert (await caller.ask(PLAIN)).headers["connection"] == "close"
        assert await caller.is_closed()


async def test_who_does_not_read_the_answers_is_not_read_any_more() -> None:
    async with _gate() as gate:
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8_192)
            connection.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(connection, ("127.0.0.1", gate.port))
            # As long as answers are, so that buffers are full of both soon.
            request = BRIEF.replace(b"Host", b"X-Padding: %b\r\nHost" % (b"x" * 500))
            sent = await _sent_until_full(connection, request)
            # What the kernel's buffers hold and no more: 64 KiB of answers wait in the server, and one request.
            assert sent < 64 * 2**20
            wanted, answered, tail = sent // len(request), 0, b""
            async with asyncio.timeout(60):
                while answered < wanted:
                    tail += await loop.sock_recv(connection, 1 << 20)
                    answered += tail.count(STATUS)
                    tail = tail[-len(STATUS) + 1 :]
            assert gate.counted() == wanted


async def _sent_until_full(connection: socket.socket, request: bytes) -> int:
    """Bytes of one request after the other, until half a second passed in which the other side took none."""
    sent, silent, data = 0, 0, request * 100
    while silent < 50:
        try:
            sent += connection.send(data[sent % len(request) :])
            silent = 0
        except BlockingIOError:
            silent += 1
            await asyncio.sleep(0.01)
    return sent
