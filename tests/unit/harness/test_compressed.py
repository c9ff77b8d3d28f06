"""Rules at another pace: only what is a duration changes."""

from pathlib import Path

import pytest
import yaml

from tests.harness.compressed import (
    NotCompressible,
    compressed_duration,
    compressed_expression,
    compressed_rules,
    write_compressed,
)

MONITORING = Path(__file__).resolve().parents[3] / "helm" / "vitrine" / "monitoring"


@pytest.mark.parametrize(
    ("duration", "factor", "divided"),
    [
        ("5m", 60, "5000ms"),
        ("30d", 60, "43200000ms"),
        ("1h30m", 60, "90000ms"),
        ("30s", 1, "30000ms"),
        ("0s", 9, "0ms"),
    ],
)
def test_a_duration_is_divided(duration: str, factor: int, divided: str) -> None:
    assert compressed_duration(duration, factor) == divided


@pytest.mark.parametrize(("duration", "factor"), [("5", 60), ("soon", 60), ("", 60), ("1ms", 60), ("5 m", 60)])
def test_what_is_no_duration_or_would_vanish_is_refused(duration: str, factor: int) -> None:
    with pytest.raises(NotCompressible):
        compressed_duration(duration, factor)


@pytest.mark.parametrize(
    ("expression", "divided"),
    [
        ("rate(a[5m])", "rate(a[5000ms])"),
        ("rate(a[ 5m ] offset 1h)", "rate(a[5000ms] offset 60000ms)"),
        ("a offset -1h", "a offset -60000ms"),
        ("vitrine:search_errors:ratio_rate5m > 14.4 * 0.001", "vitrine:search_errors:ratio_rate5m > 14.4 * 0.001"),
        ('rate(a{route="[5m]"}[1m])', 'rate(a{route="[5m]"}[1000ms])'),
        ("rate(a{route='[5m]\\'[5m]'}[1m])", "rate(a{route='[5m]\\'[5m]'}[1000ms])"),
        ("a{r=~`[5m]`} > 26 * 3600", "a{r=~`[5m]`} > 26 * 3600"),
        ('a{offset="1h"} + offset_5m', 'a{offset="1h"} + offset_5m'),
    ],
)
def test_ranges_and_offsets_are_divided_and_nothing_else(expression: str, divided: str) -> None:
    assert compressed_expression(expression, 60) == divided


def test_a_subquery_is_refused() -> None:
    for expression in ("max_over_time(a[1h:5m])", "max_over_time(rate(a[5m])[1h:])"):
        with pytest.raises(NotCompressible, match="subquery"):
            compressed_expression(expression, 60)


def test_a_rule_keeps_its_name_labels_and_annotations() -> None:
    rule = {
        "alert": "Late5m",
        "expr": "up[5m]",
        "for": "2m",
        "keep_firing_for": "1m",
        "labels": {"window": "5m"},
        "annotations": {"summary": "for 5m"},
    }
    rules = {"groups": [{"name": "g", "interval": "30s", "rules": [rule]}]}
    before = yaml.safe_dump(rules)
    (group,) = compressed_rules(rules, 60)["groups"]
    assert group["interval"] == "500ms"
    assert group["rules"] == [rule | {"expr": "up[5000ms]", "for": "2000ms", "keep_firing_for": "1000ms"}]
    assert yaml.safe_dump(rules) == before


def test_a_rule_without_durations_has_none_afterwards() -> None:
    rules = {"groups": [{"name": "g", "rules": [{"record": "a:b", "expr": 1}]}]}
    assert compressed_rules(rules, 60) == {"groups": [{"name": "g", "rules": [{"record": "a:b", "expr": "1"}]}]}


def test_the_file_that_cannot_be_compressed_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(yaml.safe_dump({"groups": [{"name": "g", "rules": [{"expr": "a[1h:1m]"}]}]}))
    with pytest.raises(NotCompressible, match=r"bad\.yaml"):
        write_compressed(tmp_path, tmp_path / "out", 60)


@pytest.mark.parametrize("factor", [1, 60, 300])
def test_all_rules_of_the_product_can_be_compressed(factor: int, tmp_path: Path) -> None:
    written = write_compressed(MONITORING, tmp_path, factor)
    assert {path.parent.name for path in written} == {"recording", "alerts"}
    for path in written:
        source = yaml.safe_load((MONITORING / path.relative_to(tmp_path)).read_text())
        result = yaml.safe_load(path.read_text())
        for before, after in zip(source["groups"], result["groups"], strict=True):
            assert [rule.get("alert", rule.get("record")) for rule in before["rules"]] == [
                rule.get("alert", rule.get("record")) for rule in after["rules"]
            ]
            assert "m]" not in str([rule["expr"] for rule in after["rules"]]).replace("ms]", "")
