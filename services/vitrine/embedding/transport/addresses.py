"""Who answers to a name, and whose turn it is."""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import ip_address
from typing import Final, TypeAlias

Address: TypeAlias = tuple[str, int]
"""IP address and port."""
Resolve: TypeAlias = Callable[[str, int], Awaitable[Sequence[Address]]]
"""From a host's name and a port to its addresses. Raises OSError when there are none."""

# A headless Service's answer changes with its pods; cluster DNS lets it be kept for as long as this.
_KNOWN_FOR_S: Final = 5.0
_REST_S: Final = 1.0


async def resolve(host: str, port: int) -> list[Address]:
    """Asks the system's resolver.

    Raises:
        OSError: the name has no address, or no name server says.
    """
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(str(sockaddr[0]), int(sockaddr[1])) for *_, sockaddr in found]


class Addresses:
    """The addresses of a name, in turns: behind a headless Service, every pod gets its share.

    A name is looked up again every few seconds, while its last known addresses still serve.

    Args:
        host: a name or an IP address.
        port: the same on each.
        resolver: for names.
        clock: seconds that never go back.
    """

    def __init__(
        self, host: str, port: int, resolver: Resolve = resolve, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._host = host
        self._port = port
        self._resolver = resolver
        self._clock = clock
        self._known: list[Address] = [(host, port)] if _is_ip(host) else []
        self._known_until = float("inf") if self._known else float("-inf")
        self._look: asyncio.Task[None] | None = None
        self._turn = 0
        self._resting: dict[Address, float] = {}

    async def in_turn(self) -> Sequence[Address]:
        """All of them, in the order in which they should be tried: each time another one first, who rests last.

        Raises:
            OSError: the name has no address, or no name server says.
        """
        if self._clock() >= self._known_until:
            look = self._look_again()
            if not self._known:
                await asyncio.shield(look)
        if len(self._known) == 1:
            return self._known
        self._turn = (self._turn + 1) % len(self._known)
        order = self._known[self._turn :] + self._known[: self._turn]
        if self._resting:
            now = self._clock()
            self._resting = {address: until for address, until in self._resting.items() if until > now}
            order.sort(key=self._resting.__contains__)
        return order

    @property
    def known(self) -> Sequence[Address]:
        """Those of the last look."""
        return self._known

    def rest(self, address: Address) -> None:
        """Lets the others go first for a second: this one was not reached, or did not answer, or not in time."""
        self._resting[address] = self._clock() + _REST_S

    def close(self) -> None:
        """Waits for no name server any more."""
        if self._look is not None:
            self._look.cancel()

    def _look_again(self) -> "asyncio.Task[None]":
        """The look that is under way, or a new one."""
        if self._look is None or self._look.done():
            self._look = asyncio.create_task(self._look_up())
            # Read here too, since nobody waits for it while the last known addresses serve.
            self._look.add_done_callback(lambda look: look.cancelled() or look.exception())
        return self._look

    async def _look_up(self) -> None:
        found = sorted(set(await self._resolver(self._host, self._port)))
        if not found:
            raise OSError(f"{self._host} has no address")
        self._known, self._known_until = found, self._clock() + _KNOWN_FOR_S


def _is_ip(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
