"""A stack of a benchmark's own: Triton, Milvus and, where asked for, the gateway, on free ports of loopback.

Ended with the benchmark. Says how much processor time each of them took, which on a machine that others use too tells
more than the clock.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from vitrine.local.engines import Engines
from vitrine.local.gateway import GatewayService, environment_of, meeting_the_stack
from vitrine.local.milvus import MilvusService
from vitrine.local.ports import choose_free
from vitrine.local.process import Child, last_lines
from vitrine.local.service import Service
from vitrine.local.triton import TritonService
from vitrine.settings import GatewaySettings, LocalSettings, ModelSettings, Settings

START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 20.0
_POLL_S = 0.1


@dataclass
class OwnStack:
    """Running services by name, and the settings that lead to them."""

    settings: Settings
    pids: dict[str, int] = field(default_factory=dict)

    def cpu_seconds(self) -> dict[str, float]:
        """Processor time so far of each service with its children, by name."""
        return {name: cpu_seconds(pid) for name, pid in self.pids.items()}


def cpu_seconds(pid: int) -> float:
    """User and system time so far of a process and its living children."""
    parent = psutil.Process(pid)
    return sum(sum(process.cpu_times()[:2]) for process in (parent, *parent.children(recursive=True)))


@contextmanager
def own_stack(repository: Path, engines_dir: Path, *, gateway: bool = False) -> Iterator[OwnStack]:
    """A stack that serves `repository`, ready; its state folder is gone afterwards."""
    http, grpc, metrics, milvus, milvus_metrics, etcd, port = choose_free(7)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vitrine-bench-")))
        local = LocalSettings(
            state_dir=folder,
            engines_dir=engines_dir.absolute(),
            triton_http_port=http,
            triton_grpc_port=grpc,
            triton_metrics_port=metrics,
            milvus_port=milvus,
            milvus_metrics_port=milvus_metrics,
            etcd_port=etcd,
        )
        settings = meeting_the_stack(
            Settings(
                local=local, model=ModelSettings(repository=repository.absolute()), gateway=GatewaySettings(port=port)
            )
        )
        running = OwnStack(settings)
        engines = Engines.locate(local.engines_dir)
        services: list[Service] = [
            MilvusService(local, engines, folder / "milvus"),
            TritonService(local, engines, settings.model.repository, folder / "triton"),
            *([GatewayService(settings, folder / "gateway")] if gateway else []),
        ]
        running.pids.update(stack.enter_context(all_ready(services, folder)))
        yield running


@contextmanager
def all_ready(services: Sequence[Service], folder: Path) -> Iterator[dict[str, int]]:
    """Services that are started together, with their logs in `folder`; process ids by name, once all are ready."""
    with ExitStack() as stack:
        children = [(service, stack.enter_context(_running(service, folder))) for service in services]
        for service, child in children:
            _wait_ready(service, child, folder)
        yield {service.name: child.pid for service, child in children}


@contextmanager
def _running(service: Service, folder: Path) -> Iterator[Child]:
    child = Child(service.prepare(), folder / f"{service.name}.log", run="bench")
    try:
        yield child
    finally:
        child.terminate()
        ended = time.monotonic() + STOP_TIMEOUT_S
        while child.exit_status() is None and time.monotonic() < ended:
            time.sleep(_POLL_S)
        child.kill()
        service.clean_up()


def _wait_ready(service: Service, child: Child, folder: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not service.is_ready():
        if child.exit_status() is not None or time.monotonic() > deadline:
            lines = last_lines(folder / f"{service.name}.log", 15)
            raise SystemExit("\n".join([f"{service.name} did not become ready:", *lines]))
        time.sleep(_POLL_S)


@dataclass
class IndexRun:
    """`vitrine index` as a process; `follow` reads its processor time and memory until it ends."""

    process: "subprocess.Popen[str]"
    cpu_s: float = 0.0
    resident_mb: list[float] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)

    def follow(self, every_s: float = 0.25) -> None:
        """Returns at its end; its figures are then in `cpu_s`, `resident_mb` (one every `every_s`) and `summary`."""
        while self.process.poll() is None:
            self.sample()
            time.sleep(every_s)
        output, errors = self.process.communicate()
        if self.process.returncode != 0:
            raise SystemExit(f"vitrine index ended with status {self.process.returncode}:\n{errors[-2000:]}")
        self.summary = json.loads(output)

    def sample(self) -> None:
        """Notes processor time and memory now; nothing when it has ended."""
        try:
            process = psutil.Process(self.process.pid)
            self.cpu_s = sum(process.cpu_times()[:2])
            self.resident_mb.append(process.memory_info().rss / 1e6)
        except psutil.Error:
            return


def start_index(settings: Settings, *arguments: str | Path, **environment: str) -> IndexRun:
    """Starts `vitrine index ARGUMENTS --json` against a stack; `environment` sets further variables."""
    process = subprocess.Popen(  # noqa: S603 - this very Python
        [sys.executable, "-m", "vitrine.indexer", "index", "--json", *map(str, arguments)],
        env={**os.environ, **environment_of(settings), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # as a service, a job or another terminal has one
    )
    return IndexRun(process)
