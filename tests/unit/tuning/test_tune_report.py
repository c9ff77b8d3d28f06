"""What a person and a machine are told of a tuning."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console

from vitrine.errors import InvalidInput, LimitExceeded
from vitrine.tuning.frontier import Point
from vitrine.tuning.plot import check_plot_path, draw
from vitrine.tuning.queries import QueryKind
from vitrine.tuning.tune_job import Tuned, TuneRequest
from vitrine.tuning.tune_report import as_json, failure_of, print_tuned
from vitrine.tuning.tuner import Checked, Target
from vitrine.vectorstore.collection import CollectionInfo
from vitrine.vectorstore.index_params import Hnsw, IvfFlat

INFO = CollectionInfo(
    name="products_v1",
    dimension=512,
    rows=105_542,
    fields=(),
    index=Hnsw(ef=16),
    fingerprint="f" * 64,
    model="tiny",
    build_id="b",
    created_at=datetime(2026, 1, 2, tzinfo=UTC),
    loaded=True,
    aliases=("products",),
)


def point(ef: int, recall: float, p99_ms: float) -> Point:
    return Point(Hnsw(ef=ef), True, recall, recall - 0.01, p99_ms / 3, p99_ms)


POINTS = (
    point(16, 0.88, 4.1),
    point(40, 0.965, 5.0),
    point(32, 0.94, 5.3),
    point(64, 0.985, 6.2),
    point(160, 0.998, 11),
)
HOLDS = Checked(POINTS[1], 0.961, 0.953, 5.1, holds=True)
FAILS = Checked(POINTS[1], 0.941, 0.933, 5.1, holds=False)


def tuned(*checked: Checked, recall: float = 0.95, p99_ms: float = 20.0, dry_run: bool = False) -> Tuned:
    request = TuneRequest("products", Target(recall, p99_ms), dry_run=dry_run)
    written = bool(checked) and checked[-1].holds and not dry_run
    return Tuned(request, INFO, "titles of products, as texts", (200, 200), POINTS, checked, None, (), written)


def printed(found: Tuned) -> str:
    console = Console(width=200, record=True, quiet=True)
    console.quiet = False
    with console.capture() as capture:
        print_tuned(console, found)
    return capture.get()


def test_the_choice_is_told_with_what_held_out_queries_say() -> None:
    told = printed(tuned(HOLDS))
    assert "200 to choose with and 200 held out" in told
    assert "ef 16 (present)" in told
    assert "ef 40: recall 0.9650 with the tuning queries, 0.9610 (at least 0.9530) with 200 held out" in told
    assert "ef 40 is now the default of its searches." in told
    assert failure_of(tuned(HOLDS)) is None
    assert "ef 40 would become the default (dry run)." in printed(tuned(HOLDS, dry_run=True))


def test_every_point_says_what_it_misses() -> None:
    lines = {
        line.split()[1]: line for line in printed(tuned(HOLDS, p99_ms=6.0)).splitlines() if line.startswith(" ef ")
    }
    assert "misses recall" in lines["16"]
    assert "met" in lines["40"]
    assert "misses latency" in lines["160"]


def test_a_target_out_of_reach_is_a_failure_that_names_the_closest_point() -> None:
    failure = failure_of(tuned(recall=0.999))
    assert failure is not None
    assert failure.code == "target_not_reached"
    assert "the closest is ef 160, recall 0.998 (at least 0.988) at a p99 of 11.0 ms. Nothing was changed." in str(
        failure
    )
    failure = failure_of(tuned(p99_ms=1.0))
    assert "the closest is ef 40" in str(failure)


def test_a_choice_that_held_out_queries_refute_is_a_failure_that_says_so() -> None:
    failure = failure_of(tuned(FAILS))
    assert failure is not None
    assert "ef 40 met the target with the tuning queries and not with the held-out ones" in str(failure)
    assert "recall is 0.941" in str(failure)
    later = Checked(POINTS[3], 0.98, 0.97, 6.3, holds=True)
    assert tuned(FAILS, later).chosen == later


def test_a_quicker_build_is_named_and_not_made() -> None:
    other = Point(IvfFlat(nlist=64, nprobe=8), False, 0.99, 0.98, 1.0, 3.0)
    found = replace(tuned(HOLDS), points=(*POINTS, other), build=Checked(other, 0.99, 0.98, 3.0, holds=True))
    assert "Quicker: IVF_FLAT (nlist 64) nprobe 8, p50 1.0 ms. Build a collection" in printed(found)
    failure = failure_of(replace(found, checked=()))
    assert "A copy with IVF_FLAT (nlist 64) nprobe 8 meets it." in str(failure)


def test_the_same_for_machines() -> None:
    told = json.loads(json.dumps(as_json(tuned(HOLDS))))
    assert told["chosen"]["search_params"] == {"ef": 40}
    assert (told["chosen"]["held_out_recall"], told["written"], told["before"]) == (0.961, True, {"ef": 16})
    frontier = [one["index"]["ef"] for one in told["points"] if one["on_frontier"]]
    assert frontier == [16, 40, 64, 160]
    assert json.loads(json.dumps(as_json(tuned())))["chosen"] is None


@pytest.mark.parametrize("found", [tuned(HOLDS), tuned(), tuned(recall=1.0, p99_ms=0.1)])
def test_any_outcome_can_be_drawn(found: Tuned, tmp_path: Path) -> None:
    draw(found, tmp_path / "tune.png")
    with Image.open(tmp_path / "tune.png") as picture:
        colours = picture.convert("RGB").getcolors(maxcolors=1_000_000)
        assert picture.size == (1_440, 896)
    assert colours is not None
    starred = (200, 85, 61) in {colour for _, colour in colours}
    assert starred == (found.chosen is not None)
    draw(found, tmp_path / "tune.svg")
    assert (tmp_path / "tune.svg").read_text(encoding="utf-8").startswith("<?xml")


@pytest.mark.parametrize("name", ["tune.gif", "tune", "nowhere/tune.png"])
def test_a_plot_that_cannot_be_written_is_refused_before_anything_is_measured(name: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput):
        check_plot_path(tmp_path / name)


@pytest.mark.parametrize(
    "wrong",
    [
        {"texts": Path("a.txt"), "kind": QueryKind.IMAGE},
        {"max_minutes": 0.0},
        {"max_minutes": 1_000.0},
        {"builds": (Hnsw(),) * 5},
        {"builds": (Hnsw(),) * 20, "max_builds": 100},
    ],
)
def test_a_request_that_cannot_be_met_is_refused(wrong: dict[str, object]) -> None:
    request = replace(TuneRequest("products", Target(0.95, 20)), **wrong)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput):
        request.check()


@pytest.mark.parametrize("wrong", [(0.0, 20.0, 10), (1.01, 20.0, 10), (0.95, 0.0, 10), (0.95, 20.0, 101)])
def test_a_target_has_bounds(wrong: tuple[float, float, int]) -> None:
    with pytest.raises(LimitExceeded):
        Target(*wrong)
