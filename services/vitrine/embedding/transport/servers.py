"""Requests to the servers behind one address: in turns, on kept connections, within a time."""

import asyncio
import socket
from collections.abc import Iterable
from typing import Final, TypeAlias
from urllib.parse import urlsplit

from vitrine.embedding.transport.addresses import Address, Addresses, Resolve, resolve
from vitrine.embedding.transport.connection import Answer, Connection, ConnectionBroken

MOST_BYTES: Final = 64 * 1024 * 1024
"""Of an answer's body."""
_HTTP_PORT: Final = 80
_CONNECT_S: Final = 2.0
_MOST_KEPT: Final = 32
_MOST_CONNECTS: Final = 3
# After this long without a sign of life from a machine that has been sent something, the kernel gives it up.
_UNACKNOWLEDGED_MS: Final = 3_000

Headers: TypeAlias = Iterable[tuple[str, str]]


class Unreachable(Exception):
    """No server could be connected to, or the connection broke before the answer was complete."""


class Servers:
    """Sends requests that may safely come twice, since nothing is changed by them.

    A request is sent again, once, when the connection that carried it breaks: a server may end a kept one at any time.
    No more than that, or a request that brings a server down would reach them all. Must be used inside one event loop.

    Args:
        url: `http://host:port`; a name may stand for several servers.
        resolver: says for which.
    """

    def __init__(self, url: str, resolver: Resolve = resolve) -> None:
        parts = urlsplit(url)
        self._addresses = Addresses(parts.hostname or "", parts.port or _HTTP_PORT, resolver)
        self._host = f"Host: {parts.netloc}\r\n"
        self._kept: dict[Address, list[Connection]] = {}

    async def get(self, path: str, timeout_s: float) -> Answer:
        """Asks with GET.

        Raises:
            Unreachable, TimeoutError
        """
        return await self._ask(f"GET {path} HTTP/1.1\r\n{self._host}\r\n".encode(), b"", timeout_s)

    async def post(self, path: str, headers: Headers, body: bytes, timeout_s: float) -> Answer:
        """Asks with POST.

        Raises:
            Unreachable, TimeoutError
        """
        told = "".join(f"{name}: {value}\r\n" for name, value in headers)
        head = f"POST {path} HTTP/1.1\r\n{self._host}Content-Length: {len(body)}\r\n{told}\r\n".encode()
        return await self._ask(head, body, timeout_s)

    def close(self) -> None:
        """Ends all connections."""
        self._addresses.close()
        for connection in (connection for kept in self._kept.values() for connection in kept):
            connection.close()
        self._kept.clear()

    async def _ask(self, head: bytes, body: bytes, timeout_s: float) -> Answer:
        until = asyncio.get_running_loop().time() + timeout_s
        try:
            return await self._send(head, body, until)
        except ConnectionBroken:
            pass
        try:
            return await self._send(head, body, until)
        except ConnectionBroken as error:
            raise Unreachable(str(error)) from error

    async def _send(self, head: bytes, body: bytes, until: float) -> Answer:
        """Sends a request once, and waits until a time of the event loop's.

        Raises:
            ConnectionBroken: it may or may not have reached a server.
            Unreachable: it has reached none.
            TimeoutError
        """
        used: Address | None = None
        try:
            async with asyncio.timeout_at(until):
                used, connection = await self._connection()
                answer = await connection.exchange(head, body)
        except (ConnectionBroken, TimeoutError):
            if used is not None:
                self._addresses.rest(used)
                self._forget(used)
            raise
        self._keep(used, connection)
        return answer

    async def _connection(self) -> tuple[Address, Connection]:
        """A kept connection to the server whose turn it is, or a new one to the first that can be reached.

        Raises:
            Unreachable
        """
        try:
            order = await self._addresses.in_turn()
        except OSError as error:
            raise Unreachable(f"its name has no address: {error}") from error
        reasons = []
        for address in order[:_MOST_CONNECTS]:
            kept = self._kept.get(address)
            while kept:
                if (connection := kept.pop()).usable:
                    return address, connection
            try:
                return address, await _connect(address)
            except OSError as error:
                self._addresses.rest(address)
                reasons.append(f"{address[0]}: {error}")
        raise Unreachable("; ".join(reasons))

    def _keep(self, address: Address, connection: Connection) -> None:
        kept = self._kept.setdefault(address, [])
        if connection.usable and len(kept) < _MOST_KEPT:
            kept.append(connection)
        else:
            connection.close()
        if len(self._kept) > len(self._addresses.known):
            for gone in self._kept.keys() - set(self._addresses.known):
                self._forget(gone)

    def _forget(self, address: Address) -> None:
        """Ends what is kept of a server: where one connection broke, the others are likely to be broken too."""
        for connection in self._kept.pop(address, ()):
            connection.close()


async def _connect(address: Address) -> Connection:
    """Raises OSError: nobody listens there, or nobody says within `_CONNECT_S`."""
    host, port = address
    async with asyncio.timeout(_CONNECT_S):
        transport, connection = await asyncio.get_running_loop().create_connection(
            lambda: Connection(MOST_BYTES), host, port
        )
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNACKNOWLEDGED_MS)
    return connection
