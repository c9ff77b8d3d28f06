"""`vitrine evaluate`: what it prints, and which shortfall fails it. The asking itself is e2e's business."""

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from vitrine.demo import commands_evaluate
from vitrine.demo.catalogue import ARTICLES, MARKER
from vitrine.demo.design import DEFAULT_COUNT, DEFAULT_SEED, sample_products
from vitrine.demo.evaluation import Outcome
from vitrine.demo.queries import IMAGE_KIND, Query

Evaluate = Callable[..., Result]


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("catalogue")
    (folder / MARKER).write_text(json.dumps({"count": DEFAULT_COUNT, "seed": DEFAULT_SEED}))
    with (folder / ARTICLES).open("w", newline="") as file:
        ids = [[product.article_id] for product in sample_products(DEFAULT_COUNT, DEFAULT_SEED)]
        csv.writer(file).writerows([["article_id"], *ids])
    return folder


@pytest.fixture
def evaluate(catalogue: Path, monkeypatch: pytest.MonkeyPatch) -> Evaluate:
    """Runs the command; `right` gives, by kind, how many of ten answers are right, all where it says nothing."""

    def run(*arguments: str, right: dict[str, int] | None = None) -> Result:
        def answer(query: Query) -> Outcome:
            number = (right or {}).get(query.kind, 10)
            ids = (*sorted(query.relevant)[:number], *(f"wrong{n}" for n in range(10 - number)))
            return Outcome(query, ids, 5.0, ids if query.addition else None)

        def ask_all(_client: object, _collection: str, queries: Sequence[Query], **_: object) -> list[Outcome]:
            return [answer(query) for query in queries]

        monkeypatch.setattr(commands_evaluate, "ask_all", ask_all)
        app = typer.Typer()
        commands_evaluate.register(app)
        return CliRunner().invoke(
            app, ["--catalogue", str(catalogue), "--composed", "3", "--pictures", "3", *arguments]
        )

    return run


def test_composed_kinds_are_rows_with_what_their_first_part_finds(evaluate: Evaluate) -> None:
    report = json.loads(evaluate("--json", right={"image + colour": 7}).stdout)
    rows = {row["kind"]: row for row in report["kinds"]}
    assert rows["image + colour"]["queries"] == 3
    assert rows["image + colour"]["precision"] == pytest.approx(0.7)
    assert rows["image + colour"]["alone"] == pytest.approx(0.7)
    assert rows["type, not pattern"]["precision"] == 1.0
    assert rows["type"]["alone"] is None
    assert (report["text"], report["image"]) == (1.0, 1.0)


def test_the_table_has_every_composed_kind(evaluate: Evaluate) -> None:
    answer = evaluate(right={"type, not pattern": 9})
    assert answer.exit_code == 0
    for kind in ("type, not pattern", "type + colour, not pattern", "image + colour"):
        assert kind in answer.stdout


@pytest.mark.parametrize(
    ("right", "status"),
    [
        ({}, 0),
        ({"image + colour": 8, "type, not pattern": 8}, 0),
        ({"image + colour": 7}, 1),
        ({"type + colour, not pattern": 7}, 1),
        ({IMAGE_KIND: 8}, 1),
    ],
    ids=["all right", "composed at its own threshold", "pictures in a colour", "subtractions", "pictures"],
)
def test_a_shortfall_of_any_kind_fails_the_command(evaluate: Evaluate, right: dict[str, int], status: int) -> None:
    assert evaluate("--fail-under", "0.9", right=right).exit_code == status


def test_nothing_fails_without_a_threshold(evaluate: Evaluate) -> None:
    assert evaluate(right={"image + colour": 0, "type": 0}).exit_code == 0


def test_the_threshold_of_composed_kinds_can_be_moved(evaluate: Evaluate) -> None:
    assert evaluate("--fail-under", "0.9", "--composed-fail-under", "0.7", right={"image + colour": 7}).exit_code == 0
