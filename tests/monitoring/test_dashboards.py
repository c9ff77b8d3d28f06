"""The dashboards' files: up to date, and what Grafana makes of them without any data."""

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.monitoring import grafana
from tests.monitoring.grafana import ROOT

RUNBOOKS: Final = ROOT / "docs" / "runbooks" / "alerts"
ALERTS: Final = ROOT / "helm" / "vitrine" / "monitoring" / "alerts"
UNITS: Final = {"s", "ms", "short", "percentunit", "bytes", "reqps", "rowsps", "ops", "wps", "cps"}
"""Ids of Grafana's units (packages/grafana-data, valueFormats) that the dashboards use."""
DASHBOARDS: Final = {one["uid"]: one for one in grafana.load()}

dashboards = pytest.mark.parametrize("dashboard", DASHBOARDS.values(), ids=DASHBOARDS)


def _drawn(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in grafana.panels(dashboard) if panel["type"] != "row"]


def test_the_files_are_what_the_code_makes(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "helm.dashboards", str(tmp_path)], check=True, cwd=ROOT)
    made = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert made == {path.name: path.read_text() for path in grafana.FOLDER.iterdir()}, "run `make dashboards`"


def test_every_part_of_the_service_has_a_page() -> None:
    assert set(DASHBOARDS) == {f"vitrine-{part}" for part in ("overview", "gateway", "triton", "milvus", "indexing")}


@dashboards
def test_ids_and_titles_of_panels_are_unique(dashboard: dict[str, Any]) -> None:
    everything = list(grafana.panels(dashboard))
    assert max(Counter(panel["id"] for panel in everything).values()) == 1
    assert max(Counter(panel["title"] for panel in everything).values()) == 1


@dashboards
def test_panels_lie_beside_each_other_within_24_columns(dashboard: dict[str, Any]) -> None:
    cells = Counter(
        (x, y)
        for panel in grafana.panels(dashboard)
        for place in [panel["gridPos"]]
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    )
    assert max(cells.values()) == 1
    assert {x for x, _ in cells} <= set(range(24))


@dashboards
def test_panels_of_a_folded_row_are_inside_it_and_those_of_an_open_row_after_it(dashboard: dict[str, Any]) -> None:
    rows = [panel for panel in dashboard["panels"] if panel["type"] == "row"]
    assert dashboard["panels"][0] is rows[0]
    for row in rows:
        assert bool(row["panels"]) == row["collapsed"]


@dashboards
def test_every_panel_says_what_to_do_and_has_a_unit(dashboard: dict[str, Any]) -> None:
    for panel in _drawn(dashboard):
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS, panel["title"]


