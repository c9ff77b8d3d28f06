"""The figures in docs/slo.md are those of the rules."""

import math
import re
from typing import Final

import pytest

from tests.monitoring.rules_folder import MONITORING, ROOT, rules_of

DOCUMENT: Final = (ROOT / "docs" / "slo.md").read_text()
MINUTES: Final = {"m": 1, "h": 60, "d": 1440}
OBJECTIVES: Final = {
    "SearchErrorBudgetBurn": 0.001,
    "SearchLatency250BudgetBurn": 0.01,
    "SearchLatency50BudgetBurn": 0.1,
}
FAILING: Final = {"all": 1.0, "half": 0.5, "10 %": 0.1, "1 %": 0.01, "0.2 %": 0.002}


def _minutes(text: str) -> int:
    return int(text[:-1]) * MINUTES[text[-1]]


def _until(name: str, severity: str, share: float) -> float:
    """Minutes from the first failure to the first alert of that severity; inf when there is none."""
    first = math.inf
    for rule in rules_of(MONITORING / "alerts" / f"{name}.yaml"):
        if rule.content["labels"]["severity"] != severity:
            continue
        windows = re.findall(r"ratio_rate(\w+) > ([\d.]+) \* ([\d.]+)", rule.expression)
        assert len(windows) == 2
        assert {budget for _, _, budget in windows} == {f"{OBJECTIVES[name]:g}"}
        over = float(rule.content["labels"]["burn"]) * OBJECTIVES[name]
        if share > over:
            # After t minutes the share in a window of w is share * t / w.
            first = min(first, max(over / share * _minutes(w) for w, _, _ in windows) + _minutes(rule.content["for"]))
    return first


def _cell(minutes: float) -> str:
    return "never" if math.isinf(minutes) else f"{minutes:,.0f}"


def detection() -> str:
    """The table's lines."""
    return "\n".join(
        "| "
        + " | ".join(
            [label, *(_cell(_until(name, severity, share)) for name in OBJECTIVES for severity in ("page", "ticket"))]
        )
        + " |"
        for label, share in FAILING.items()
    )


def test_the_minutes_until_an_alert_are_those_that_the_rules_give() -> None:
    (written,) = re.findall(r"<!-- detection.*?\|\n(?:\|[-|]+\|\n)(.*?)\n<!-- end", DOCUMENT, re.DOTALL)
    assert written == detection()


@pytest.mark.parametrize(("name", "minutes"), [(name, 30 * 1440 * budget) for name, budget in OBJECTIVES.items()])
def test_a_budget_in_minutes_is_its_share_of_thirty_days(name: str, minutes: float) -> None:
    assert f"| {minutes:,.1f}".removesuffix(".0") + " minutes" in DOCUMENT


def test_the_share_of_the_budget_that_is_spent_by_then_is_as_told() -> None:
    for rule in rules_of(MONITORING / "alerts" / "SearchErrorBudgetBurn.yaml"):
        burn = rule.content["labels"]["burn"]
        window = re.findall(r"ratio_rate(\w+)", rule.expression)[0]
        spent = float(burn) * _minutes(window) / (30 * 1440)
        (line,) = re.findall(rf"^\| {re.escape(burn)} \|.*$", DOCUMENT, re.MULTILINE)
        assert line.endswith(f"| {rule.content['labels']['severity']} | {spent:.0%} |".replace("%", " %"))
