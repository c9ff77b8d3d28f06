"""A Service of Kubernetes as its clients meet it: connections, not requests, are spread over the endpoints.

Plays kube-proxy. A new connection goes to one of the endpoints that have reached the proxy; an established one stays
where it is, whatever becomes of the endpoint; without an endpoint it is reset. Changes of the endpoints reach the proxy
in their order, each after a delay.
"""

import asyncio
import random
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

_CHUNK: Final = 64 * 1024
_DIAL_S: Final = 5.0
_MOMENT_S: Final = 1e-6


class Service:
    """A TCP proxy on a free port of loopback, `port`, for as long as the context lasts.

    Args:
        rng: draws delays and endpoints.
        propagation_s: least and most seconds from a change of the endpoints until the proxy knows of it.
    """

    def __init__(self, rng: random.Random, propagation_s: tuple[float, float]) -> None:
        self.port = 0
        self.reset = 0
        """Connections that met no endpoint, or one that took none."""
        self._rng = rng
        self._propagation_s = propagation_s
        self._endpoints: set[int] = set()
        self._known_at = 0.0
        self._connections: set[asyncio.Task[None]] = set()
        self._updates: list[asyncio.TimerHandle] = []

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for update in self._updates:
            update.cancel()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await self._server.wait_closed()

    @property
    def endpoints(self) -> frozenset[int]:
        """Ports that the proxy sends new connections to."""
        return frozenset(self._endpoints)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def add(self, port: int) -> None:
        """An endpoint is ready; the proxy learns of it in its time."""
        self._later(lambda: self._endpoints.add(port))

    def remove(self, port: int) -> None:
        """An endpoint is terminating or not ready; the proxy learns of it in its time."""
        self._later(lambda: self._endpoints.discard(port))

    def _later(self, update: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        # Later than the one before by a moment: the loop runs timers that are due together in any order.
        self._known_at = max(self._known_at + _MOMENT_S, loop.time() + self._rng.uniform(*self._propagation_s))
        self._updates.append(loop.call_at(self._known_at, update))

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await self._serve(reader, writer)
        except asyncio.CancelledError:
            pass  # the end of the proxy; the stream's own callback would report it as an error
        finally:
            writer.transport.abort()
            self._connections.discard(task)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._endpoints:
            self.reset += 1
            return
        port = self._rng.choice(sorted(self._endpoints))
        try:
            async with asyncio.timeout(_DIAL_S):
                there_reader, there_writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            self.reset += 1
            return
        try:
            await asyncio.gather(_carry(reader, there_writer), _carry(there_reader, writer))
        except OSError:
            pass  # reset by one side: the other one gets the same
        finally:
            there_writer.transport.abort()


async def _carry(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    """One direction, until its end, which is passed on too."""
    while data := await source.read(_CHUNK):
        target.write(data)
        await target.drain()
    if target.can_write_eof():
        target.write_eof()
