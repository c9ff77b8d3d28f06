"""A Deployment of gateways as Kubernetes restarts it, with the times of the rendered chart."""

import asyncio
import signal
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any, Final, Self

from tests.fixtures.serving import RunningGateway
from tests.harness.service import Service
from tests.helm.rendering import Rendered

_POLL_S: Final = 0.02
# The kubelet would wait without an end for a pod that is alive; a harness does not.
_START_S: Final = 150.0


class NotRolling(Exception):
    """A pod does not get ready, or dies."""


@dataclass(frozen=True)
class Probe:
    """An HTTP probe of a container."""

    path: str
    period_s: float
    timeout_s: float
    failures: int

    @classmethod
    def of(cls, probe: dict[str, Any]) -> Self:
        """From the manifest, with the API's own defaults."""
        return cls(
            probe["httpGet"]["path"],
            probe.get("periodSeconds", 10),
            probe.get("timeoutSeconds", 1),
            probe.get("failureThreshold", 3),
        )


@dataclass(frozen=True)
class PodTimes:
    """What the kubelet goes by."""

    startup: Probe
    readiness: Probe
    pre_stop_s: float
    grace_s: float
    drain_s: int

    @classmethod
    def of(cls, chart: Rendered) -> Self:
        """Those of the gateway's pod."""
        (pod,) = chart.pods_of("gateway")
        (container,) = pod.spec["containers"]
        return cls(
            Probe.of(container["startupProbe"]),
            Probe.of(container["readinessProbe"]),
            float(container["lifecycle"]["preStop"]["sleep"]["seconds"]),
            float(pod.spec["terminationGracePeriodSeconds"]),
            int(str(chart.environment(container)["VITRINE_GATEWAY__DRAIN_S"])),
        )

    def stopping_after(self, pre_stop_s: float) -> Self:
        """The same with another preStop; the grace period changes with it, as in the chart."""
        return replace(self, pre_stop_s=pre_stop_s, grace_s=self.grace_s - self.pre_stop_s + pre_stop_s)

    def probed_every(self, period_s: float) -> Self:
        """The same with quicker probes."""
        return replace(
            self,
            startup=replace(self.startup, period_s=period_s),
            readiness=replace(self.readiness, period_s=period_s),
        )


@dataclass(frozen=True)
class Stop:
    """How a pod ended.

    Args:
        status: of the process.
        seconds: from SIGTERM to its end.
        killed: the grace period was over before it was.
    """

    status: int
    seconds: float
    killed: bool


class Pod:
    """One gateway, as the kubelet keeps it and the endpoint controller sees it."""

    def __init__(self, gateway: RunningGateway, times: PodTimes, service: Service) -> None:
        self.gateway = gateway
        self.port = gateway.settings.gateway.port
        self._times = times
        self._service = service
        self._ready = asyncio.Event()
        self._terminating = False
        self._probing = asyncio.create_task(self._probe())

    async def wait_ready(self) -> None:
        """Returns once a readiness probe passed.

        Raises:
            NotRolling: it died, or took far too long.
        """
        until = time.monotonic() + _START_S
        while not self._ready.is_set():
            status = self.gateway.process.poll()
            if status is not None or time.monotonic() > until:
                lines = self.gateway.log.read_text(encoding="utf-8").splitlines()[-10:]
                raise NotRolling("\n".join([f"not ready, status {status}", *lines]))
            await asyncio.sleep(_POLL_S)

    async def terminate(self) -> Stop:
        """Endpoint and preStop begin together; SIGTERM, and SIGKILL at the end of the grace period."""
        self._terminating = True
        self._service.remove(self.port)
        await asyncio.sleep(self._times.pre_stop_s)
        began = time.monotonic()
        self.gateway.process.send_signal(signal.SIGTERM)
        until = began + self._times.grace_s - self._times.pre_stop_s
        while self.gateway.process.poll() is None and time.monotonic() < until:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(_POLL_S)
        killed = self.gateway.process.poll() is None
        seconds = time.monotonic() - began
        return Stop(await self.close(), seconds, killed)

    async def close(self) -> int:
        """Ends it at once, if it still runs; its exit status."""
        self._probing.cancel()
        self.gateway.http.close()
        if self.gateway.process.poll() is None:
            self.gateway.process.kill()
        return await asyncio.to_thread(self.gateway.process.wait, 10)

    async def _probe(self) -> None:
        """Asks as the kubelet does, a new connection each time, and tells the Service what changes."""
        while not await self._passes(self._times.startup):  # noqa: ASYNC110 - it asks
            await asyncio.sleep(self._times.startup.period_s)
        probe, failures = self._times.readiness, 0
        while True:
            failures = 0 if await self._passes(probe) else failures + 1
            if self._terminating:
                return
            if failures == 0 and not self._ready.is_set():
                self._ready.set()
                self._service.add(self.port)
            elif failures == probe.failures and self._ready.is_set():
                self._ready.clear()
                self._service.remove(self.port)
            await asyncio.sleep(probe.period_s)

    async def _passes(self, probe: Probe) -> bool:
        try:
            async with asyncio.timeout(probe.timeout_s):
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
                with closing(writer):
                    writer.write(f"GET {probe.path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
                    return (await reader.readline()).split(b" ")[1:2] == [b"200"]
        except OSError:  # a timeout is one too
            return False


class Rollout:
    """So many gateways behind a Service, restarted with maxSurge 1 and maxUnavailable 0.

    Args:
        replicas: gateways.
        start: starts the process of another one.
        times: of its pods.
        service: told of their endpoints.
    """

    def __init__(self, replicas: int, start: Callable[[], RunningGateway], times: PodTimes, service: Service) -> None:
        self._replicas = replicas
        self._start = start
        self._times = times
        self._service = service
        self.pods: list[Pod] = []
        self._started: list[Pod] = []
        self._ending: list[asyncio.Task[Stop]] = []

    async def begin(self) -> None:
        """Returns when the Service knows all of them."""
        self.pods = [self._another() for _ in range(self._replicas)]
        async with asyncio.timeout(_START_S):
            for pod in self.pods:
                await pod.wait_ready()
            while self._service.endpoints != {pod.port for pod in self.pods}:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(_POLL_S)

    async def restart(self) -> None:
        """Replaces all of them, one after the other; returns when the last new one is ready.

        A terminating pod counts no more: the next new one starts while it drains, as with the controller.
        """
        for leaving in list(self.pods):
            arriving = self._another()
            await arriving.wait_ready()
            self.pods = [arriving if pod is leaving else pod for pod in self.pods]
            self._ending.append(asyncio.create_task(leaving.terminate()))

    async def ended(self) -> list[Stop]:
        """How all those ended that were replaced; waits for it."""
        return await asyncio.gather(*self._ending)

    async def aclose(self) -> None:
        """Ends what runs, at once."""
        for pod in self._started:
            await pod.close()
        await asyncio.gather(*self._ending)

    def _another(self) -> Pod:
        self._started.append(Pod(self._start(), self._times, self._service))
        return self._started[-1]
