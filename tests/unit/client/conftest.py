"""A real server on loopback that does what a test scripts, and both clients of it."""

import json
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any

import pytest

from tests.fixtures.clients import KINDS, Asker, open_asker

ANSWER = {
    "hits": [{"id": "1", "score": 0.5}],
    "took_ms": {"total": 1.0},
    "collection": "products_v1",
    "model": {"name": "m", "fingerprint": "f"},
}


@dataclass(frozen=True)
class Step:
    """What the server does with one request.

    Args:
        breaks: the connection ends after half of the answer, or before any of it when the body is empty.
        drips: the body comes a byte at a time, without an end that a test would live to see.
        hangs: nothing comes at all.
    """

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    breaks: bool = False
    drips: bool = False
    hangs: bool = False


@dataclass(frozen=True)
class Seen:
    """A request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    at: float

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Scripted:
    """The server: its steps are taken in order, the last one for all that follow."""

    url: str = ""
    steps: list[Step] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    over: Event = field(default_factory=Event)

    def answers(self, *steps: Step) -> None:
        self.steps[:] = steps

    def answers_json(self, content: object, status: int = 200, **headers: str) -> None:
        self.answers(Step(status, json.dumps(content).encode(), headers))

    def next_step(self) -> Step:
        return self.steps.pop(0) if len(self.steps) > 1 else self.steps[0]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    script: Scripted

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.script.seen.append(Seen(self.command, self.path, headers, body, time.monotonic()))
        self._take(self.script.next_step())

    do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815  # the base class looks for these names

    def _take(self, step: Step) -> None:
        self.close_connection = step.breaks or step.drips or step.hangs
        if step.hangs or (step.breaks and not step.body):
            if step.hangs:
                self.script.over.wait(30)
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.send_response(step.status)
        headers = {"content-type": "application/json", **step.headers}
        for name, value in headers.items():
            self.send_header(name, value)
        length = 1_000_000 if step.drips else len(step.body)
        if step.status != 204:
            self.send_header("content-length", str(length))
        self.end_headers()
        if step.drips:
            self._drip()
        else:
            self.wfile.write(step.body[: len(step.body) // 2] if step.breaks else step.body)

    def _drip(self) -> None:
        try:
            while not self.script.over.wait(0.02):
                self.wfile.write(b" ")
        except OSError:
            pass  # the client has gone, as it should

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's own name
        """Keeps the test's output clean."""


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    block_on_close = True


def _serve() -> Iterator[Scripted]:
    script = Scripted(steps=[Step(body=json.dumps(ANSWER).encode())])
    handler = type("Handler", (_Handler,), {"script": script})
    with _Server(("127.0.0.1", 0), handler) as http:
        script.url = f"http://127.0.0.1:{http.server_port}"
        thread = Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield script
        script.over.set()
        http.shutdown()
        thread.join(timeout=10)


@pytest.fixture
def server() -> Iterator[Scripted]:
    yield from _serve()


@pytest.fixture
def other_server() -> Iterator[Scripted]:
    """Another one, on another port."""
    yield from _serve()


OpenClient = Callable[..., Awaitable[Asker]]


@pytest.fixture(params=KINDS)
async def open_client(request: pytest.FixtureRequest, server: Scripted) -> AsyncIterator[OpenClient]:
    """Opens clients of the server: `await open_client(retries=0)`. Every test with it runs once for each kind."""
    async with AsyncExitStack() as stack:

        async def open_one(url: str = "", **options: Any) -> Asker:
            return await stack.enter_async_context(open_asker(request.param, url or server.url, **options))

        yield open_one


@pytest.fixture
async def ask(open_client: OpenClient) -> Asker:
    """A client with its defaults."""
    return await open_client()
