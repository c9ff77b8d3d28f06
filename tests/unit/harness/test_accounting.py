import csv
from pathlib import Path
from typing import Any

import pytest

from tests.harness.accounting import differences_in_rejects, differences_in_summary
from tests.harness.convergence import memory_figures
from tests.harness.index_run import MemorySample
from tests.harness.planted import Account

ACCOUNT = Account(
    written={"0108775015": 0, "0108775044": 1},
    titles={"0108775015": "One", "0108775044": "Two"},
    rejected={3: "id_missing", 5: "row_nul", 6: "row_nul"},
    blank_lines=1,
    planted={},
)
SUMMARY = {
    "read": 5,
    "written": 2,
    "unchanged": 0,
    "rejected": 3,
    "rejected_by_reason": {"id_missing": 1, "row_nul": 2},
    "ignored": {"blank_line": 1},
    "dropped": 0,
    "in_collection": 2,
    "expected": 2,
    "stale": 0,
}


def test_a_summary_that_adds_up_has_no_differences() -> None:
    assert list(differences_in_summary(ACCOUNT, SUMMARY, first=True)) == []
    second = SUMMARY | {"written": 0, "unchanged": 2}
    assert list(differences_in_summary(ACCOUNT, second, first=False)) == []
    resumed = SUMMARY | {"written": 1, "unchanged": 1}
    assert list(differences_in_summary(ACCOUNT, resumed, first=None)) == []


@pytest.mark.parametrize(
    "change",
    [
        {"read": 4},
        {"written": 1},
        {"unchanged": 1},
        {"rejected_by_reason": {"id_missing": 2, "row_nul": 1}},
        {"ignored": {}},
        {"in_collection": 3},
        {"dropped": 1},
    ],
    ids=str,
)
def test_every_figure_that_is_wrong_is_told(change: dict[str, Any]) -> None:
    assert list(differences_in_summary(ACCOUNT, SUMMARY | change, first=True)) != []


def test_a_milvus_that_came_back_may_count_more_but_not_less() -> None:
    more, less = SUMMARY | {"in_collection": 3}, SUMMARY | {"in_collection": 1}
    assert list(differences_in_summary(ACCOUNT, more, first=True)) == ["the summary says in_collection 3, not 2"]
    assert list(differences_in_summary(ACCOUNT, more, first=True, at_rest=False)) == []
    assert list(differences_in_summary(ACCOUNT, less, first=True, at_rest=False)) == [
        "the summary says in_collection 1, not 2"
    ]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([(3, "id_missing"), (5, "row_nul"), (6, "row_nul")], []),
        ([(3, "id_missing"), (5, "row_nul")], ["1 rejections are missing"]),
        ([(3, "id_missing"), (5, "row_nul"), (6, "row_nul"), (6, "row_nul")], ["more than once"]),
        ([(3, "id_missing"), (5, "row_nul"), (7, "row_nul")], ["missing", "should not be there"]),
    ],
)
def test_rejections_are_compared_line_by_line(rows: list[tuple[int, str]], words: list[str], tmp_path: Path) -> None:
    path = tmp_path / "rejects.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("id", "line", "image", "code", "message"))
        writer.writerows(("", line, "", code, "") for line, code in rows)
    found = list(differences_in_rejects(ACCOUNT, path))
    assert len(found) == len(words)
    assert all(word in difference for word, difference in zip(words, found, strict=True))


def test_memory_is_told_for_each_quarter_of_the_time() -> None:
    samples = [MemorySample(float(number), (100 + number) << 20) for number in range(8)]
    expected = {"quarters_mib": [101.0, 103.0, 105.0, 107.0], "growth_mib": 4.0, "most_mib": 107.0}
    assert memory_figures(samples) == expected
    assert memory_figures([])["quarters_mib"] == [0.0] * 4
