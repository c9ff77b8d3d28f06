"""`vitrine status` and what a Prometheus, or something else, answers to it."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from vitrine.local.objectives import GOALS, ObjectivesUnknown, read_objectives
from vitrine.local.objectives_display import print_objectives

ALERTS = Path(__file__).resolve().parents[3] / "helm" / "vitrine" / "monitoring" / "alerts"
FIGURES = {
    "vitrine:search_errors:ratio_rate5m": "0.02",
    "vitrine:search_errors:ratio_rate1h": "0.00049",
    "vitrine:search_slow250:ratio_rate5m": "NaN",
    "vitrine:availability:budget_left_30d": "-0.25",
    "vitrine:search_requests:rate5m": "12.5",
    "vitrine:search_latency_seconds:p50_5m": "0.0061",
    "vitrine:search_latency_seconds:p99_5m": "+Inf",
}
PENDING = {"labels": {"alertname": "Later", "severity": "page"}, "annotations": {}, "state": "pending"}
FIRING = {
    "labels": {"alertname": "Now", "severity": "ticket"},
    "annotations": {"summary": "Triton [gpu] waits."},
    "state": "firing",
}

Serve = Callable[[dict[str, str], list[dict[str, Any]]], int]


@pytest.fixture
def serving() -> Iterator[Serve]:
    """A server that answers as Prometheus' API does; gives its port."""
    servers: list[ThreadingHTTPServer] = []

    def start(figures: dict[str, str], alerts: list[dict[str, Any]]) -> int:
        vector = [{"metric": {"__name__": name}, "value": [1.0, value]} for name, value in figures.items()]

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                data = {"alerts": alerts} if "alerts" in self.path else {"resultType": "vector", "result": vector}
                body = json.dumps({"status": "success", "data": data}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Nothing to say."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return server.server_port

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def printed(port: int) -> str:
    console = Console(width=200, no_color=True)
    with console.capture() as captured:
        print_objectives(console, read_objectives(port))
    return captured.get()


def test_shares_and_burn_rates_come_from_the_recorded_ratios(serving: Serve) -> None:
    now = read_objectives(serving(FIGURES, []))
    availability = now.standings[0]
    assert availability.good == {"5m": 0.98, "1h": 0.99951}
    assert availability.burn == {"5m": pytest.approx(20), "1h": pytest.approx(0.49)}
    assert availability.budget_left == -0.25
    assert now.searches_per_s == 12.5


def test_what_is_no_number_is_unknown(serving: Serve) -> None:
    now = read_objectives(serving(FIGURES, []))
    assert now.p99_s is None
    assert now.recall is None
    assert now.standings[1].good == {}
    assert now.standings[1].budget_left is None


def test_alerts_that_fire_come_first(serving: Serve) -> None:
    port = serving(FIGURES, [PENDING, FIRING])
    assert [(one.name, one.state) for one in read_objectives(port).alerts] == [("Now", "firing"), ("Later", "pending")]
    lines = printed(port).splitlines()
    assert lines[-2:] == ["firing Now (ticket): Triton [gpu] waits.", "pending Later (page): "]


def test_a_share_below_its_goal_is_never_shown_as_the_goal(serving: Serve) -> None:
    shown = printed(serving({"vitrine:search_errors:ratio_rate5m": "0.001001"}, []))
    assert "99.89%" in shown
    assert "99.90%" not in shown


def test_without_a_search_nothing_is_claimed(serving: Serve) -> None:
    shown = printed(serving({}, []))
    assert "no search was seen yet" in shown
    assert "no alert is pending or firing" in shown
    assert "100" not in shown


def test_the_goals_are_those_that_alerts_watch() -> None:
    """14.4 * 0.001 in a rule is a budget of 0.001 here."""
    files = {"availability": "SearchError", "latency250": "SearchLatency250", "latency50": "SearchLatency50"}
    for goal in GOALS:
        content = yaml.safe_load((ALERTS / f"{files[goal.name]}BudgetBurn.yaml").read_text())
        rules = content["groups"][0]["rules"]
        assert {rule["labels"]["slo"] for rule in rules} == {goal.name}
        for rule in rules:
            assert f"search_{goal.bad}:ratio" in rule["expr"]
            assert f"{rule['labels']['burn']} * {goal.budget:g}\n" in rule["expr"]


def test_a_prometheus_that_is_gone_is_a_reason() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(ObjectivesUnknown, match=f"does not answer on port {port}"):
        read_objectives(port)


def test_one_that_never_answers_is_given_up() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        began = time.monotonic()
        with pytest.raises(ObjectivesUnknown, match="timed out"):
            read_objectives(silent.getsockname()[1], timeout_s=0.2)
        assert time.monotonic() - began < 5


def test_something_else_on_its_port_is_a_reason() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()

        def answer() -> None:
            connection, _ = other.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(ObjectivesUnknown, match="no Prometheus"):
            read_objectives(other.getsockname()[1])
        thread.join()
