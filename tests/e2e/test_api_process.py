"""The gateway as a process: bounded memory and time, a clean end, traces that leave it."""

import concurrent.futures
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.e2e.conftest import OpenGateway
from tests.fixtures.serving import RunningGateway, eventually
from vitrine.local.gateway import environment_of

MIB = 1024 * 1024
PATH = "/v1/collections/products/search"
HEAD = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


def _dial(gateway: RunningGateway) -> socket.socket:
    return socket.create_connection(("127.0.0.1", gateway.settings.gateway.port), timeout=30)


def _answer(connection: socket.socket) -> tuple[int, Any]:
    response = http.client.HTTPResponse(connection)
    response.begin()
    return response.status, json.loads(response.read())


def _pour(connection: socket.socket, total: int) -> int:
    """Sends a chunked body until all is sent or the other side has hung up. Returns the bytes sent."""
    piece = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    sent = 0
    try:
        while sent < total:
            connection.sendall(piece)
            sent += 0x10000
    except OSError:
        return sent
    return sent


def test_an_endless_chunked_body_is_refused_with_memory_flat(open_gateway: OpenGateway) -> None:
    gateway = open_gateway(max_body_bytes=MIB)
    process = psutil.Process(gateway.process.pid)
    before = process.memory_info().rss
    for _ in range(5):
        with _dial(gateway) as connection:
            connection.sendall(f"{HEAD}Transfer-Encoding: chunked\r\n\r\n".encode())
            sent = _pour(connection, 200 * MIB)
            assert sent < 50 * MIB, "the server read on although it had refused"
    assert process.memory_info().rss - before < 30 * MIB
    assert gateway.search("dress", alias="nothing").status_code in {404, 503}


def test_the_refusal_of_a_large_body_reaches_the_caller(open_gateway: OpenGateway) -> None:
    gateway = open_gateway(max_body_bytes=4096)
    with _dial(gateway) as connection:
        connection.sendall(f"{HEAD}Content-Length: 1000000\r\n\r\n".encode())
        status, problem = _answer(connection)
    assert (status, problem["code"]) == (413, "body_too_large")


def test_a_body_that_trickles_in_is_given_up(open_gateway: OpenGateway) -> None:
    gateway = open_gateway(default_timeout_ms=300, max_timeout_ms=300)
    with _dial(gateway) as connection:
        connection.sendall(f"{HEAD}Content-Length: 1000\r\n\r\n".encode() + b'{"query":')
        began = time.monotonic()
        status, problem = _answer(connection)
    assert (status, problem["code"]) == (408, "body_timed_out")
    assert time.monotonic() - began < 3


def test_a_caller_who_hangs_up_in_the_middle_leaves_no_permit_taken(open_gateway: OpenGateway) -> None:
    gateway = open_gateway(max_in_flight=1)
    for _ in range(3):
        with _dial(gateway) as connection:
            connection.sendall(f"{HEAD}Content-Length: 1000\r\n\r\n".encode() + b'{"query":')
    eventually("the permit is free", lambda: gateway.http.get("/v1/ui-config").status_code == 200, 10)


@pytest.mark.usefixtures("shop")
def test_more_than_the_permits_is_refused_at_once_and_the_rest_is_served(open_gateway: OpenGateway) -> None:
    gateway = open_gateway(max_in_flight=2)
    assert gateway.search("dress").status_code == 200
    with concurrent.futures.ThreadPoolExecutor(24) as pool:
        answers = list(pool.map(lambda _: gateway.search("dress"), range(240)))
    refused = [answer for answer in answers if answer.status_code != 200]
    assert refused, "24 callers never had more than two requests in flight"
    assert {(answer.status_code, answer.json()["code"]) for answer in refused} == {(503, "overloaded")}
    assert all(answer.headers["retry-after"] == "1" for answer in refused)
    assert len(refused) < 240
    assert f'vitrine_http_shed_total{{reason="in_flight"}} {len(refused)}.0' in gateway.http.get("/metrics").text
    assert gateway.search("dress").status_code == 200


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.usefixtures("shop")
def test_a_signal_drains_first_and_exits_with_0(open_gateway: OpenGateway, ending: signal.Signals) -> None:
    gateway = open_gateway()
    eventually("ready", lambda: gateway.http.get("/readyz").status_code == 200)
    with _dial(gateway) as connection:
        body = b'{"query":"dress"}'
        connection.sendall(f"{HEAD}Content-Length: {len(body)}\r\n\r\n".encode() + body[:5])
        gateway.process.send_signal(ending)
        eventually("not ready any more", lambda: gateway.http.get("/readyz").status_code == 503, 5)
        assert gateway.http.get("/readyz").json()["code"] == "draining"
        assert gateway.search("dress").status_code == 200, "new requests are served while the notice lasts"
        gateway.http.close()
        time.sleep(1.2)  # the notice itself: by now the listening socket is closed
        with pytest.raises(ConnectionRefusedError):
            _dial(gateway)
        connection.sendall(body[5:])
        assert _answer(connection)[0] == 200, "a request in flight is finished"
    assert gateway.wait_ended() == 0


def test_a_second_signal_ends_it_without_waiting(open_gateway: OpenGateway) -> None:
    gateway = open_gateway(drain_s=30)
    with _dial(gateway) as connection:
        connection.sendall(f"{HEAD}Content-Length: 1000\r\n\r\n".encode())
        gateway.terminate()
        eventually("draining", lambda: gateway.http.get("/readyz").json().get("code") == "draining", 5)
        began = time.monotonic()
        gateway.terminate()
        gateway.wait_ended()
    assert time.monotonic() - began < 5


def test_it_starts_without_its_dependencies_and_says_what_is_missing(
    open_gateway: OpenGateway, model_repository: Path
) -> None:
    nowhere = {"VITRINE_TRITON__URL": "http://127.0.0.1:9", "VITRINE_MILVUS__URI": "http://127.0.0.1:9"}
    gateway = open_gateway(nowhere)
    began = time.monotonic()
    response = gateway.search("dress")
    assert (response.status_code, response.json()["code"]) == (503, "vector_store_unavailable")
    assert time.monotonic() - began < 2
    assert "127.0.0.1" not in response.text
    report = gateway.http.get("/readyz").json()
    assert {check["name"]: check["code"] for check in report["checks"]} == {
        "triton": "encoder_unavailable",
        "collection": "vector_store_unavailable",
    }
    assert gateway.http.get("/livez").status_code == 200
    assert 'vitrine_dependency_up{dependency="milvus"} 0.0' in gateway.http.get("/metrics").text


@pytest.mark.parametrize(
    ("variable", "value", "status", "told"),
    [
        ("VITRINE_GATEWAY__PORT", "99999", 2, "VITRINE_GATEWAY__PORT"),
        ("VITRINE_GATWAY__PORT", "8080", 2, "VITRINE_GATWAY__PORT"),
        ("VITRINE_MODEL__REPOSITORY", "/nothing/here", 3, "/nothing/here is no model repository"),
    ],
)
def test_a_start_that_cannot_succeed_says_why(variable: str, value: str, status: int, told: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "vitrine.gateway"],
        env={variable: value, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == status, ended.stderr
    assert told in ended.stdout + ended.stderr
    assert "Traceback" not in ended.stdout + ended.stderr


def test_a_port_in_use_is_said_so(open_gateway: OpenGateway) -> None:
    first = open_gateway()
    second = subprocess.run(
        [sys.executable, "-m", "vitrine.gateway"],
        env={**os.environ, **environment_of(first.settings)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert second.returncode == 3
    assert "address already in use" in second.stdout
    assert "Traceback" not in second.stdout + second.stderr
