"""From a host's name to a connection: resolved once, every answer checked, then connected to what was checked.

This is the only place that opens a connection for a picture, so no redirect and no second look at the DNS gets around
the check. TLS still names and verifies the host, not the address: httpcore keeps the two apart.
"""

import asyncio
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from ipaddress import ip_address
from typing import Any, Final, TypeAlias

import httpcore

from vitrine.gateway.remote_images.networks import IpAddress, NetworkRules
from vitrine.gateway.remote_images.reasons import Failure, Refusal, failed, refused
from vitrine.telemetry.logging import FIELDS

logger = logging.getLogger(__name__)

Resolve: TypeAlias = Callable[[str], Awaitable[Sequence[IpAddress]]]
"""From a host's name to its addresses, in the order they should be tried. Raises OSError when there are none."""

_RESOLVING_THREADS: Final = 4
"""The C library's resolver cannot be interrupted: a silent name server holds a thread for as long as it likes."""
_MOST_ATTEMPTS: Final = 4


class SystemResolver:
    """The C library's resolver (/etc/hosts, /etc/resolv.conf) in threads of its own."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_RESOLVING_THREADS, thread_name_prefix="resolve-image-host")

    async def __call__(self, host: str) -> list[IpAddress]:
        """Resolves a host's name.

        Raises:
            OSError: it has no address, or no name server says.
        """
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(
            self._threads, lambda: socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        )
        return list(dict.fromkeys(ip_address(sockaddr[0]) for _, _, _, _, sockaddr in found))

    def close(self) -> None:
        """Takes no more names; does not wait for those under way."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class _Connection(httpcore.AsyncNetworkStream):
    """A connection that does not outlive its TLS handshake: httpcore leaves it open when it is cancelled meanwhile.

    (Every method with a `timeout` has it from httpcore's interface.)
    """

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        return await self._stream.read(max_bytes, timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> httpcore.AsyncNetworkStream:
        try:
            return await self._stream.start_tls(ssl_context, server_hostname, timeout)
        except BaseException:
            await self._stream.aclose()
            raise


class CheckedNetwork(httpcore.AsyncNetworkBackend):
    """Connects to hosts whose addresses are all allowed.

    Args:
        resolve: see `Resolve`; asked once for each connection.
        rules: which addresses are allowed.
        network: opens the connection, to the address it is given.
    """

    def __init__(self, resolve: Resolve, rules: NetworkRules, network: httpcore.AsyncNetworkBackend) -> None:
        self._resolve = resolve
        self._rules = rules
        self._network = network

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connects to the first checked address that answers; one that is silent may use its share of the time.

        Raises:
            ImageUrlRefused: one of the host's addresses is not allowed; none is connected to then.
            ImageUrlFailed: the host has no address.
            httpcore.ConnectError, httpcore.ConnectTimeout: none of them answers.
        """
        addresses = await self._addresses(host)
        share = None if timeout is None else timeout / len(addresses)
        for address in addresses[:-1]:
            with suppress(httpcore.ConnectError, httpcore.ConnectTimeout):
                return await self._connect(address, port, share, local_address, socket_options)
        return await self._connect(addresses[-1], port, share, local_address, socket_options)

    async def _connect(self, address: IpAddress, *how: Any) -> httpcore.AsyncNetworkStream:
        return _Connection(await self._network.connect_tcp(str(address), *how))

    async def _addresses(self, host: str) -> Sequence[IpAddress]:
        try:
            addresses = await self._resolve(host)
        except OSError as error:
            raise failed(Failure.UNRESOLVED, f"The host {host} cannot be found.") from error
        if not addresses:
            raise failed(Failure.UNRESOLVED, f"The host {host} cannot be found.")
        # One bad answer among good ones is what an attack looks like.
        forbidden = [str(address) for address in addresses if not self._rules.allow(address)]
        if forbidden:
            # For the operator alone: a caller who were told could map the inside of a network by its names.
            logger.warning(
                "A host that images may come from has an address that is refused.",
                extra={FIELDS: {"host": host, "addresses": forbidden}},
            )
            raise refused(Refusal.NETWORK, "The image's host is in a network that images are not fetched from.")
        return addresses[:_MOST_ATTEMPTS]
