"""Web servers on loopback, names that stand for whatever a test says, and a network that notes who is connected to."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any

import httpcore
import httpx
import pytest

from vitrine.domain import Deadline
from vitrine.gateway.remote_images.fetching import RemoteImages
from vitrine.gateway.remote_images.networks import IpAddress
from vitrine.settings import RemoteImageSettings

PICTURE = b"\xff\xd8\xff and so on"
HOST = "images.example.com"
LOOPBACK = ("127.0.0.0/8",)

Serve = Callable[["Origin", asyncio.StreamWriter], Awaitable[None]]


def answer(body: bytes = PICTURE, status: str = "200 OK", **headers: str) -> bytes:
    """A whole answer; headers are written with `_` for `-`."""
    lines = [f"HTTP/1.1 {status}", *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]
    if "Content_Length" not in headers and "Transfer_Encoding" not in headers:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def redirect(to: str, status: str = "302 Found") -> bytes:
    return answer(b"", status, Location=to)


async def wait_for(holds: Callable[[], bool]) -> None:
    """Waits for what threads and servers do meanwhile; fails when it takes 10 s."""
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.005)


@dataclass
class Origin:
    """A server on loopback. It answers every request to a path as it was told to, and counts its connections."""

    paths: dict[str, bytes | Serve] = field(default_factory=dict)
    requests: list[bytes] = field(default_factory=list)
    server_names: list[str | None] = field(default_factory=list)
    connections: int = 0
    port: int = 0
    bytes_sent: int = 0
    over: asyncio.Event = field(default_factory=asyncio.Event)
    open: set[asyncio.StreamWriter] = field(default_factory=set)
    _server: asyncio.Server | None = None

    async def start(self, tls: ssl.SSLContext | None = None) -> None:
        if tls is not None:
            tls.sni_callback = lambda _socket, name, _context: self.server_names.append(name)
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self.over.set()
        self._server.close()
        for writer in self.open:
            writer.close()
        await self._server.wait_closed()
        await asyncio.sleep(0)

    async def send(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        writer.write(data)
        await writer.drain()
        self.bytes_sent += len(data)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open.add(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.requests.append(head)
                told = self.paths[head.split(b" ")[1].decode()]
                if not isinstance(told, bytes):
                    await told(self, writer)
                    break
                await self.send(writer, told)
                if b"Connection: close" in told:
                    break
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass
        finally:
            self.open.discard(writer)
            writer.close()


@dataclass
class Names:
    """What names stand for: one answer after the other, the last one for ever. Two make a rebinding name."""

    answers: Mapping[str, Sequence[Sequence[str]]]
    silent: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)

    async def __call__(self, host: str) -> list[IpAddress]:
        before = self.asked.count(host)
        self.asked.append(host)
        if host in self.silent:
            await asyncio.Event().wait()
        if host not in self.answers:
            raise OSError("no such name")
        answers = self.answers[host]
        return [ip_address(text) for text in answers[min(before, len(answers) - 1)]]


@dataclass
class Network(httpcore.AsyncNetworkBackend):
    """The real network, except that some addresses lead to a server on loopback, or nowhere; all asked for are noted.

    Args:
        routes: of public addresses that stand for a server here.
        silent: addresses that never answer.
    """

    routes: Mapping[str, int] = field(default_factory=dict)
    silent: frozenset[str] = frozenset()
    connected: list[tuple[str, int]] = field(default_factory=list)
    inner: httpcore.AsyncNetworkBackend = field(default_factory=httpcore.AnyIOBackend)

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's interface
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        self.connected.append((host, port))
        if host in self.silent:
            try:
                async with asyncio.timeout(timeout):
                    await asyncio.Event().wait()
            except TimeoutError as error:
                raise httpcore.ConnectTimeout(error) from error
        if host in self.routes:
            host, port = "127.0.0.1", self.routes[host]
        return await self.inner.connect_tcp(host, port, timeout, local_address, socket_options)


@dataclass
class Fetching:
    """A fetcher, and what it was given to work with."""

    images: RemoteImages
    names: Names
    network: Network

    async def fetch(self, address: str, within_s: float = 20.0) -> bytes:
        return await self.images.fetch(address, Deadline.after(within_s))


OpenFetching = Callable[..., Fetching]
OpenOrigin = Callable[..., Awaitable[Origin]]


@pytest.fixture
async def open_origin() -> AsyncIterator[OpenOrigin]:
    """Starts servers: `await open_origin({"/a.jpg": answer()}, tls=context)`."""
    opened: list[Origin] = []

    async def open_one(paths: dict[str, bytes | Serve] | None = None, tls: ssl.SSLContext | None = None) -> Origin:
        origin = Origin(paths or {})
        await origin.start(tls)
        opened.append(origin)
        return origin

    yield open_one
    for origin in opened:
        await origin.stop()


@pytest.fixture
def open_fetching() -> OpenFetching:
    """Makes fetchers that may use http, any port in `ports`, and `HOST`, unless told otherwise."""

    def open_one(
        ports: Iterable[int],
        *,
        names: Mapping[str, Sequence[Sequence[str]]] | None = None,
        network: Network | None = None,
        tls: ssl.SSLContext | None = None,
        max_bytes: int = 100_000,
        **settings: Any,
    ) -> Fetching:
        told = {"hosts": (HOST,), "schemes": ("http",), "private_networks": LOOPBACK, "ports": tuple(ports)}
        known = Names({HOST: [["127.0.0.1"]]} if names is None else names)
        used = network or Network()
        remote = RemoteImageSettings.model_validate(told | settings)
        return Fetching(RemoteImages(remote, max_bytes, known, used, tls or httpx.create_ssl_context()), known, used)

    return open_one