@dashboards
def test_thresholds_begin_below_everything_and_ascend(dashboard: dict[str, Any]) -> None:
    for panel in _drawn(dashboard):
        first, *others = [step["value"] for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"]]
        assert first is None, panel["title"]
        assert others == sorted(set(others)), panel["title"]


@dashboards
def test_queries_of_a_panel_have_references_of_their_own_and_the_chosen_data_source(dashboard: dict[str, Any]) -> None:
    source = {"type": "prometheus", "uid": "${datasource}"}
    for panel in _drawn(dashboard):
        references = [target["refId"] for target in panel["targets"]]
        assert references == [chr(ord("A") + number) for number in range(len(references))]
        assert panel["datasource"] == source
        assert all(target["datasource"] == source for target in panel["targets"])


@dashboards
def test_variables_are_defined_before_they_are_used(dashboard: dict[str, Any]) -> None:
    names = [variable["name"] for variable in dashboard["templating"]["list"]]
    assert names == ["datasource", "namespace", "instance", "runbooks"]
    for asked in grafana.queries(dashboard):
        values = dict.fromkeys([*names, "__rate_interval"], "")
        assert "$" not in asked.with_variables(values), asked.name


@dashboards
def test_every_link_to_a_runbook_leads_to_the_page_of_an_alert(dashboard: dict[str, Any]) -> None:
    alerts = {path.stem for path in ALERTS.glob("*.yaml")}
    for panel in _drawn(dashboard):
        for link in panel.get("links", ()):
            name = re.fullmatch(r"\$\{runbooks\}/(\w+)\.md", link["url"])
            assert name is not None, panel["title"]
            assert name[1] in alerts, panel["title"]
            assert (RUNBOOKS / f"{name[1]}.md").is_file(), panel["title"]


def test_every_alert_has_a_panel_that_leads_to_its_page() -> None:
    """But those about figures that are missing, which no panel can show, and what others' dashboards have."""
    unseen = {
        # Silence of a source is a panel without data.
        *("GatewayMetricsAbsent", "TritonMetricsAbsent", "MilvusMetricsAbsent", "RulesWithoutData"),
        # Of cert-manager, which has dashboards of its own.
        "CertificateExpiring",
    }
    linked = {
        link["url"].removeprefix("${runbooks}/").removesuffix(".md")
        for dashboard in DASHBOARDS.values()
        for panel in _drawn(dashboard)
        for link in panel.get("links", ())
    }
    assert {path.stem for path in ALERTS.glob("*.yaml")} == linked | unseen


@pytest.mark.parametrize(
    ("uid", "title", "alert", "written"),
    [
        ("overview", "Availability, 1 h", "SearchErrorBudgetBurn", {0.999: "> 1 * 0.001"}),
        ("overview", "Under 250 ms, 1 h", "SearchLatency250BudgetBurn", {0.99: "> 1 * 0.01"}),
        ("overview", "Under 50 ms, 1 h", "SearchLatency50BudgetBurn", {0.9: "> 1 * 0.1"}),
        ("overview", "Burn of availability", "SearchErrorBudgetBurn", {1: "> 1 * 0.001", 14.4: "> 14.4 * 0.001"}),
        ("overview", "Burn of latency, 250 ms", "SearchLatency250BudgetBurn", {1: "> 1 *", 14.4: "> 14.4 *"}),
        ("overview", "Burn of latency, 50 ms", "SearchLatency50BudgetBurn", {1: "> 1 *", 6: "> 6 *"}),
        ("overview", "Age of the index", "CollectionStale", {26 * 3600: "> 26 * 3600"}),
        ("overview", "Live recall@10", "LiveRecallLow", {0.9: "< 0.90"}),
        ("indexing", "Neighbours behind it", "LiveRecallLow", {200: ">= 200"}),
        ("indexing", "Share rejected", "IndexRejectingMuch", {0.05: "> 0.05"}),
        ("indexing", "Since the last write", "IndexStalled", {900: "> 900"}),
        ("triton", "Queue to compute", "TritonQueueGrowing", {2: "> 2"}),
        ("triton", "Share that fails", "TritonRequestFailures", {0.01: "> 0.01"}),
        ("triton", "GPU memory", "TritonGpuMemory", {0.95: "> 0.95"}),
        ("milvus", "Share of reads that fails", "MilvusSearchFailures", {0.01: "> 0.01"}),
        ("milvus", "Lag of query nodes", "MilvusTimeTickLag", {10_000: "> 10000"}),
        ("milvus", "Room left in volumes", "VolumeFilling", {0.05: "< 0.05", 0.3: "< 0.3"}),
    ],
)
def test_a_threshold_is_where_the_alert_is(uid: str, title: str, alert: str, written: dict[float, str]) -> None:
    groups = yaml.safe_load((ALERTS / f"{alert}.yaml").read_text())["groups"]
    expressions = " ".join(rule["expr"] for group in groups for rule in group["rules"])
    (panel,) = [one for one in _drawn(DASHBOARDS[f"vitrine-{uid}"]) if one["title"] == title]
    steps = {step["value"] for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"]}
    for value, text in written.items():
        assert value in steps
        assert text in expressions
