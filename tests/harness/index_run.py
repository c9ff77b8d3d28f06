"""One run of the indexer as a process: its output kept in files, its memory watched, to be killed at any moment."""

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tests.fixtures.indexing import Running
from vitrine.local.gateway import environment_of
from vitrine.settings import LocalSettings, Settings

SAMPLE_S = 0.25
KILLED = -9
_END_TIMEOUT_S = 30.0
_CODE = re.compile(r"([a-z_]+): ")


@dataclass(frozen=True)
class MemorySample:
    """Resident memory of the indexer, `seconds` after its start."""

    seconds: float
    bytes: int


@dataclass(frozen=True)
class EndedRun:
    """A run that is over.

    Args:
        status: its exit status; KILLED after a kill -9.
        summary: what `--json` printed; empty when it was killed.
        complaint: the last line that it wrote to standard error.
        seconds: from start to end.
        gained: products that the ledger has more than before.
        memory: in the order of time.
    """

    status: int
    summary: Mapping[str, Any]
    complaint: str
    seconds: float
    gained: int
    memory: tuple[MemorySample, ...]

    @property
    def code(self) -> str:
        """Of the error it ended with; empty when there was none, or none of ours."""
        if self.status in (0, KILLED):
            return ""
        said = _CODE.match(self.complaint)
        return str((self.summary.get("error") or {}).get("code", said[1] if said else ""))


class IndexRun:
    """A run that goes on.

    Args:
        settings: lead to the engines.
        state_dir: its ledger goes there.
        arguments: of `vitrine index`.
        logs: folder for its output.
        number: of the run, for its files' names.
    """

    def __init__(
        self, settings: Settings, state_dir: Path, arguments: Sequence[str | Path], logs: Path, number: int
    ) -> None:
        here = settings.model_copy(update={"local": LocalSettings(state_dir=state_dir)})
        logs.mkdir(parents=True, exist_ok=True)
        self._out, self._err = logs / f"run-{number:03d}.json", logs / f"run-{number:03d}.log"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "vitrine.indexer", "index", "--json", *map(str, arguments)],
                env={**os.environ, **environment_of(here)},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                text=True,
            )
        self._began = time.monotonic()
        self._seconds = 0.0
        self._memory: list[MemorySample] = []
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()
        self._ledgers = Running(self._process, state_dir / "ledger")
        self._recorded_before = self.recorded()

    @property
    def pid(self) -> int:
        return self._process.pid

    def is_over(self) -> bool:
        """Whether the process has ended."""
        return self._process.poll() is not None

    def recorded(self) -> int:
        """Products that the ledger says are in a collection, at this moment."""
        return self._ledgers.recorded()

    def kill(self) -> EndedRun:
        """SIGKILL to the process, wherever it is."""
        self._process.kill()
        return self.ended(_END_TIMEOUT_S)

    def ended(self, timeout_s: float) -> EndedRun:
        """Waits for the end.

        Raises:
            subprocess.TimeoutExpired: it goes on.
        """
        status = self._process.wait(timeout=timeout_s)
        self._watcher.join()
        printed = self._out.read_text(encoding="utf-8").strip()
        said = self._err.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return EndedRun(
            status,
            json.loads(printed) if printed and status != KILLED else {},
            said[-1] if said else "",
            self._seconds,
            self.recorded() - self._recorded_before,
            tuple(self._memory),
        )

    def _watch(self) -> None:
        """Until the process ends: one sample every SAMPLE_S."""
        try:
            process = psutil.Process(self._process.pid)
            while self._process.poll() is None:
                self._memory.append(MemorySample(time.monotonic() - self._began, process.memory_info().rss))
                time.sleep(SAMPLE_S)
        except psutil.Error:
            pass  # it ended between two questions
        self._process.wait()
        self._seconds = time.monotonic() - self._began
