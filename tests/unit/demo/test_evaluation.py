"""Scoring, by hand-made answers."""

import pytest

from vitrine.demo.captions import Spec
from vitrine.demo.design import Product
from vitrine.demo.evaluation import Outcome, Report, name_of, precision_at, summarise
from vitrine.demo.queries import IMAGE_KIND, Addition, ComposedKind, Kind, Query

RIGHT = frozenset(f"r{number}" for number in range(12))


def outcome(kind: Kind, right: int, text: str = "red dress") -> Outcome:
    ids = [f"r{number}" for number in range(right)] + [f"w{number}" for number in range(10 - right)]
    return Outcome(Query(kind, Spec(colour="red"), RIGHT, text=text), tuple(ids))


def composed(kind: ComposedKind, right: int, alone: int) -> Outcome:
    asked = Query(kind, Spec(garment="dress"), RIGHT, "dress", addition=Addition("floral", Spec(pattern="floral"), -1))
    ids = [f"r{number}" for number in range(right)]
    return Outcome(asked, tuple(ids), alone=tuple(ids[:alone]))


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
    assert Report((), text, image).meets(0.9, 1.0) is expected


def test_a_mean_that_is_the_threshold_but_for_rounding_reaches_it() -> None:
    report = summarise([outcome("type", 7)] * 3)
    assert report.text is not None
    assert report.text < 0.7
    assert report.meets(0.7, 1.0)


def test_composed_queries_are_rows_beside_what_their_first_part_finds_and_no_part_of_the_means() -> None:
    report = summarise([outcome("type", 9), composed("type, not pattern", 10, 6), composed("type, not pattern", 8, 4)])
    row = report.rows[1]
    assert (row.kind, row.queries, row.flawless) == ("type, not pattern", 2, 1)
    assert row.precision == pytest.approx(0.9)
    assert row.alone == pytest.approx(0.5)
    assert report.rows[0].alone is None
    assert report.text == pytest.approx(0.9)
    assert report.image is None


def test_every_composed_kind_has_to_reach_a_threshold_of_its_own() -> None:
    report = summarise([composed("type, not pattern", 10, 6), composed("image + colour", 7, 1)])
    assert report.meets(0.99, 0.7)
    assert not report.meets(0.0, 0.71)  # the mean of both would do


def test_the_report_for_machines_names_the_worst_query() -> None:
    rows = summarise([outcome("type", 10), outcome("type", 2, "caps")]).as_json()["kinds"]
    assert rows == [
        {
            "kind": "type",
            "queries": 2,
            "precision": pytest.approx(0.6),
            "alone": None,
            "flawless": 1,
            "worst": {"query": "caps", "precision": pytest.approx(0.2)},
        }
    ]


def test_an_image_query_is_named_by_what_it_shows() -> None:
    drawing = Product("0000000000", "0000000", "Lena", "hat", "red", "star", 1, 1.0)
    assert name_of(Query(IMAGE_KIND, Spec(garment="hat"), RIGHT, drawing=drawing)) == "picture of a red star hat"


def test_a_composed_query_is_named_by_both_parts() -> None:
    assert name_of(composed("type, not pattern", 10, 6).query) == "dress minus floral"
    drawing = Product("0000000000", "0000000", "Lena", "blouse", "blue", "striped", 1, 1.0)
    red = Addition("red", Spec(colour="red"), 1.0)
    asked = Query("image + colour", Spec(garment="blouse"), RIGHT, drawing=drawing, addition=red)
    assert name_of(asked) == "picture of a blue striped blouse plus red"
