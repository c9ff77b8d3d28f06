"""Metrics on a port of their own, of a gateway that is a process."""

import socket
import subprocess
import sys

import httpx
import pytest

from tests.e2e.conftest import OpenGateway
from tests.fixtures.serving import eventually
from vitrine.local.ports import choose_free

BODY = b'{"query":"dress"}'
HEAD = (
    "POST /v1/collections/nothing/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    f"Content-Length: {len(BODY)}\r\n\r\n"
)


def _of_metrics(port: int) -> dict[str, str]:
    return {"VITRINE_TELEMETRY__METRICS_PORT": str(port)}


def test_scrapes_are_answered_while_the_api_is_full_and_until_it_has_drained(open_gateway: OpenGateway) -> None:
    (port,) = choose_free(1)
    gateway = open_gateway(_of_metrics(port), max_in_flight=1)
    assert gateway.http.get("/metrics").status_code == 404
    with (
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as scraper,
        socket.create_connection(("127.0.0.1", gateway.settings.gateway.port), timeout=30) as held,
    ):
        held.sendall(HEAD.encode() + BODY[:5])
        eventually("the permit is taken", lambda: "vitrine_http_in_flight 1.0" in scraper.get("/metrics").text, 10)
        assert gateway.search("dress").json()["code"] == "overloaded"
        assert 'vitrine_http_shed_total{reason="in_flight"} 1.0' in scraper.get("/metrics").text
        gateway.http.close()
        gateway.terminate()
        eventually("the API takes no connections", lambda: _refuses(gateway.settings.gateway.port), 10)
        assert "vitrine_ready 0.0" in scraper.get("/metrics").text
        held.sendall(BODY[5:])
        assert held.recv(1024).startswith(b"HTTP/1.1 ")
    assert gateway.wait_ended() == 0
    assert _refuses(port)


def _refuses(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except ConnectionRefusedError:
        return True
    return False


def test_a_metrics_port_in_use_ends_the_start_with_a_sentence_that_names_the_setting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setenv("VITRINE_TELEMETRY__METRICS_PORT", str(port))
        monkeypatch.setenv("VITRINE_GATEWAY__PORT", str(choose_free(1)[0]))
        command = [sys.executable, "-m", "vitrine.gateway"]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert ended.stderr == (
        f"VITRINE_TELEMETRY__METRICS_PORT: 127.0.0.1 port {port} cannot be listened on: Address already in use.\n"
    )
