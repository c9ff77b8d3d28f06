"""The objectives as this moment's Prometheus has them: what `vitrine status` shows, in two bounded requests."""

import http.client
import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from vitrine.local.service import LOOPBACK

TIMEOUT_S: Final = 3.0
MOST_BYTES: Final = 4 << 20
WINDOWS: Final = ("5m", "1h", "6h", "3d")
SHOWN: Final = (
    r"vitrine:search_(errors|slow250|slow50):ratio_rate(5m|1h|6h|3d)"
    r"|vitrine:(availability|latency250|latency50):budget_left_30d"
    r"|vitrine:search_requests:rate5m|vitrine:search_latency_seconds:p(50|99)_5m|vitrine:live_recall:ratio"
)


class ObjectivesUnknown(Exception):
    """Prometheus gave no answer that can be read; the text says why."""


@dataclass(frozen=True)
class Goal:
    """An objective over requests, of docs/slo.md.

    Args:
        name: as alerts label it (`slo`).
        meaning: for people.
        bad: what the recording rules of its bad share are called.
        budget: the share of requests that may be bad.
    """

    name: str
    meaning: str
    bad: str
    budget: float


GOALS: Final = (
    Goal("availability", "searches answered", "errors", 0.001),
    Goal("latency250", "answered under 250 ms", "slow250", 0.01),
    Goal("latency50", "answered under 50 ms", "slow50", 0.1),
)
RECALL_TARGET: Final = 0.95


@dataclass(frozen=True)
class Standing:
    """How one objective stands. Nothing is None or missing but for want of searches.

    Args:
        name: of the goal.
        good: share of requests in 0..1 that were good, by window.
        burn: how many times faster than allowed the budget is spent, by window.
        budget_left: 1 all of 30 days' budget, 0 none, negative overspent.
    """

    name: str
    good: Mapping[str, float]
    burn: Mapping[str, float]
    budget_left: float | None


@dataclass(frozen=True)
class Alert:
    """An alert that is pending or firing.

    Args:
        name: of the alert, and of its runbook.
        state: "pending" or "firing".
        severity: "page" or "ticket".
        summary: one sentence.
    """

    name: str
    state: str
    severity: str
    summary: str


@dataclass(frozen=True)
class Objectives:
    """The service's objectives now.

    Args:
        standings: of each goal.
        searches_per_s: over five minutes; None when no search was ever seen.
        p50_s: median latency of answered searches over five minutes, in seconds.
        p99_s: the same for 99 of 100.
        recall: live recall in 0..1; None while no canary said one.
        alerts: what is pending or firing, firing first.
    """

    standings: tuple[Standing, ...]
    searches_per_s: float | None
    p50_s: float | None
    p99_s: float | None
    recall: float | None
    alerts: tuple[Alert, ...]


def read_objectives(port: int, timeout_s: float = TIMEOUT_S) -> Objectives:
    """Asks the Prometheus on a port of loopback.

    Args:
        port: of its API.
        timeout_s: for all of it.

    Raises:
        ObjectivesUnknown: no answer in time, or none that can be read.
    """
    deadline = time.monotonic() + timeout_s
    query = urlencode({"query": f'{{__name__=~"{SHOWN}"}}'})
    try:
        vector = _asked(port, f"/api/v1/query?{query}", deadline)["result"]
        values = {one["metric"]["__name__"]: float(one["value"][1]) for one in vector}
        alerts = tuple(_alert(one) for one in _asked(port, "/api/v1/alerts", deadline)["alerts"])
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise ObjectivesUnknown(f"what answers on port {port} is no Prometheus: {error!r}") from error
    known = {name: value for name, value in values.items() if math.isfinite(value)}
    return Objectives(
        standings=tuple(_standing(goal, known) for goal in GOALS),
        searches_per_s=known.get("vitrine:search_requests:rate5m"),
        p50_s=known.get("vitrine:search_latency_seconds:p50_5m"),
        p99_s=known.get("vitrine:search_latency_seconds:p99_5m"),
        recall=known.get("vitrine:live_recall:ratio"),
        alerts=tuple(sorted(alerts, key=lambda one: (one.state != "firing", one.severity, one.name))),
    )


def _standing(goal: Goal, known: Mapping[str, float]) -> Standing:
    names = {window: f"vitrine:search_{goal.bad}:ratio_rate{window}" for window in WINDOWS}
    bad = {window: known[name] for window, name in names.items() if name in known}
    return Standing(
        name=goal.name,
        good={window: 1 - share for window, share in bad.items()},
        burn={window: share / goal.budget for window, share in bad.items()},
        budget_left=known.get(f"vitrine:{goal.name}:budget_left_30d"),
    )


def _alert(one: Mapping[str, Any]) -> Alert:
    labels, annotations = one["labels"], one["annotations"]
    return Alert(
        str(labels["alertname"]),
        str(one["state"]),
        str(labels.get("severity", "")),
        str(annotations.get("summary", "")),
    )


def _asked(port: int, path: str, deadline: float) -> dict[str, Any]:
    """`data` of an answer of the API."""
    left_s = deadline - time.monotonic()
    if left_s <= 0:
        raise ObjectivesUnknown("Prometheus took too long")
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=left_s)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        text = response.read(MOST_BYTES)
    except (OSError, http.client.HTTPException) as error:
        raise ObjectivesUnknown(
            f"Prometheus does not answer on port {port}: {error or type(error).__name__}"
        ) from error
    finally:
        connection.close()
    content = json.loads(text)
    if content["status"] != "success":
        raise ObjectivesUnknown(f"Prometheus answers {response.status}: {content['error']}")
    data: dict[str, Any] = content["data"]
    return data
