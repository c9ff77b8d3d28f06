"""Gateways that are told to stop while they are asked: nobody loses an answer, and they end in time.

The chart's times are scaled down where only the waiting gets shorter: preStop from 5 to 2 s, probes from every 2 s to
every second, the delay with which proxies learn of endpoints from 1-3 s to 0.5-1.5 s.
"""

import asyncio
import itertools
import json
import signal
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from tests.e2e.conftest import OpenGateway
from tests.fixtures.serving import RunningGateway, eventually
from tests.fixtures.stack import RunningStack
from tests.harness.open_loop import MULTI, PATH, image_query, lost
from tests.harness.rolling_restart import Load, restart_under_load
from tests.harness.rollout import PodTimes
from tests.helm.rendering import render

PATIENCE_MS = 10_000
UNHURRIED = {"VITRINE_TRITON__TIMEOUT_S": "20"}
PRE_STOP_S = 2.0
PROBED_EVERY_S = 1.0
PROPAGATION_S = (0.5, 1.5)
# Of a gateway without anything to finish: the notice, silent connections, and the interpreter's own end.
SOON_S = 12.0


@pytest.fixture
def times() -> PodTimes:
    return PodTimes.of(render("dev"))


@pytest.fixture
def start(stack: RunningStack, shop: Path, tmp_path: Path, times: PodTimes) -> Callable[[], RunningGateway]:
    """Starts one more gateway behind the Service."""
    logs = (tmp_path / f"gateway-{number}.log" for number in itertools.count())
    return lambda: RunningGateway(stack.settings, next(logs), drain_s=times.drain_s)


@contextmanager
def frozen(stack: RunningStack, *names: str) -> Iterator[None]:
    """While the block lasts, these engines keep their connections and answer nothing."""
    for name in names:
        stack[name].pause()
    try:
        yield
    finally:
        for name in names:
            stack[name].resume()


def ended_within(gateway: RunningGateway, seconds: float) -> int:
    """The exit status of a gateway that ends within so many seconds."""
    return gateway.process.wait(seconds)


async def test_two_rolling_restarts_of_both_replicas_lose_no_request(
    start: Callable[[], RunningGateway], times: PodTimes
) -> None:
    scaled = times.stopping_after(PRE_STOP_S).probed_every(PROBED_EVERY_S)
    load = Load(quiet_s=2.0, propagation_s=PROPAGATION_S)
    restarted = await restart_under_load(start, scaled, load, replicas=2, restarts=2)
    asked = [*restarted.before, *restarted.during]
    assert len(asked) == restarted.sent
    assert not lost(asked)
    assert restarted.reset == 0
    assert [(stop.status, stop.killed) for stop in restarted.stops] == [(0, False)] * 4


async def test_without_prestop_a_service_that_learns_late_loses_new_connections(
    start: Callable[[], RunningGateway], times: PodTimes
) -> None:
    scaled = times.stopping_after(0).probed_every(PROBED_EVERY_S)
    restarted = await restart_under_load(
        start, scaled, Load(quiet_s=0.5, propagation_s=(3.0, 3.0)), replicas=1, restarts=1
    )
    assert restarted.reset > 0
    assert not restarted.lossless
    assert any(kind.startswith("text, fresh: ") for kind in lost(restarted.during))


