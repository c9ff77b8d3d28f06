"""The embedded stack as a whole: up, down, status."""

import contextlib
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import psutil

from vitrine.embedding.contract import IMAGE_MODEL, TEXT_MODEL, ModelContract
from vitrine.embedding.tokenizer import Tokenizer
from vitrine.errors import ModelInvalid
from vitrine.local.errors import ServiceFailed, StackNotRunning, StackRunning, StateUnusable, StopFailed
from vitrine.local.gateway import environment_of, with_canary
from vitrine.local.ports import require_free
from vitrine.local.process import last_lines
from vitrine.local.service import Service
from vitrine.local.services import services_of
from vitrine.local.state import RUN_MARKER, StackStatus, StateFolder, boot_id, processes_of
from vitrine.local.supervisor import Supervisor, caught_signals
from vitrine.settings import Settings

SUPERVISOR: Final = "supervisor"
Report = Callable[[StackStatus], None]
Note = Callable[[str], None]
_POLL_S: Final = 0.1
_SLACK_S: Final = 15.0  # beyond the services' own limits, for unpacking and for a busy machine
_TAIL_LINES: Final = 12


class Stack:
    """The stack of one state folder.

    Args:
        settings: all of them: ports and folders, and what the gateway is to be given.
        make_services: which processes it has.
    """

    def __init__(
        self,
        settings: Settings,
        make_services: Callable[[Settings, StateFolder], Sequence[Service]] = services_of,
    ) -> None:
        self._settings = settings
        self._make_services = make_services
        self.folder = StateFolder(settings.local.state_dir)

    def up(self, *, report: Report, note: Note) -> StackStatus:
        """Starts everything in the background and returns when all of it is ready.

        Args:
            report: called with each change of status while waiting.
            note: called with a sentence when something unusual was found and put right.

        Raises:
            StackError: one of its subclasses, each a sentence; nothing is left running.
            ModelInvalid: the model repository cannot be served.
        """
        lock, _ = self._enter(note)
        run = new_run()
        try:
            supervisor = self._spawn_supervisor(run, lock)
        finally:
            os.close(lock)  # the supervisor holds it now, or nobody
        try:
            return self._await_ready(run, supervisor, report)
        except BaseException:
            with contextlib.suppress(OSError):
                supervisor.terminate()
            self._await_end(supervisor.pid)
            raise

    def run(self, *, report: Report, note: Note) -> None:
        """Starts everything and stays until SIGINT or SIGTERM, then stops it.

        Raises:
            StackError, ModelInvalid: as `up`.
        """
        lock, services = self._enter(note)
        try:
            with caught_signals() as signals:
                Supervisor(services, self.folder, self._settings.local, new_run(), report).run(signals)
        finally:
            os.close(lock)

    def down(self, *, note: Note) -> bool:
        """Stops everything; False when nothing was running.

        Raises:
            StopFailed: something outlived SIGKILL.
        """
        status = self.folder.read_status()
        was_running = self.folder.is_locked()
        if was_running and status is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(status.supervisor, signal.SIGTERM)
            self._await_end(status.supervisor)
        if self.folder.is_locked() and status is None:
            raise StopFailed(f"The stack of {self.folder.root} runs but left no status; look for its supervisor.")
        leftovers = self._kill_leftovers(status)
        if leftovers and not was_running:
            note(f"Ended {leftovers} processes that an earlier run had left behind.")
        return was_running or bool(leftovers)

    def status(self) -> StackStatus:
        """The running stack.

        Raises:
            StackNotRunning: it is down.
        """
        status = self.folder.read_status()
        if not self.folder.is_locked() or status is None:
            detail = ""
            if status is not None and status.phase == "failed":
                detail = f" Its last run failed: {first_line(status.detail)}"
            elif status is not None and status.phase != "stopped":
                detail = " Its last run ended without `vitrine down`."
            raise StackNotRunning(
                f"The stack of {self.folder.root} is not running; start it with `vitrine up`.{detail}"
            )
        return status

    def _enter(self, note: Note) -> tuple[int, Sequence[Service]]:
        """Everything that can be refused before a process is started; gives the held lock and the services."""
        require_repository(self._settings.model.repository)
        self.folder.create()
        services = self._make_services(self._settings, self.folder)
        lock = self.folder.try_lock()
        if lock is None:
            running = self.folder.read_status()
            pid = f" (supervisor {running.supervisor})" if running else ""
            raise StackRunning(f"The stack of {self.folder.root} is up already{pid}; `vitrine status` shows it.")
        try:
            self._recover(note)
            require_free(port for service in services for port in service.ports)
        except BaseException:
            os.close(lock)
            raise
        return lock, services

    def _recover(self, note: Note) -> None:
        """Puts right what a run without a proper end left; its data need nothing, both engines keep journals."""
        status = self.folder.read_status()
        if status is None or status.phase in ("stopped", "failed"):
            return
        killed = self._kill_leftovers(status)
        if status.boot != boot_id():
            note("The machine was restarted while the stack was up; its data are kept.")
        else:
            note(f"The last run ended without `vitrine down`; {killed} processes of it were ended, its data are kept.")

    def _spawn_supervisor(self, run: str, lock: int) -> "subprocess.Popen[bytes]":
        inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TZ") if name in os.environ}
        if path := os.environ.get("PYTHONPATH"):
            inherited["PYTHONPATH"] = os.pathsep.join(str(Path(part).absolute()) for part in path.split(os.pathsep))
        told = environment_of(with_canary(self._settings))  # now: the supervisor cannot tell what nobody set
        environment = {**inherited, **told, "PYTHONUNBUFFERED": "1", RUN_MARKER: run}
        try:
            with self.folder.log(SUPERVISOR).open("ab") as log:
                return subprocess.Popen(  # noqa: S603 - this very Python
                    [sys.executable, "-m", "vitrine.local.supervisor", run, str(lock)],
                    cwd=self.folder.root,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    pass_fds=(lock,),
                )
        except OSError as error:
            raise StateUnusable(f"The supervisor cannot be started: {error}.") from error

    def _await_ready(self, run: str, supervisor: "subprocess.Popen[bytes]", report: Report) -> StackStatus:
        local = self._settings.local
        deadline = time.monotonic() + local.start_timeout_s + local.stop_timeout_s * 2 + _SLACK_S
        seen: StackStatus | None = None
        while time.monotonic() < deadline:
            ended = supervisor.poll() is not None  # looked at first: its last word is read below
            status = self.folder.read_status()
            if status is not None and status.run == run and status != seen:
                seen = status
                report(status)
                if status.phase == "ready":
                    return status
            if ended:
                raise ServiceFailed(self._last_words(seen))
            time.sleep(_POLL_S)
        raise ServiceFailed(f"The stack was not ready in time; see {self.folder.logs}.")

    def _last_words(self, status: StackStatus | None) -> str:
        if status is not None and status.detail:
            return status.detail
        if status is not None and status.phase == "stopped":
            return "The stack was stopped while it started."
        log = self.folder.log(SUPERVISOR)
        return "\n".join(["The supervisor ended.", f"The end of {log}:", *last_lines(log, _TAIL_LINES)])

    def _await_end(self, supervisor: int) -> None:
        """Waits for the lock to be free, and uses force on the supervisor when it is not in time."""
        deadline = time.monotonic() + self._settings.local.stop_timeout_s * 2 + _SLACK_S
        while self.folder.is_locked():
            if time.monotonic() > deadline:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(supervisor, signal.SIGKILL)
                break
            time.sleep(_POLL_S)

    def _kill_leftovers(self, status: StackStatus | None) -> int:
        """Ends processes of a run that has no supervisor any more.

        Raises:
            StopFailed: naming those that do not end.
        """
        leftovers = processes_of(status.run) if status is not None else []
        for process in leftovers:
            with contextlib.suppress(psutil.Error):
                process.kill()
        _, alive = psutil.wait_procs(leftovers, timeout=_SLACK_S)
        if alive:
            raise StopFailed(f"These processes do not end: {', '.join(str(process.pid) for process in alive)}.")
        return len(leftovers)


def first_line(text: str) -> str:
    """A sentence without the log lines that follow it."""
    return text.partition("\n")[0]


def new_run() -> str:
    """Id of a run."""
    return uuid.uuid4().hex


def require_repository(repository: Path) -> None:
    """Checks that a folder is a model repository of ours before Triton is asked to serve it.

    Raises:
        ModelInvalid: what is missing.
    """
    if not repository.is_dir():
        raise ModelInvalid(f"There is no model repository at {repository}; `--models` names another folder.")
    Tokenizer.load(repository, ModelContract.load(repository))
    for model in (TEXT_MODEL, IMAGE_MODEL):
        for part in ("config.pbtxt", "1/model.onnx"):
            if not (repository / model / part).is_file():
                raise ModelInvalid(f"The model repository {repository} lacks {model}/{part}.")
