"""Each alert has a page that says what to do, and it is the page that the alert points at."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from tests.monitoring.metric_names import known_names
from tests.monitoring.rules_folder import ALERTS, MONITORING, ROOT, RUNBOOKS, names_in, rules_of
from vitrine.cli.app import build_app

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


def _queries() -> list[str]:
    text = "".join(path.read_text() for path in RUNBOOKS.glob("*.md"))
    return re.findall(r"--data-urlencode 'query=(.+?)'$", text, re.MULTILINE)


def test_prometheus_can_read_every_query_of_the_runbooks(promtool: str, tmp_path: Path) -> None:
    rules = [{"record": f"runbook:query:{number}", "expr": query} for number, query in enumerate(_queries())]
    file = tmp_path / "queries.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "runbooks", "rules": rules}]}))
    done = subprocess.run([promtool, "check", "rules", file], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(rules) > 20


def test_the_queries_of_the_runbooks_ask_for_metrics_that_there_are() -> None:
    known = known_names()
    assert {name for query in _queries() for name in names_in(query) if name not in known} == set()


def test_every_verb_that_a_runbook_names_is_one() -> None:
    """`vitrine` is also a release and a namespace: what follows it there is taken out first."""
    text = " ".join(re.sub(r"(?:-n|--namespace) vitrine", "", path.read_text()) for path in RUNBOOKS.glob("*.md"))
    named = set(re.findall(r"(?:`|-- |    )vitrine\s+([a-z]+)(?: ([a-z]+))?", text))
    verbs: dict[str, Any] = getattr(get_command(build_app()), "commands", {})
    unknown = set()
    for verb, word in named:
        # `key` and `model` do nothing by themselves; what follows `index` or `logs` may be an argument.
        if verb not in verbs or (verb in {"catalogue", "key", "model"} and word not in verbs[verb].commands):
            unknown.add((verb, word))
    assert len(named) > 10
    assert unknown == set()
