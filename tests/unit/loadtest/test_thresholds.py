from pathlib import Path

import pytest

from loadtest.record import Record
from loadtest.report import report_lines
from loadtest.shapes import SHAPES, LoadRefused, Shape, Stage
from loadtest.summary import Summary
from loadtest.thresholds import FOLDER, OFFERED, check, read_thresholds

STAGES = (Stage("before", 10, 10), Stage("after", 10, 10))


def _summary() -> Summary:
    """200 arrivals of two endpoints: 2 failed, 10 of the others slow, 5 answered after the end."""
    record = Record()
    for number in range(200):
        endpoint = "search: query" if number % 2 else "search: prefix"
        slow = number % 20 == 7
        record.tally(number // 100, endpoint).add("failed" if number % 100 == 0 else "good", 400 if slow else 20, 10)
    record.completed.update({0: 96, 1: 97})
    record.lag(0).add(12)
    return Summary(STAGES, record, goodput_ms=100)


def _checked(tmp_path: Path, text: str) -> dict[tuple[str, str], bool]:
    path = tmp_path / "thresholds.toml"
    path.write_text(f"goodput_ms = 100\n{text}", encoding="utf-8")
    checks = check(read_thresholds(path, ("before", "after")), _summary())
    assert checks[0].what == OFFERED
    assert checks[0].held
    return {(one.where, one.what): one.held for one in checks[1:]}


@pytest.mark.parametrize(
    ("text", "held"),
    [
        ("[whole]\nerror_rate = 0.01", True),
        ("[whole]\nerror_rate = 0.009", False),
        ("[whole]\nachieved = 0.96", True),
        ("[whole]\nachieved = 0.97", False),
        ("[whole]\ngoodput = 0.94", True),
        ("[whole]\ngoodput = 0.95", False),
        ("[whole]\nrefusal_ms = 50", True),
        ("[whole]\nlatency_ms.all = {p50 = 25}", True),
        ("[whole]\nlatency_ms.all = {p50 = 15}", False),
        ('[whole]\nlatency_ms."search: prefix" = {p99 = 25}', True),
        ('[whole]\nlatency_ms."search: query" = {p99 = 25}', False),
        ("[stages.after]\nlatency_ms.all = {p99 = 410}", True),
        ("[stages.after]\nlatency_ms.all = {p99 = 390}", False),
        ("generator_lag_ms = 13", True),
        ("generator_lag_ms = 11", False),
        ("peak_goodput = 9", True),
        ("peak_goodput = 11", False),
        ("knee = 1", False),  # there is none to be seen in this run
    ],
)
def test_a_threshold_holds_exactly_as_far_as_what_was_measured(tmp_path: Path, text: str, held: bool) -> None:
    assert list(_checked(tmp_path, text).values()) == [held]


def test_endpoints_that_were_never_asked_have_nothing_to_keep(tmp_path: Path) -> None:
    assert _checked(tmp_path, '[whole]\nlatency_ms."item: put" = {p99 = 1}') == {}


def test_a_threshold_for_a_stage_that_was_not_reached_is_broken(tmp_path: Path) -> None:
    path = tmp_path / "thresholds.toml"
    path.write_text("goodput_ms = 100\n[stages.after]\nerror_rate = 1\n[whole]\nachieved = 0", encoding="utf-8")
    summary = Summary(STAGES, _summary().record, 100, second=12.0)
    checks = check(read_thresholds(path, ("before", "after")), summary)
    assert {one.where: one.held for one in checks} == {"run": True, "whole": True, "after": False}
    lines = "\n".join(report_lines(summary, checks))
    assert "nothing  BROKEN" in lines
    assert lines.count("BROKEN") == 1


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[whole]\nerror_rat = 0.1", "there is no 'error_rat'"),
        ('[whole]\nlatency_ms."search: quers" = {p50 = 1}', "there is no 'search: quers'"),
        ("[whole]\nlatency_ms.all = {p90 = 1}", "there is no 'p90'"),
        ("[stages.during]\nerror_rate = 0.1", "there is no 'during', only before, after"),
        ("[whole]\nerror_rate = true", "error_rate must be a number from 0 on, not True"),
        ("[whole]\nlatency_ms = 5", "5 stands where a table"),
        ("knee = -1", "knee must be a number"),
        ("whole", "cannot be read"),
    ],
)
def test_files_that_say_what_nothing_is_are_refused_with_the_place(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(LoadRefused, match=complaint):
        _checked(tmp_path, text)


def test_a_file_must_say_what_goodput_is(tmp_path: Path) -> None:
    path = tmp_path / "thresholds.toml"
    path.write_text("[whole]\nerror_rate = 0.1\n", encoding="utf-8")
    with pytest.raises(LoadRefused, match="goodput_ms must be a number"):
        read_thresholds(path, ())


def test_a_load_that_did_not_come_in_full_is_no_test(tmp_path: Path) -> None:
    path = tmp_path / "thresholds.toml"
    path.write_text("goodput_ms = 100\n", encoding="utf-8")
    thresholds = read_thresholds(path, ())
    half = tuple(Stage(stage.name, stage.seconds, 2 * stage.rate) for stage in STAGES)
    for stages, held in ((STAGES, True), (half, False)):
        (came,) = check(thresholds, Summary(stages, _summary().record, 100))
        assert came.held == held
    (nothing,) = check(thresholds, Summary(STAGES, Record(), 100))
    assert nothing.measured is None
    assert not nothing.held


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LoadRefused, match="cannot be read"):
        read_thresholds(tmp_path / "none.toml", ())


@pytest.mark.parametrize("shape", SHAPES.values(), ids=lambda shape: shape.name)
def test_every_shape_ships_with_thresholds_that_fit_its_stages(shape: Shape) -> None:
    stages = tuple(stage.name for stage in shape.stages() if stage.measured)
    thresholds = read_thresholds(FOLDER / f"{shape.name}.toml", stages)
    assert thresholds.whole.values or thresholds.stages
