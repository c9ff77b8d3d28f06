"""What the local Prometheus is told, without starting it; and that the guide's lines are the ones it gets."""

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from vitrine.local.errors import RulesMissing, StateUnusable
from vitrine.local.prometheus import PrometheusService, find_prometheus, rule_files, why_without
from vitrine.local.scraping import prometheus_configuration, scrape_configs
from vitrine.settings import GatewaySettings, LocalSettings, Settings, TelemetrySettings

ROOT = Path(__file__).resolve().parents[3]
GUIDE = ROOT / "docs" / "embedded-stack.md"


def monitoring(folder: Path) -> Path:
    """A folder with a rule file of each kind, and something that is none."""
    for name in ("alerts/B.yaml", "alerts/A.yaml", "recording/r.yaml", "alerts/notes.md"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("groups: []")
    return folder


def service(tmp_path: Path, **local: Any) -> PrometheusService:
    local = {"monitoring_dir": monitoring(tmp_path / "rules"), **local}
    return PrometheusService(Settings(local=LocalSettings(**local)), Path(sys.executable), tmp_path / "prometheus")


def targets(settings: Settings) -> dict[str, str]:
    return {one["job_name"]: one["static_configs"][0]["targets"][0] for one in scrape_configs(settings)}


def test_it_scrapes_the_gateway_triton_and_milvus_where_settings_put_them() -> None:
    local = LocalSettings(triton_metrics_port=1111, milvus_metrics_port=2222)
    assert targets(Settings(local=local, gateway=GatewaySettings(port=3333))) == {
        "vitrine-gateway": "127.0.0.1:3333",
        "vitrine-triton": "127.0.0.1:1111",
        "milvus": "127.0.0.1:2222",
    }


@pytest.mark.parametrize(
    ("host", "reached"),
    [("0.0.0.0", "127.0.0.1:3333"), ("::", "127.0.0.1:3333"), ("::1", "[::1]:3333"), ("10.0.0.7", "10.0.0.7:3333")],  # noqa: S104
)
def test_a_gateway_is_scraped_where_it_can_be_reached(host: str, reached: str) -> None:
    settings = Settings(gateway=GatewaySettings(host=host, port=3333))
    assert targets(settings)["vitrine-gateway"] == reached


def test_a_gateway_with_a_port_for_metrics_is_scraped_there() -> None:
    settings = Settings(telemetry=TelemetrySettings(metrics_port=4444))
    assert targets(settings)["vitrine-gateway"] == "127.0.0.1:4444"


@pytest.mark.parametrize(("interval_s", "interval", "timeout"), [(15, "15s", "10s"), (0.25, "250ms", "250ms")])
def test_a_scrape_never_takes_longer_than_until_the_next(interval_s: float, interval: str, timeout: str) -> None:
    content = prometheus_configuration(Settings(local=LocalSettings(scrape_interval_s=interval_s)), [])
    assert content["global"]["scrape_interval"] == interval
    assert content["global"]["scrape_timeout"] == timeout


def test_it_listens_on_loopback_and_keeps_little(tmp_path: Path) -> None:
    launch = service(tmp_path, prometheus_port=1234).prepare()
    assert "--web.listen-address=127.0.0.1:1234" in launch.command
    assert any(word.startswith("--storage.tsdb.retention.size=") for word in launch.command)
    assert f"--storage.tsdb.path={tmp_path / 'prometheus' / 'data'}" in launch.command
    assert "HOME" not in launch.environment


def test_its_rules_are_the_files_of_the_folder(tmp_path: Path) -> None:
    service(tmp_path).prepare()
    content = json.loads((tmp_path / "prometheus" / "prometheus.yml").read_text())
    rules = tmp_path / "rules"
    assert content["rule_files"] == [
        str(rules / name) for name in ("recording/r.yaml", "alerts/A.yaml", "alerts/B.yaml")
    ]


def test_its_rules_are_those_of_the_chart_by_default() -> None:
    found = rule_files(ROOT / LocalSettings().monitoring_dir)
    assert {path.parent.name for path in found} == {"recording", "alerts"}


def test_no_rules_are_an_error_that_names_the_settings(tmp_path: Path) -> None:
    with pytest.raises(RulesMissing, match=r"VITRINE_LOCAL__MONITORING_DIR.*VITRINE_LOCAL__PROMETHEUS"):
        service(tmp_path, monitoring_dir=tmp_path)


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "prometheus").write_text("a file where a folder belongs")
    with pytest.raises(StateUnusable, match="cannot be written"):
        service(tmp_path).prepare()


def test_it_is_found_by_name_or_by_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "prometheus"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_prometheus(LocalSettings(monitoring_dir=tmp_path)) == program
    monkeypatch.setenv("PATH", "/nonexistent")
    assert find_prometheus(LocalSettings(monitoring_dir=tmp_path)) is None
    monkeypatch.chdir(tmp_path)
    by_path = LocalSettings(prometheus="./prometheus", monitoring_dir=tmp_path)
    monkeypatch.chdir("/")  # the supervisor looks from elsewhere
    assert find_prometheus(by_path) == program


@pytest.mark.parametrize(
    ("local", "reason"),
    [
        ({"prometheus": ""}, "VITRINE_LOCAL__PROMETHEUS is empty"),
        ({"prometheus": "no-such-program"}, "there is no program 'no-such-program'"),
        ({"monitoring_dir": Path("/nonexistent")}, "there is no folder /nonexistent"),
    ],
)
def test_its_absence_is_one_sentence(tmp_path: Path, local: dict[str, Any], reason: str) -> None:
    here = {"prometheus": sys.executable, "monitoring_dir": tmp_path}
    assert why_without(LocalSettings(**here)) == ""
    absent = why_without(LocalSettings(**{**here, **local}))
    assert reason in absent
    assert "\n" not in absent
    assert find_prometheus(LocalSettings(**{**here, **local})) is None


@pytest.mark.parametrize(
    "line",
    [
        'ts=1 caller=manager.go:1 level=error component="rule manager" err="/rules/Broken.yaml: 1:45: parse error"',
        'time=1 level=ERROR source=main.go:1 msg="loading groups failed" err="/rules/Broken.yaml: 1:45"',
    ],
)
def test_a_broken_rule_file_is_among_what_its_log_is_searched_for(line: str) -> None:
    assert PrometheusService.complaint.search(line)


def test_the_guide_has_the_scrape_configs_of_the_default_ports() -> None:
    (block,) = re.findall(r"```yaml\n(scrape_configs:\n.*?)```", GUIDE.read_text(), re.DOTALL)
    assert yaml.safe_load(block) == {
        "scrape_configs": scrape_configs(Settings(local=LocalSettings(), gateway=GatewaySettings()))
    }
    assert os.sep not in block.replace("scrape_configs", "")
