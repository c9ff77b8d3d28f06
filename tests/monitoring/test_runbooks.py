"""Each alert has a page that says what to do, and it is the page that the alert points at."""

import re

import pytest

from tests.monitoring.rules_folder import ALERTS, MONITORING, ROOT, RUNBOOKS, rules_of

HEADINGS = ["Symptom", "Meaning", "First three commands", "Fix", "Prevention"]


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_points_at_a_page_that_there_is(name: str) -> None:
    for rule in rules_of(MONITORING / "alerts" / f"{name}.yaml"):
        assert (ROOT / rule.content["annotations"]["runbook"]).is_file()


@pytest.mark.parametrize("name", ALERTS)
def test_a_runbook_has_its_five_parts_and_three_commands(name: str) -> None:
    text = (RUNBOOKS / f"{name}.md").read_text()
    assert text.startswith(f"# {name}\n")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == HEADINGS
    commands = text.split("## First three commands")[1].split("## Fix")[0]
    assert len(re.findall(r"^    (?:kubectl|vitrine|curl|helm) ", commands, re.MULTILINE)) == 3
    assert f"(alerts/{name}.md)" in (RUNBOOKS.parent / "README.md").read_text(), "the index does not name it"


def test_no_runbook_is_of_an_alert_that_is_gone() -> None:
    assert sorted(path.stem for path in RUNBOOKS.glob("*.md")) == ALERTS
