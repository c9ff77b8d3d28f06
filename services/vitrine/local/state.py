"""The state folder: what a stack writes about itself, and the lock that says whether it is up.

The lock is the truth (the kernel drops it when its holder dies, whatever the death); `status.json` is a report.
"""

import dataclasses
import fcntl
import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import psutil

from vitrine.local.errors import StateUnusable

FORMAT: Final = 1
LEAST_FREE_BYTES: Final = 512 << 20
RUN_MARKER: Final = "RUN_OF_VITRINE"
"""Environment variable of every process of a run, inherited by what they start; its value is the run's id."""
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")

Phase = Literal["starting", "ready", "unresponsive", "waiting", "failed", "stopping", "stopped"]


@dataclass(frozen=True)
class ServiceStatus:
    """One process as its supervisor sees it.

    Args:
        name: of the service.
        phase: "waiting" is the pause before a restart; "failed" means given up; "unresponsive" runs but is silent.
        address: where it answers.
        pid: None while no process exists.
        restarts: how often it was brought back in this run.
        detail: one sentence where there is something to say.
    """

    name: str
    phase: Phase
    address: str
    pid: int | None = None
    restarts: int = 0
    detail: str = ""


@dataclass(frozen=True)
class StackStatus:
    """A run of the stack.

    Args:
        run: id of the run.
        boot: id of the machine's boot that it ran in.
        supervisor: process id of the supervisor.
        phase: of the stack as a whole; "ready" once every service was ready, whatever happened to one since.
        services: in starting order.
        detail: one sentence where there is something to say.
    """

    run: str
    boot: str
    supervisor: int
    phase: Phase
    services: tuple[ServiceStatus, ...] = ()
    detail: str = ""

    def to_json(self) -> str:
        """As `status.json` and `vitrine status --json` have it."""
        return json.dumps({"format": FORMAT, **dataclasses.asdict(self)}, indent=2)

    @classmethod
    def from_json(cls, text: str) -> "StackStatus":
        """Inverse of `to_json`.

        Raises:
            ValueError: not a status of this format.
        """
        try:
            content: dict[str, Any] = json.loads(text)
            if content.pop("format") != FORMAT:
                raise ValueError("another format")
            services = tuple(ServiceStatus(**service) for service in content.pop("services"))
            return cls(services=services, **content)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a stack's status: {error}") from error


class StateFolder:
    """Layout: `stack.lock`, `status.json`, `logs/`, and a folder for each service.

    Args:
        root: made when missing.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.logs = self.root / "logs"
        self._lock = self.root / "stack.lock"
        self._status = self.root / "status.json"

    def of(self, service: str) -> Path:
        """A service's own folder."""
        return self.root / service

    def log(self, name: str) -> Path:
        """Log of a service or of the supervisor."""
        return self.logs / f"{name}.log"

    def create(self) -> None:
        """Makes the folder and checks that it can be used.

        Raises:
            StateUnusable: it cannot be written, or too little room is left.
        """
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)  # the logs may hold what people searched for
            self.logs.mkdir(exist_ok=True)
            with tempfile.TemporaryFile(dir=self.root) as probe:
                probe.write(bytes(1 << 16))
                probe.flush()
                os.fsync(probe.fileno())
        except OSError as error:
            raise StateUnusable(
                f"The state folder {self.root} cannot be written: {error.strerror}. "
                "VITRINE_LOCAL__STATE_DIR names another."
            ) from error
        free = shutil.disk_usage(self.root).free
        if free < LEAST_FREE_BYTES:
            raise StateUnusable(
                f"The disk of the state folder {self.root} has {free >> 20} MiB left and "
                f"{LEAST_FREE_BYTES >> 20} MiB are needed; VITRINE_LOCAL__STATE_DIR names another folder.",
                free_bytes=free,
            )

    def try_lock(self) -> int | None:
        """A file descriptor that holds the lock while it, or a copy in a child process, is open; None when taken.

        Raises:
            StateUnusable: the lock file cannot be opened.
        """
        try:
            descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StateUnusable(f"{self._lock} cannot be opened: {error.strerror}.") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return descriptor

    def is_locked(self) -> bool:
        """Whether a run exists."""
        if not self._lock.exists():
            return False
        descriptor = self.try_lock()
        if descriptor is None:
            return True
        os.close(descriptor)
        return False

    def write_status(self, status: StackStatus) -> None:
        """Replaces `status.json` in one step.

        Raises:
            OSError: the disk is full, for one.
        """
        draft = self._status.with_suffix(".json.new")
        draft.write_text(status.to_json(), encoding="utf-8")
        draft.replace(self._status)

    def read_status(self) -> StackStatus | None:
        """The last report, or None when there is none that can be read."""
        try:
            return StackStatus.from_json(self._status.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None


def boot_id() -> str:
    """Changes with every start of the machine."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return "unknown"


def processes_of(run: str) -> list[psutil.Process]:
    """Live processes of a run, found by the marker in their environment: a recycled process id cannot be mistaken."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(RUN_MARKER) == run and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found
