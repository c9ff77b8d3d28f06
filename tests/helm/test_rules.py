"""The alerts as Helm renders them are those of the files, for an operator's Prometheus."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.helm.rendering import CHART, HelmFailed, render

ON = "--set=monitoring.rules.enabled=true"


def _groups(*more: str) -> list[dict[str, Any]]:
    (one,) = render("minimal", ON, *more).of("PrometheusRule")
    return list(one["spec"]["groups"])


def _files(folder: str) -> dict[str, dict[str, Any]]:
    return {
        group["name"]: group
        for path in (CHART / "monitoring" / folder).glob("*.yaml")
        for group in yaml.safe_load(path.read_text())["groups"]
    }


def test_there_are_no_rules_unless_they_are_wanted() -> None:
    assert render("minimal").of("PrometheusRule") == []


def test_every_group_is_rendered_as_it_stands_in_its_file() -> None:
    rendered = {group["name"]: group for group in _groups()}
    assert rendered.keys() == _files("recording").keys() | _files("alerts").keys()
    for name, group in _files("recording").items():
        assert rendered[name] == group
    for name, group in _files("alerts").items():
        for rule in group["rules"]:
            del rule["annotations"]["runbook"]
        assert rendered[name] == group


def test_an_alert_links_to_its_page_where_pages_can_be_read() -> None:
    rules = [
        rule
        for group in _groups("--set=monitoring.runbooksUrl=https://docs.example/alerts/")
        for rule in group["rules"]
    ]
    links = {rule["alert"]: rule["annotations"]["runbook_url"] for rule in rules if "alert" in rule}
    assert links["DependencyDown"] == "https://docs.example/alerts/DependencyDown.md"
    assert len(links) == len(list((CHART / "monitoring" / "alerts").glob("*.yaml")))


def test_an_alert_can_be_left_out() -> None:
    names = {group["name"] for group in _groups("--set=monitoring.rules.disabled={CollectionStale,EmptyResults}")}
    assert not names & {"CollectionStale", "EmptyResults"}
    assert "DependencyDown" in names


def test_leaving_out_an_alert_that_there_is_not_is_refused() -> None:
    with pytest.raises(HelmFailed, match="there is no alert CollectonStale"):
        render("minimal", ON, "--set=monitoring.rules.disabled={CollectonStale}")


def test_prometheus_takes_what_is_rendered(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("there is no promtool here (Debian: apt-get install prometheus)")
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": _groups()}))
    subprocess.run([promtool, "check", "rules", "--lint=all", "--lint-fatal", file], check=True, timeout=60)


def test_scraped_pods_have_the_job_names_that_alerts_ask_for() -> None:
    monitors = render("everything").of("PodMonitor")
    jobs = {
        relabelling["replacement"]
        for monitor in monitors
        for endpoint in monitor["spec"]["podMetricsEndpoints"]
        for relabelling in endpoint["relabelings"]
        if relabelling["targetLabel"] == "job"
    }
    assert jobs == {"vitrine-gateway", "vitrine-indexer", "vitrine-triton"}
