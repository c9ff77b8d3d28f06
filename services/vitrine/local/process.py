"""One child process: started in a group of its own, ended with everything it started."""

import contextlib
import ctypes
import os
import re
import shutil
import signal
import subprocess
import time
from collections import deque
from datetime import datetime
from pathlib import Path
from typing import Final

from vitrine.local.service import Launch
from vitrine.local.state import RUN_MARKER

LOG_BYTES: Final = 16 << 20
LINE_CHARACTERS: Final = 800  # some engines print whole stack traces in one line
_KILL_TIMEOUT_S: Final = 10.0
_SEARCHED_LINES: Final = 5_000
_HEADER: Final = "--- "
_PR_SET_PDEATHSIG: Final = 1
_libc = ctypes.CDLL(None, use_errno=True)


class Child:
    """A running process.

    Args:
        launch: what to start.
        log: file that its output is appended to.
        run: id of the stack's run, put into its environment.

    Raises:
        OSError: it cannot be started.
    """

    def __init__(self, launch: Launch, log: Path, run: str) -> None:
        parent = os.getpid()

        def die_with_parent() -> None:
            # Should the supervisor be killed outright, no engine stays behind holding its ports and data.
            _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != parent:
                os.kill(os.getpid(), signal.SIGKILL)

        with log.open("ab") as sink:
            sink.write(
                f"{_HEADER}{datetime.now().astimezone().isoformat(timespec='seconds')} {launch.command[0]}\n".encode()
            )
            sink.flush()
            self._process = subprocess.Popen(  # noqa: S603 - what a Service asks for, no shell
                launch.command,
                cwd=launch.directory,
                env={**launch.environment, RUN_MARKER: run},
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )
        self.started_at = time.monotonic()

    @property
    def pid(self) -> int:
        """Of the process, and of its group."""
        return self._process.pid

    def exit_status(self) -> int | None:
        """None while it runs; else the status (negative: the signal that ended it), its whole group being gone."""
        if self._process.returncode is not None:
            return self._process.returncode
        if os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            return None
        # Before the dead leader is reaped its process id, which is the group's, cannot belong to anybody else.
        self._signal_group(signal.SIGKILL)
        return self._process.wait()

    def terminate(self) -> None:
        """Asks it to end; wakes it first if it was stopped."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
            self._process.send_signal(signal.SIGCONT)

    def kill(self) -> int:
        """Ends the group at once and returns the status."""
        if self._process.returncode is None:
            self._signal_group(signal.SIGKILL)
        try:
            return self._process.wait(_KILL_TIMEOUT_S)
        except subprocess.TimeoutExpired:  # stuck in the kernel, on a dead disk for one: it ends when that lets go
            return -signal.SIGKILL

    def _signal_group(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)


def describe_exit(status: int) -> str:
    """ "was killed by SIGKILL" or "ended with status 1"."""
    if status >= 0:
        return f"ended with status {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"was killed by signal {-status}"


def last_lines(log: Path, count: int, most_bytes: int = 1 << 20) -> list[str]:
    """The end of a log, at most so many lines and bytes; empty when there is none."""
    try:
        with log.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - most_bytes))
            lines = deque(file, maxlen=count)
    except OSError:
        return []
    return [_shortened(line.decode(errors="replace").rstrip("\n")) for line in lines]


def complaints(log: Path, pattern: re.Pattern[str], count: int) -> list[str]:
    """The last lines since the latest start that match, or simply the last lines when none does."""
    lines: list[str] = []
    for line in last_lines(log, _SEARCHED_LINES):
        if line.startswith(_HEADER):
            lines.clear()
        lines.append(line)
    telling = dict.fromkeys(line for line in lines if pattern.search(line))  # each once: two instances fail alike
    return (list(telling) or lines)[-count:]


def _shortened(line: str) -> str:
    return line if len(line) <= LINE_CHARACTERS else line[: LINE_CHARACTERS - 1] + "…"


def bound_log(log: Path, limit: int = LOG_BYTES) -> None:
    """Keeps a log and one predecessor under a size; the writer appends, so emptying the file under it is safe."""
    with contextlib.suppress(OSError):
        if log.stat().st_size > limit:
            shutil.copy(log, log.with_suffix(".log.1"))
            os.truncate(log, 0)
