"""Prometheus in `vitrine up` when its rules are wrong; when right: tests/monitoring/test_alerts_by_faults.py."""

from pathlib import Path

import pytest

from tests.fixtures.command_line import CommandLine
from tests.fixtures.prometheus import binary
from tests.fixtures.stack import settings_on_free_ports
from vitrine.local.state import processes_of
from vitrine.settings import Settings


@pytest.fixture
def settings(tmp_path: Path, tiny_repository: Path) -> Settings:
    """A stack with Prometheus and a folder of rules with one that is broken."""
    alerts = tmp_path / "monitoring" / "alerts"
    alerts.mkdir(parents=True)
    (alerts / "Good.yaml").write_text('groups: [{name: a, rules: [{alert: A, expr: "up == 0"}]}]')
    (alerts / "Broken.yaml").write_text('groups: [{name: b, rules: [{alert: B, expr: "up =="}]}]')
    free = settings_on_free_ports(tmp_path / "state", tiny_repository)
    local = {"prometheus": binary(), "monitoring_dir": tmp_path / "monitoring"}
    return free.model_copy(update={"local": free.local.model_copy(update=local)})


def test_a_broken_rule_file_ends_up_with_its_name(settings: Settings) -> None:
    vitrine = CommandLine(settings)
    code, output = vitrine("up")
    assert code != 0
    assert "prometheus ended with status 1" in output
    assert "Broken.yaml" in output
    assert "Good.yaml" not in output
    assert processes_of(vitrine.last_run()) == []


def test_a_folder_without_rules_starts_nothing(settings: Settings, tmp_path: Path) -> None:
    vitrine = CommandLine(settings)
    code, output = vitrine("up", VITRINE_LOCAL__MONITORING_DIR=str(tmp_path))
    assert code != 0
    assert output.count("\n") == 1
    assert "There are no rules for Prometheus" in output
