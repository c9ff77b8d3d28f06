"""Processor time and memory by process, from the kernel's own counters."""

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from loadtest.bench.own_stack import cpu_seconds

GENERATOR = "generator"
"""The bench's own process, which makes the load."""
MACHINE = "machine"
"""All of the machine's cores, whoever keeps them busy."""


@dataclass(frozen=True)
class Memory:
    """Of a process with its children, in megabytes.

    Args:
        resident: pages in memory, files that are mapped included.
        anonymous: of them those of no file, which the machine cannot take back.
    """

    resident: float
    anonymous: float


@dataclass
class Spent:
    """Processor seconds of a stretch of time by process, and how long it was."""

    cpu_s: dict[str, float] = field(default_factory=dict)
    elapsed_s: float = 0.0


class Processes:
    """The processes of a run by name; the bench's own is `GENERATOR`."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._pids = {**pids, GENERATOR: os.getpid()}

    @contextmanager
    def counting(self) -> Iterator[Spent]:
        """Gives what is filled in at the end of the block."""
        spent = Spent()
        before, began = self._cpu(), time.perf_counter()
        yield spent
        spent.elapsed_s = time.perf_counter() - began
        spent.cpu_s.update({name: now - before[name] for name, now in self._cpu().items()})

    def memory(self) -> dict[str, Memory]:
        """By process, now."""
        return {name: _memory_of(pid, with_children=name != GENERATOR) for name, pid in self._pids.items()}

    def _cpu(self) -> dict[str, float]:
        # The engines are the generator's children; its own time is without them.
        spent = {name: cpu_seconds(pid) for name, pid in self._pids.items() if name != GENERATOR}
        return {**spent, GENERATOR: sum(psutil.Process().cpu_times()[:2]), MACHINE: _machine_seconds()}


def _machine_seconds() -> float:
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - times.iowait - times.guest - times.guest_nice)


def _memory_of(pid: int, *, with_children: bool) -> Memory:
    parent = psutil.Process(pid)
    family = [parent, *(parent.children(recursive=True) if with_children else [])]
    statuses = [Path(f"/proc/{process.pid}/status").read_text(encoding="ascii") for process in family]
    return Memory(*(sum(_megabytes(status, name) for status in statuses) for name in ("VmRSS", "RssAnon")))


def _megabytes(status: str, name: str) -> float:
    return next((int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith(f"{name}:")), 0.0)
