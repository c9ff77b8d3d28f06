"""A pod that podman runs, and what its kubelet does with it: probes, preStop, SIGTERM, the grace period."""

import json
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Final

import httpx
import pytest

from tests.pods.translation import LOOPBACK, HttpProbe, Launch

_TOOL_TIMEOUT_S: Final = 60.0
_LOG_LINES: Final = 40


class PodRunning:
    """One pod, from its start to its removal."""

    def __init__(self, name: str, launch: Launch) -> None:
        self.name = name
        self.launch = launch
        command = launch.command(name)
        done = subprocess.run(command, check=False, timeout=_TOOL_TIMEOUT_S, capture_output=True, text=True)
        if done.returncode:
            self.remove()
            pytest.fail(f"podman could not start {launch.image}: {done.stderr.strip()}")

    def state(self) -> dict[str, Any]:
        """`Running`, `ExitCode` and the rest, as podman inspects them."""
        (described,) = json.loads(podman("inspect", self.name))
        state: dict[str, Any] = described["State"]
        return state

    def log(self) -> str:
        """Everything it has printed, both streams."""
        command = ["podman", "logs", self.name]
        both = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        return subprocess.run(command, check=True, timeout=_TOOL_TIMEOUT_S, text=True, **both).stdout

    def run_inside(self, *command: str) -> subprocess.CompletedProcess[str]:
        """A command in the running container, as its user; a failing one is the caller's matter."""
        whole = ["podman", "exec", self.name, *command]
        return subprocess.run(whole, check=False, timeout=_TOOL_TIMEOUT_S, capture_output=True, text=True)

    def wait_ready(self) -> None:
        """As a kubelet: the startup probe until it answers, then the readiness probe."""
        for name in ("startupProbe", "readinessProbe"):
            self.wait_for(name)

    def wait_for(self, probe_name: str) -> None:
        """Asks every period; fails the test after the probe's failures in a row, or when the pod is over."""
        probe = self.launch.probes[probe_name]
        for _ in range(probe.failures):
            if answers(probe):
                return
            self._fail_unless_running(probe_name)
            time.sleep(probe.period_s)
        pytest.fail(f"{probe_name} of {self.name} missed {probe.failures} times:\n{self._end_of_log()}")

    def answers(self, probe_name: str) -> bool:
        """Whether one attempt of this probe succeeds."""
        return answers(self.launch.probes[probe_name])

    def wait_ended(self, within_s: float) -> int:
        """The exit status; fails the test when it does not end in time."""
        try:
            return int(podman("wait", self.name, timeout_s=within_s))
        except subprocess.TimeoutExpired:
            pytest.fail(f"{self.name} has not ended in {within_s} s:\n{self._end_of_log()}")

    def terminate(self) -> None:
        """preStop, then SIGTERM, then SIGKILL at the end of the grace period, which began with preStop."""
        time.sleep(self.launch.pre_stop_s)
        left = self.launch.grace_s - int(self.launch.pre_stop_s)
        podman("stop", f"--time={left}", self.name, timeout_s=left + _TOOL_TIMEOUT_S)

    @contextmanager
    def terminating(self) -> Iterator[None]:
        """Does that beside the block; both are over at its end."""
        with ThreadPoolExecutor(1) as beside:
            ending = beside.submit(self.terminate)
            yield
            ending.result()

    def remove(self) -> None:
        """Whatever state it is in."""
        podman("rm", "--force", "--ignore", "--time=0", "--volumes", self.name)

    def _fail_unless_running(self, doing: str) -> None:
        state = self.state()
        if not state["Running"]:
            pytest.fail(f"{self.name} ended with {state['ExitCode']} during {doing}:\n{self._end_of_log()}")

    def _end_of_log(self) -> str:
        return "\n".join(self.log().splitlines()[-_LOG_LINES:])


def answers(probe: HttpProbe) -> bool:
    """One attempt, as a kubelet makes it: any status from 200 to 399 is success."""
    try:
        answer = httpx.get(f"http://{LOOPBACK}:{probe.port}{probe.path}", timeout=probe.timeout_s)
    except httpx.HTTPError:
        return False
    return 200 <= answer.status_code < 400


def podman(*arguments: str, timeout_s: float = _TOOL_TIMEOUT_S) -> str:
    """What it prints; fails the test with what it says otherwise."""
    done = subprocess.run(["podman", *arguments], check=False, timeout=timeout_s, capture_output=True, text=True)
    if done.returncode:
        pytest.fail(f"podman {arguments[0]}: {done.stderr.strip()}")
    return done.stdout.strip()