@pytest.mark.usefixtures("shop")
async def test_what_is_in_flight_at_the_signal_is_answered_in_full(
    stack: RunningStack, open_gateway: OpenGateway
) -> None:
    gateway = open_gateway(UNHURRIED, readiness_timeout_s=0.2)
    assert gateway.ids("every connection is made")
    requests = {
        "text": (PATH, {"query": "a text in flight"}),
        "image": (PATH, {"query": image_query(987)}),
        "multi_search": (MULTI, {"searches": [{"collection": "products", "query": f"flight {n}"} for n in range(3)]}),
    }
    async with httpx.AsyncClient(base_url=gateway.url, timeout=30, trust_env=False) as client:
        with frozen(stack, "triton"):
            asking = {
                name: asyncio.create_task(client.post(path, json={**body, "timeout_ms": PATIENCE_MS}))
                for name, (path, body) in requests.items()
            }
            body = b'{"query":"a body that is sent slowly"}'
            reader, writer = await asyncio.open_connection("127.0.0.1", gateway.settings.gateway.port)
            with closing(writer):
                writer.write(head_of(body) + body[:9])
                await asyncio.to_thread(eventually, "all of them are worked on", lambda: in_flight(gateway) == 4, 8)
                gateway.terminate()
                for part in (body[9:15], body[15:]):
                    await asyncio.sleep(0.6)
                    writer.write(part)
                stack.triton.resume()
                slow = await reader.read()
        answers = {name: await task for name, task in asking.items()}
    assert {name: answer.status_code for name, answer in answers.items()} == dict.fromkeys(requests, 200)
    assert [one["status"] for one in answers["multi_search"].json()["results"]] == [200] * 3
    assert {answer.headers["connection"] for answer in answers.values()} == {"close"}
    assert slow.startswith(b"HTTP/1.1 200 OK\r\n")
    assert json.loads(slow.partition(b"\r\n\r\n")[2])["hits"]
    gateway.http.close()
    assert await asyncio.to_thread(ended_within, gateway, SOON_S) == 0


@pytest.mark.usefixtures("shop")
def test_frozen_dependencies_neither_cost_an_answer_nor_hold_up_the_end(
    stack: RunningStack, open_gateway: OpenGateway
) -> None:
    gateway = open_gateway(readiness_timeout_s=0.2)
    assert gateway.ids("every connection is made")
    port = gateway.settings.gateway.port
    body = json.dumps({"query": "while all is frozen", "timeout_ms": 4000}).encode()
    with frozen(stack, "triton", "milvus"), socket.create_connection(("127.0.0.1", port), 30) as waiting:
        waiting.sendall(head_of(body) + body)
        with socket.create_connection(("127.0.0.1", port), 30) as leaving:
            leaving.sendall(head_of(body) + body[:5])
            eventually("both are worked on", lambda: in_flight(gateway) == 2, 4)
            gateway.terminate()
            # This caller's machine is gone: a reset instead of the rest.
            leaving.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        gateway.http.close()
        answer = waiting.makefile("rb").read()
        assert answer.split(b" ", 2)[1] in {b"503", b"504"}
        assert b"connection: close" in answer.lower()
        assert ended_within(gateway, SOON_S) == 0


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize("after_s", [0.0, 1.0, 2.5])
def test_a_signal_during_the_start_ends_it_with_frozen_dependencies_too(
    stack: RunningStack, tmp_path: Path, after_s: float
) -> None:
    with frozen(stack, "triton", "milvus"):
        gateway = RunningGateway(stack.settings, tmp_path / "log")
        try:
            # Until then it is the interpreter that starts, which on a busy machine may take a while.
            eventually("it hears SIGTERM", lambda: hears_sigterm(gateway))
            time.sleep(after_s)
            gateway.terminate()
            assert ended_within(gateway, SOON_S) == 0
        finally:
            gateway.stop()
    assert "Traceback" not in gateway.log.read_text()


def head_of(body: bytes) -> bytes:
    """Of a search, such that nothing is shared with a client's pool."""
    head = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode()


def hears_sigterm(gateway: RunningGateway) -> bool:
    """Whether its process does something of its own about SIGTERM."""
    status = Path(f"/proc/{gateway.process.pid}/status").read_text(encoding="ascii")
    (caught,) = (int(line.split()[1], 16) for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(caught >> (signal.SIGTERM - 1) & 1)


def in_flight(gateway: RunningGateway) -> float:
    """Requests that hold a permit."""
    with suppress(httpx.TransportError):
        for line in gateway.http.get("/metrics").text.splitlines():
            if line.startswith("vitrine_http_in_flight "):
                return float(line.split()[1])
    return 0.0
