"""Scoring, by hand-made answers."""

import pytest

from vitrine.demo.captions import Spec
from vitrine.demo.design import Product
from vitrine.demo.evaluation import Outcome, Report, name_of, precision_at, summarise
from vitrine.demo.queries import IMAGE_KIND, Kind, Query

RIGHT = frozenset(f"r{number}" for number in range(12))


def outcome(kind: Kind, right: int, text: str = "red dress") -> Outcome:
    ids = [f"r{number}" for number in range(right)] + [f"w{number}" for number in range(10 - right)]
    return Outcome(Query(kind, Spec(colour="red"), RIGHT, text=text), tuple(ids))


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        ([f"r{n}" for n in range(10)], 1.0),
        ([f"w{n}" for n in range(10)], 0.0),
        (["w0", *(f"r{n}" for n in range(9))], 0.9),
        (["r0", "r1", "r2"], 0.3),
        ([], 0.0),
        ([*(f"w{n}" for n in range(10)), "r0"], 0.0),
    ],
    ids=["all", "none", "nine", "short answer", "empty answer", "right one too late"],
)
def test_precision_counts_right_ones_among_ten(ids: list[str], expected: float) -> None:
    assert precision_at(ids, RIGHT) == pytest.approx(expected)


def test_an_answer_that_repeats_a_product_is_an_error() -> None:
    with pytest.raises(ValueError, match="repeats"):
        precision_at(["r0", "r0"], RIGHT)


def test_the_report_has_a_row_for_each_kind_and_separate_means() -> None:
    report = summarise([outcome("type", 10), outcome("type", 6, "hats"), outcome("colour", 8), outcome(IMAGE_KIND, 5)])
    assert [(row.kind, row.queries, row.flawless) for row in report.rows] == [
        ("type", 2, 1),
        ("colour", 1, 0),
        (IMAGE_KIND, 1, 0),
    ]
    assert report.rows[0].precision == pytest.approx(0.8)
    assert report.rows[0].worst.query.text == "hats"
    assert report.text == pytest.approx(0.8)  # over queries, not over kinds
    assert report.image == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("text", "image", "expected"), [(0.9, 0.9, True), (0.9, 0.89, False), (0.89, 1.0, False), (0.95, None, True)]
)
def test_a_threshold_holds_for_both_means(text: float, image: float | None, expected: bool) -> None:
    assert Report((), text, image).meets(0.9) is expected


def test_the_report_for_machines_names_the_worst_query() -> None:
    rows = summarise([outcome("type", 10), outcome("type", 2, "caps")]).as_json()["kinds"]
    assert rows == [
        {
            "kind": "type",
            "queries": 2,
            "precision": pytest.approx(0.6),
            "flawless": 1,
            "worst": {"query": "caps", "precision": pytest.approx(0.2)},
        }
    ]


def test_an_image_query_is_named_by_what_it_shows() -> None:
    drawing = Product("0000000000", "0000000", "Lena", "hat", "red", "star", 1, 1.0)
    assert name_of(Query(IMAGE_KIND, Spec(garment="hat"), RIGHT, drawing=drawing)) == "picture of a red star hat"
