"""The supervisor: starts the services, brings back what dies, ends everything when told to.

One process, one thread, one loop. `python -m vitrine.local.supervisor` is what `vitrine up` leaves running.
"""

import contextlib
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Final

from vitrine.errors import VitrineError
from vitrine.local.errors import ServiceFailed
from vitrine.local.process import bound_log
from vitrine.local.service import Service
from vitrine.local.services import services_of
from vitrine.local.state import Phase, StackStatus, StateFolder, boot_id, processes_of
from vitrine.local.watch import Watch
from vitrine.settings import LocalSettings, read_settings

TICK_S: Final = 0.1
STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_LOG_CHECK_S: Final = 5.0


class Signals:
    """Signals as something to wait for; nothing runs inside a handler."""

    def __init__(self, reader: int) -> None:
        self._reader = reader
        self.stops = 0

    def wait(self, seconds: float) -> None:
        """Returns after the time, or at once when a child ended or a stop was asked for (counted in `stops`)."""
        readable, _, _ = select.select([self._reader], [], [], seconds)
        if readable:
            received = os.read(self._reader, 512)
            self.stops += sum(number in STOP_SIGNALS for number in received)


@contextlib.contextmanager
def caught_signals() -> Iterator[Signals]:
    """Routes stop signals and the death of children into a `Signals` for the length of the block."""

    def ignore(number: int, frame: FrameType | None) -> None:
        """A handler must exist for the wake-up descriptor to be written."""

    reader, writer = os.pipe()
    for end in (reader, writer):
        os.set_blocking(end, False)
    before = {number: signal.signal(number, ignore) for number in (*STOP_SIGNALS, signal.SIGCHLD)}
    before_wakeup = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    try:
        yield Signals(reader)
    finally:
        signal.set_wakeup_fd(before_wakeup)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(reader)
        os.close(writer)


class Supervisor:
    """A run of the stack.

    Args:
        services: in starting order; stopped in the opposite one.
        folder: where logs and status go; its lock is held by the caller.
        settings: time limits.
        run: id of this run.
        report: called with every change of status.
    """

    def __init__(
        self,
        services: Sequence[Service],
        folder: StateFolder,
        settings: LocalSettings,
        run: str,
        report: Callable[[StackStatus], None] = lambda status: None,
    ) -> None:
        self._watches = [Watch(service, folder.log(service.name), run, settings) for service in services]
        self._folder = folder
        self._settings = settings
        self._run = run
        self._report = report
        self._phase: Phase = "starting"
        self._detail = ""
        self._last: StackStatus | None = None
        self._logs_checked_at = time.monotonic()

    def run(self, signals: Signals) -> None:
        """Runs until a stop signal, then ends all services.

        Raises:
            ServiceFailed: one died or was not ready in time while the stack started; everything is stopped again.
        """
        end: Phase = "failed"
        try:
            self._start(signals)
            while not signals.stops:
                self._step(signals)
            end = "stopped"
        except VitrineError as error:
            self._detail = error.message
            raise
        finally:
            self._stop(signals)
            self._set_phase(end)

    def _start(self, signals: Signals) -> None:
        self._publish()
        for watch in self._watches:
            watch.start()
        while not signals.stops and not all(watch.is_ready for watch in self._watches):
            self._step(signals)
            for watch in self._watches:
                if watch.failure:
                    raise ServiceFailed(watch.failure, service=watch.name)
        if not signals.stops:
            for watch in self._watches:
                watch.restartable = True
            self._set_phase("ready")

    def _step(self, signals: Signals) -> None:
        for watch in self._watches:
            watch.step()
        self._publish()
        if time.monotonic() - self._logs_checked_at > _LOG_CHECK_S:
            self._logs_checked_at = time.monotonic()
            for log in self._folder.logs.glob("*.log"):
                bound_log(log)
        signals.wait(TICK_S)

    def _stop(self, signals: Signals) -> None:
        """Whoever uses the engines goes first. A second stop signal, or the time limit, makes it a kill."""
        self._set_phase("stopping")
        asked = signals.stops
        users, engines = self._watches[-1:], self._watches[:-1]
        for group in (users, engines):
            deadline = time.monotonic() + self._settings.stop_timeout_s
            for watch in group:
                watch.terminate()
            while not all(watch.has_ended() for watch in group):
                if time.monotonic() > deadline or signals.stops > max(asked, 1):
                    break
                signals.wait(TICK_S)
            for watch in group:
                watch.kill()
            self._publish()
        for process in processes_of(self._run):
            if process.pid != os.getpid():
                with contextlib.suppress(Exception):
                    process.kill()

    def _set_phase(self, phase: Phase) -> None:
        self._phase = phase
        self._publish()

    def _publish(self) -> None:
        status = StackStatus(
            run=self._run,
            boot=boot_id(),
            supervisor=os.getpid(),
            phase=self._phase,
            services=tuple(watch.status for watch in self._watches),
            detail=self._detail,
        )
        if status == self._last:
            return
        self._last = status
        with contextlib.suppress(OSError):  # a full disk must not end the services; the next change tries again
            self._folder.write_status(status)
        self._report(status)


def main() -> None:
    """Entry of the detached process: arguments are the run's id and the descriptor that holds the lock."""
    run, lock = sys.argv[1], int(sys.argv[2])
    os.set_inheritable(lock, False)
    settings = read_settings()
    folder = StateFolder(settings.local.state_dir)
    with caught_signals() as signals:
        try:
            Supervisor(services_of(settings, folder), folder, settings.local, run).run(signals)
        except VitrineError as error:
            sys.stderr.write(f"{error.code}: {error.message}\n")
            sys.exit(1)


if __name__ == "__main__":
    main()
