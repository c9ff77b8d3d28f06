"""The command line of the chart's Triton pod, in a real Triton: it takes every option, and answers the pod's probes."""

import http.client
import os
import signal
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import pytest

from tests.fixtures.stack import RunningService, settings_on_free_ports
from tests.helm.rendering import Object, render
from vitrine.local.engines import Engines
from vitrine.local.process import last_lines
from vitrine.local.service import LOOPBACK, Launch
from vitrine.local.triton import TritonService
from vitrine.settings import LocalSettings

EXAMPLES: Final = ("dev", "production-gpu", "everything")
OF_THIS_MACHINE: Final = ("http-", "grpc-address", "grpc-port", "metrics-", "allow-gpu-metrics", "backend-")
"""Beginnings of options that say where to listen and how to do without a GPU and NVIDIA's image."""
PROBES: Final = ("startupProbe", "readinessProbe", "livenessProbe")


class RenderedTriton(TritonService):
    """Triton with the pod's arguments; the repository's path is another one, and what this machine needs is added."""

    def __init__(
        self, settings: LocalSettings, engines: Engines, repository: Path, folder: Path, arguments: Sequence[str]
    ) -> None:
        super().__init__(settings, engines, repository, folder)
        self._repository_option = f"--model-repository={repository}"
        self._arguments = tuple(arguments)

    def prepare(self) -> Launch:
        launch = super().prepare()
        program, *options = self._arguments
        assert program == "tritonserver"
        options[options.index("--model-repository=/models")] = self._repository_option
        needed = [option for option in launch.command if option.removeprefix("--").startswith(OF_THIS_MACHINE)]
        return replace(launch, command=(launch.command[0], *options, *needed))


@dataclass(frozen=True)
class Running:
    """A Triton, and the container that it stands for."""

    service: RunningService
    container: Object


@pytest.fixture(params=EXAMPLES)
def running(request: pytest.FixtureRequest, tmp_path: Path, tiny_repository: Path) -> Iterator[Running]:
    (pod,) = render(request.param).pods_of("triton")
    (container,) = pod.spec["containers"]
    settings = settings_on_free_ports(tmp_path / "state", tiny_repository)
    engines = Engines.locate(settings.local.engines_dir)
    triton = RenderedTriton(settings.local, engines, tiny_repository, tmp_path / "triton", container["args"])
    service = RunningService(triton, tmp_path / "triton.log", settings)
    service.start()
    service.wait_ready()
    yield Running(service, container)
    service.stop()


def _get(port: int, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=5)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def test_a_triton_started_as_the_pod_answers_its_probes_and_ends_well(running: Running) -> None:
    local, container = running.service.settings.local, running.container
    ports = {"http": local.triton_http_port, "metrics": local.triton_metrics_port}
    assert {port["name"] for port in container["ports"]} == set(ports)
    for name in PROBES:
        asked = container[name]["httpGet"]
        assert _get(ports[asked["port"]], asked["path"])[0] == 200, name
    with socket.socket() as client:
        assert client.connect_ex((LOOPBACK, local.triton_grpc_port)) != 0, "something listens that nobody asks"
    status, metrics = _get(ports["metrics"], "/metrics")
    assert status == 200
    # What the autoscalers divide.
    for name in ("nv_inference_queue_duration_us", "nv_inference_compute_infer_duration_us"):
        assert f"# TYPE {name} counter" in metrics
    _ends_within(running.service, int(_option(container, "--exit-timeout-secs")))


def _option(container: Object, name: str) -> str:
    (value,) = [word.partition("=")[2] for word in container["args"] if word.partition("=")[0] == name]
    return str(value)


def _ends_within(service: RunningService, seconds: float) -> None:
    os.kill(service.pid, signal.SIGTERM)
    deadline = time.monotonic() + seconds
    while (ended := os.waitid(os.P_PID, service.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is None:
        assert time.monotonic() < deadline, "\n".join(last_lines(service.log, 10))
        time.sleep(0.05)
    assert (ended.si_code, ended.si_status) == (os.CLD_EXITED, 0)
