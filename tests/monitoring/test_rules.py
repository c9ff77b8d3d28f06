"""Rules and alerts: valid, tested one by one with promtool, and about metrics that there are."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.monitoring.metric_names import RECORDS, gateway_metrics, known_names, listed, routes
from tests.monitoring.rules_folder import (
    ALERT_FILES,
    ALERTS,
    MONITORING,
    RECORDING_FILES,
    TESTS,
    names_in,
    rules_of,
)
from vitrine.gateway.admission import Admission, Permits
from vitrine.gateway.middleware import Observe
from vitrine.gateway.shedding import Refusals, Shedding
from vitrine.telemetry.metrics import GatewayMetrics


def _ran(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _tests_of(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load((TESTS / f"{name}.test.yaml").read_text())["tests"])


def test_every_rule_file_is_valid_and_has_no_rule_twice(promtool: str) -> None:
    files = [str(path) for path in (*RECORDING_FILES, *ALERT_FILES)]
    said = _ran(promtool, "check", "rules", "--lint=all", "--lint-fatal", *files)
    assert said.count("SUCCESS") == len(files)


@pytest.mark.parametrize("name", sorted(path.name.removesuffix(".test.yaml") for path in TESTS.glob("*.test.yaml")))
def test_the_cases_of(name: str, promtool: str) -> None:
    _ran(promtool, "test", "rules", str(TESTS / f"{name}.test.yaml"))


def test_a_rule_that_lost_its_threshold_would_be_found(promtool: str, tmp_path: Path) -> None:
    """The cases are held against a changed alert: they must not pass whatever it says."""
    cases = (TESTS / "GatewayNotReady.test.yaml").read_text()
    alert = (MONITORING / "alerts" / "GatewayNotReady.yaml").read_text()
    (tmp_path / "alert.yaml").write_text(alert.replace("(vitrine_ready) == 0", "(vitrine_ready) == 2"))
    changed = re.sub(r"\S+GatewayNotReady\.yaml", str(tmp_path / "alert.yaml"), cases)
    (tmp_path / "cases.yaml").write_text(changed)
    done = subprocess.run([promtool, "test", "rules", str(tmp_path / "cases.yaml")], capture_output=True, check=False)
    assert done.returncode == 1


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_is_seen_firing_silent_and_without_its_series(name: str) -> None:
    cases = _tests_of(name)
    kinds = {str(case["name"]).split()[0].rstrip(",") for case in cases}
    assert kinds == {"fires", "silent", "absent"}
    for case in cases:
        checks = case["alert_rule_test"]
        assert {check["alertname"] for check in checks} == {name}
        fired = any(check["exp_alerts"] for check in checks)
        if str(case["name"]).startswith("fires"):
            assert fired, case["name"]
        if str(case["name"]).startswith("silent"):
            assert not checks[-1]["exp_alerts"], case["name"]


@pytest.mark.parametrize("name", ALERTS)
def test_every_rule_of_an_alert_fires_in_some_case(name: str) -> None:
    wanted = [rule.content["labels"] for rule in rules_of(MONITORING / "alerts" / f"{name}.yaml")]
    fired = [
        alert["exp_labels"]
        for case in _tests_of(name)
        for check in case["alert_rule_test"]
        for alert in check["exp_alerts"]
    ]
    missing = [labels for labels in wanted if not any(labels.items() <= one.items() for one in fired)]
    assert missing == []


def test_every_record_is_computed_in_some_case() -> None:
    asked = "\n".join(
        expression["expr"]
        for path in TESTS.glob("recording-*.test.yaml")
        for case in yaml.safe_load(path.read_text())["tests"]
        for expression in case["promql_expr_test"]
    )
    assert RECORDS - names_in(asked) == set()


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_stands_alone_in_its_file_and_points_at_its_runbook(name: str) -> None:
    rules = list(rules_of(MONITORING / "alerts" / f"{name}.yaml"))
    assert {rule.name for rule in rules} == {name}
    for rule in rules:
        assert rule.content["labels"]["severity"] in {"page", "ticket"}
        assert "for" in rule.content
        assert rule.content["annotations"].keys() == {"summary", "description", "runbook"}
        assert rule.content["annotations"]["runbook"] == f"docs/runbooks/alerts/{name}.md"


def test_every_name_in_a_rule_is_a_metric_that_somebody_has() -> None:
    known = known_names()
    unknown = {
        (rule.file.stem, name)
        for rule in rules_of(*RECORDING_FILES, *ALERT_FILES)
        for name in names_in(rule.expression)
        if name not in known
    }
    assert unknown == set()


def test_what_is_asked_of_milvus_is_there_in_both_its_versions() -> None:
    asked = {name for rule in rules_of(*RECORDING_FILES, *ALERT_FILES) for name in names_in(rule.expression)}
    of_milvus = {name for name in asked if name.startswith("milvus_")}
    assert of_milvus <= listed("milvus-2.3")
    assert of_milvus <= listed("milvus-2.6")


def test_a_name_with_a_typo_would_be_found() -> None:
    assert names_in('sum by (namespace) (rate(vitrine_raedy{route="x"}[5m])) > 0.01 or on (pod) up * 2') == {
        "vitrine_raedy",
        "up",
    }


def test_the_routes_of_searches_are_those_that_there_are() -> None:
    """What counts as a search is a regular expression; a new route of searches must be in it, and no other."""
    (pattern,) = {
        found
        for rule in rules_of(*RECORDING_FILES)
        for found in re.findall(r'route=~"(/v1/[^"]+?)(?:\|unmatched)?"', rule.expression)
    }
    there = routes()
    searches = {path for path in there if re.fullmatch(pattern, path)}
    assert searches == {path for path in there if "search" in path}
    assert "/v1/collections/{alias}/search/image" in searches


def test_the_edges_of_the_latency_objectives_are_buckets() -> None:
    buckets = {
        sample.labels["le"]
        for family in gateway_metrics().registry.collect()
        for sample in family.samples
        if sample.name == "vitrine_stage_duration_seconds_bucket"
    }
    edges = {edge for rule in rules_of(*RECORDING_FILES) for edge in re.findall(r'le="([^"]+)"', rule.expression)}
    assert edges == {"0.25", "0.05"}
    assert edges <= buckets


def test_every_objective_has_the_same_formula_in_every_window() -> None:
    rules = {rule.name: rule.expression for rule in rules_of(*RECORDING_FILES)}
    for windows in (("5m", "30m", "1h", "2h"), ("6h", "1d", "3d")):
        first = windows[0]
        of_first = [name for name in rules if re.search(rf"rate{first}$", name) and name.startswith("vitrine:search")]
        for name in of_first:
            for window in windows[1:]:
                other = rules[name.replace(f"rate{first}", f"rate{window}")]
                assert re.sub(rf"\[{window}\]|(?<=rate){window}\b", "W", other) == re.sub(
                    rf"\[{first}\]|(?<=rate){first}\b", "W", rules[name]
                )


def _shedding(app: ASGIApp, metrics: GatewayMetrics) -> ASGIApp:
    return Shedding(app, Refusals(Permits(0, metrics), metrics))


def _admission(app: ASGIApp, metrics: GatewayMetrics) -> ASGIApp:
    return Observe(Admission(app, Permits(0, metrics)), metrics, None)


@pytest.mark.parametrize("refusing", [_shedding, _admission])
async def test_a_search_refused_for_want_of_a_permit_is_counted_where_the_rules_look(
    refusing: Callable[[ASGIApp, GatewayMetrics], ASGIApp],
) -> None:
    """It never comes to a route, so it is told from others by its status alone."""

    async def never(scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError("it was let in")

    metrics = gateway_metrics()
    transport = httpx.ASGITransport(refusing(never, metrics))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        assert (await client.post("/v1/collections/products/search", json={"query": "dress"})).status_code == 503
    counted = {
        (sample.labels["route"], sample.labels["status"])
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name == "vitrine_http_requests_total" and sample.value
    }
    assert counted == {("unmatched", "5xx")}
