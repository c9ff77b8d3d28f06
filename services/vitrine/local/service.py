"""What the supervisor needs to know of a process: how to start it, when it is ready, what it leaves behind."""

import http.client
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

LOOPBACK = "127.0.0.1"
PROBE_TIMEOUT_S = 1.0
HUGE_PAGES: Final[Mapping[str, str]] = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1", "MALLOC_CONF": "thp:always"}
"""For a process whose large blocks are read from end to end, or all over, by each request: weights, vectors, graphs.
Its allocator (glibc from 2.35 on, or jemalloc) then asks the kernel for pages of 2 MiB, and the processor finds their
addresses without walking through tables each time. See docs/performance.md."""


@dataclass(frozen=True)
class Port:
    """A TCP port that a service listens on.

    Args:
        number: the port.
        setting: the environment variable that changes it; empty when the stack chooses the port itself.
        purpose: for people, such as "Triton's gRPC".
        host: the address it is bound to; empty for all interfaces.
    """

    number: int
    setting: str
    purpose: str
    host: str = LOOPBACK


@dataclass(frozen=True)
class Launch:
    """One process about to be started.

    Args:
        command: program and arguments.
        environment: the whole environment; nothing is inherited.
        directory: working directory.
    """

    command: tuple[str, ...]
    environment: Mapping[str, str]
    directory: Path


class Service(Protocol):
    """A process of the stack. Prometheus, or another, joins by adding one of these to `services.services_of`."""

    @property
    def name(self) -> str:
        """One word, also the name of its log."""

    @property
    def address(self) -> str:
        """Where it answers, for people and for `status --json`."""

    @property
    def ports(self) -> tuple[Port, ...]:
        """What must be free before it starts."""

    @property
    def complaint(self) -> re.Pattern[str]:
        """What a line of its log looks like that tells why it failed."""

    def prepare(self) -> Launch:
        """Writes what the process reads at start (before every start, the hundredth too) and says how to start it."""

    def is_ready(self) -> bool:
        """Asks it, for at most `PROBE_TIMEOUT_S`."""

    def clean_up(self) -> None:
        """Removes what a dead process of this service leaves outside the state folder."""


def answers_ok(port: int, path: str, timeout_s: float = PROBE_TIMEOUT_S) -> bool:
    """Whether a GET on loopback gives 200 within the time."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=timeout_s)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
