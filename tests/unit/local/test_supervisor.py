"""The supervisor over real, small processes; signals are sent to a supervisor in a process of its own."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from tests.unit.local.scripted import READY, STUBBORN, WAIT, ScriptedService
from vitrine.local import watch
from vitrine.local.errors import ServiceFailed
from vitrine.local.state import StackStatus, StateFolder, processes_of
from vitrine.local.supervisor import Supervisor, caught_signals
from vitrine.settings import LocalSettings

LIMITS = LocalSettings(start_timeout_s=5.0, stop_timeout_s=2.0)
RUN = "unit-test"


class Script:
    """Runs a supervisor and reacts to what it reports: `steps` are conditions, each followed by an action."""

    def __init__(self, folder: Path, *steps, seconds: float = 20.0) -> None:
        self.folder = StateFolder(folder)
        self.folder.create()
        self.seen: list[StackStatus] = []
        self._steps = list(steps)
        self._seconds = seconds

    def report(self, status: StackStatus) -> None:
        self.seen.append(status)
        if self._steps and self._steps[0][0](status):
            _, action = self._steps.pop(0)
            action(status)

    def run(self, *services: ScriptedService, limits: LocalSettings = LIMITS) -> None:
        alarm = threading.Timer(self._seconds, os.kill, (os.getpid(), signal.SIGTERM))
        alarm.start()
        try:
            with caught_signals() as signals:
                Supervisor(services, self.folder, limits, RUN, self.report).run(signals)
        finally:
            assert alarm.is_alive(), "the script did not come to its end in time"
            alarm.cancel()
            alarm.join()
        assert not self._steps
        assert processes_of(RUN) == []


def stop(status: StackStatus) -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def phase_of(name: str, phase: str):
    return lambda status: any(service.name == name and service.phase == phase for service in status.services)


def all_ready(status: StackStatus) -> bool:
    return status.phase == "ready"


def pid_of(status: StackStatus, name: str) -> int:
    pid = next(service.pid for service in status.services if service.name == name)
    assert pid is not None
    return pid


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "FIRST_PAUSE_S", 0.05)
    monkeypatch.setattr(watch, "PROBE_READY_S", 0.1)


def test_all_are_started_and_the_last_is_stopped_first(tmp_path: Path) -> None:
    script = Script(tmp_path, (all_ready, stop))
    services = [ScriptedService(name, tmp_path) for name in ("a", "b", "user")]
    script.run(*services)
    assert script.seen[-1].phase == "stopped"
    assert script.folder.read_status() == script.seen[-1]
    ends = [
        name
        for status in script.seen
        if status.phase == "stopping"
        for name in (service.name for service in status.services if service.phase == "stopped")
    ]
    assert ends[0] == "user"
    assert all(service.clean_ups for service in services)


def test_a_killed_service_comes_back_and_the_others_stay(tmp_path: Path) -> None:
    def kill(status: StackStatus) -> None:
        os.kill(pid_of(status, "a"), signal.SIGKILL)

    script = Script(
        tmp_path, (all_ready, kill), (phase_of("a", "waiting"), lambda status: None), (phase_of("a", "ready"), stop)
    )
    script.run(ScriptedService("a", tmp_path), ScriptedService("b", tmp_path))
    before = next(status for status in script.seen if status.phase == "ready")
    after = [status for status in script.seen if status.phase == "ready"][-1]
    assert pid_of(after, "a") != pid_of(before, "a")
    assert pid_of(after, "b") == pid_of(before, "b")
    assert [service.restarts for service in after.services] == [1, 0]
    assert any("a was killed by SIGKILL" in s.services[0].detail for s in script.seen)


def test_quick_deaths_in_a_row_end_the_attempts_and_leave_the_rest_running(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    dies_later = f"{READY}import os, time\nwhile not os.path.exists('die'): time.sleep(0.01)\nraise SystemExit(7)"
    script = Script(
        tmp_path,
        (all_ready, lambda status: (tmp_path / "a" / "die").touch()),
        (phase_of("a", "failed"), stop),
    )
    script.run(ScriptedService("a", tmp_path, dies_later), ScriptedService("b", tmp_path))
    failed = next(status for status in script.seen if phase_of("a", "failed")(status))
    assert failed.services[0].restarts == watch.QUICK_DEATHS - 1
    assert "ended with status 7, the 5th time in a row" in failed.services[0].detail
    assert failed.services[1].phase == "ready"
    assert failed.phase == "ready"


def test_a_death_during_the_first_start_fails_the_start_with_the_end_of_the_log(tmp_path: Path) -> None:
    script = Script(tmp_path)
    with pytest.raises(ServiceFailed) as caught:
        script.run(
            ScriptedService("good", tmp_path), ScriptedService("bad", tmp_path, "raise SystemExit('no licence')")
        )
    assert "bad ended with status 1" in caught.value.message
    assert "no licence" in caught.value.message
    assert script.seen[-1].phase == "failed"
    assert processes_of(RUN) == []


def test_a_service_that_is_never_ready_fails_the_start_in_time(tmp_path: Path) -> None:
    limits = LIMITS.model_copy(update={"start_timeout_s": 0.3})
    with pytest.raises(ServiceFailed, match=r"slow was not ready within 0\.3 s"):
        Script(tmp_path).run(ScriptedService("slow", tmp_path, WAIT), limits=limits)
    assert processes_of(RUN) == []


def test_a_service_that_ignores_the_request_to_end_is_killed_in_time(tmp_path: Path) -> None:
    script = Script(tmp_path, (all_ready, stop))
    limits = LIMITS.model_copy(update={"stop_timeout_s": 0.3})
    started = time.monotonic()
    script.run(ScriptedService("stubborn", tmp_path, STUBBORN + READY + WAIT), limits=limits)
    assert time.monotonic() - started < 10


def test_silence_is_reported_and_does_not_end_the_service(tmp_path: Path) -> None:
    def hush(status: StackStatus) -> None:
        (tmp_path / "a" / "ready").unlink()

    def speak(status: StackStatus) -> None:
        (tmp_path / "a" / "ready").touch()

    script = Script(tmp_path, (all_ready, hush), (phase_of("a", "unresponsive"), speak), (phase_of("a", "ready"), stop))
    script.run(ScriptedService("a", tmp_path))
    assert len({status.services[0].pid for status in script.seen if status.services[0].pid}) == 1


SUPERVISE = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from tests.unit.local.scripted import ScriptedService
from vitrine.local.state import StateFolder
from vitrine.local.supervisor import Supervisor, caught_signals
from vitrine.settings import LocalSettings
folder = StateFolder(Path(sys.argv[2])); folder.create()
service = ScriptedService("a", folder.root)
with caught_signals() as signals:
    Supervisor([service], folder, LocalSettings(), sys.argv[3], lambda s: print(s.phase, flush=True)).run(signals)
"""


def test_a_killed_supervisor_takes_its_services_along(tmp_path: Path) -> None:
    root = str(Path(__file__).parents[3])
    with subprocess.Popen(
        [sys.executable, "-c", SUPERVISE, root, str(tmp_path), "killed-run"], stdout=subprocess.PIPE, text=True
    ) as supervisor:
        assert supervisor.stdout is not None
        while supervisor.stdout.readline().strip() != "ready":
            assert supervisor.poll() is None
        services = processes_of("killed-run")
        assert services
        supervisor.kill()
    _, alive = psutil.wait_procs(services, timeout=5)
    assert alive == []
