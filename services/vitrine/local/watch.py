"""One service under supervision: its phases, its restarts, when it is given up."""

import time
from pathlib import Path
from typing import Final

from vitrine.errors import VitrineError
from vitrine.local.process import Child, complaints, describe_exit
from vitrine.local.service import Service
from vitrine.local.state import Phase, ServiceStatus
from vitrine.settings import LocalSettings

FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 30.0
QUICK_DEATHS: Final = 5
STEADY_S: Final = 10.0  # ready for so long, an end is no longer a quick death
PROBE_STARTING_S: Final = 0.1
PROBE_READY_S: Final = 2.0
SILENT_PROBES: Final = 2
COMPLAINTS: Final = 8


class Watch:
    """Steps a service through its life; never blocks for longer than one probe.

    Args:
        service: what is watched.
        log: where its output goes.
        run: id of the stack's run.
        settings: time limits.
    """

    def __init__(self, service: Service, log: Path, run: str, settings: LocalSettings) -> None:
        self._service = service
        self._log = log
        self._run = run
        self._settings = settings
        self._child: Child | None = None
        self._phase: Phase = "stopped"
        self._detail = ""
        self._restarts = 0
        self._quick_deaths = 0
        self._ready_since = 0.0
        self._next_probe = 0.0
        self._silent = 0
        self._restart_at = 0.0
        self.restartable = False
        """False while the stack starts for the first time: then an end is a failure, not a reason to try again."""
        self.failure = ""
        """Why it is given up; empty while it is not."""

    @property
    def name(self) -> str:
        """Of the service."""
        return self._service.name

    @property
    def is_ready(self) -> bool:
        """Whether it answered the last probe."""
        return self._phase == "ready"

    @property
    def status(self) -> ServiceStatus:
        """What there is to report."""
        return ServiceStatus(
            name=self.name,
            phase=self._phase,
            address=self._service.address,
            pid=self._child.pid if self._child else None,
            restarts=self._restarts,
            detail=self.failure or self._detail,
        )

    def start(self) -> None:
        """Starts the process; whatever prevents it counts as its death."""
        self._phase, self._silent, self._next_probe = "starting", 0, 0.0
        try:
            self._child = Child(self._service.prepare(), self._log, self._run)
        except VitrineError as error:
            self._on_death(error.message)
        except OSError as error:
            self._on_death(f"{self.name} cannot be started: {error}")

    def step(self) -> None:
        """Looks once and acts."""
        now = time.monotonic()
        if self._phase == "waiting" and now >= self._restart_at:
            self._restarts += 1
            self.start()
        if self._child is None:
            return
        status = self._child.exit_status()
        if status is not None:
            self._child = None
            self._service.clean_up()
            self._on_death(f"{self.name} {describe_exit(status)}")
        elif now >= self._next_probe:
            self._probe(self._child)

    def _probe(self, child: Child) -> None:
        answered = self._service.is_ready()
        now = time.monotonic()
        if answered:
            if self._phase != "ready":
                self._ready_since, self._phase, self._detail = now, "ready", ""
            elif now - self._ready_since > STEADY_S:
                self._quick_deaths = 0
            self._silent = 0
            self._next_probe = now + PROBE_READY_S
            return
        self._silent += 1
        self._next_probe = now + (PROBE_STARTING_S if self._phase == "starting" else PROBE_READY_S)
        if self._phase == "starting" and now - child.started_at > self._settings.start_timeout_s:
            child.kill()
            self._child = None
            self._service.clean_up()
            self._on_death(f"{self.name} was not ready within {self._settings.start_timeout_s:g} s")
        elif self._phase == "ready" and self._silent >= SILENT_PROBES:
            self._phase, self._detail = "unresponsive", "runs but does not answer"

    def _on_death(self, reason: str) -> None:
        if not self.restartable:
            self._give_up(reason)
            return
        self._quick_deaths += 1
        if self._quick_deaths >= QUICK_DEATHS:
            self._give_up(f"{reason}, the {QUICK_DEATHS}th time in a row, and is not restarted any more")
            return
        pause = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** (self._quick_deaths - 1))
        self._restart_at = time.monotonic() + pause
        self._phase, self._detail = "waiting", f"{reason}; restarted after {pause:g} s"

    def _give_up(self, reason: str) -> None:
        self._phase = "failed"
        lines = "\n".join(complaints(self._log, self._service.complaint, COMPLAINTS))
        self.failure = f"{reason}.\nFrom {self._log}:\n{lines}" if lines else f"{reason}."

    def terminate(self) -> None:
        """Asks the process to end, if there is one."""
        if self._child is not None:
            self._phase, self._detail = "stopping", ""
            self._child.terminate()
        elif self._phase != "failed":
            self._phase, self._detail = "stopped", ""

    def has_ended(self) -> bool:
        """Whether no process is left."""
        return self._child is None or self._child.exit_status() is not None

    def kill(self) -> None:
        """Ends what is left of the process and of what it left behind."""
        if self._child is not None:
            self._child.kill()
            self._child = None
            self._phase = "stopped"
        self._service.clean_up()
