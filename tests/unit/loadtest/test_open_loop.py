import time

import pytest

from loadtest.arrivals import Share
from loadtest.open_loop import LEAD_S, Due, OpenLoop
from loadtest.queries.log import QueryLog
from loadtest.scenarios.journey import Shop
from loadtest.shapes import Stage

STAGES = (Stage("first", 0.1, 32), Stage("second", 0.1, 32))


@pytest.fixture
def loop() -> OpenLoop:
    loop = OpenLoop(STAGES, "constant", seed=1, run="run")
    assert loop.second is None
    loop.begin(Shop("products", QueryLog(["dress"]), [b"\xff\xd8\xff\xd9"]), Share())
    return loop


def _taken(loop: OpenLoop) -> list[Due]:
    return list(iter(loop.take, None))


def test_every_arrival_is_taken_once_and_then_there_are_no_more(loop: OpenLoop) -> None:
    before = time.perf_counter()
    taken = _taken(loop)
    assert [due.arrival.stage for due in taken] == [0, 0, 0, 1, 1, 1]
    assert all(due.in_time for due in taken)
    assert taken[0].at - before == pytest.approx(LEAD_S + 0.5 / 32, abs=0.05)
    assert loop.take() is None


def test_latency_counts_from_when_an_arrival_was_due(loop: OpenLoop) -> None:
    due, *_ = _taken(loop)
    due.at = time.perf_counter() - 0.5
    loop.note(due, "search: query", "good", service_s=0.02)
    tally = loop.record.sum([0])
    assert tally.latency.percentile(50) == pytest.approx(500, rel=0.1)
    assert tally.service.percentile(50) == pytest.approx(20, rel=0.02)


def test_an_answer_counts_for_the_stage_in_which_it_came_and_none_after_the_last(loop: OpenLoop) -> None:
    first, *_, last = _taken(loop)
    first.at = time.perf_counter() - 0.1
    loop.note(first, "search: query", "good")
    last.at = time.perf_counter() - 0.1
    loop.note(last, "search: query", "good")
    assert loop.record.completed == {1: 1}
    assert loop.record.sum([0]).offered == loop.record.sum([1]).offered == 1


def test_only_arrivals_that_were_waited_for_tell_how_late_the_generator_is(loop: OpenLoop) -> None:
    waited, behind, *_ = _taken(loop)
    waited.at = behind.at = time.perf_counter() - 0.03
    behind.in_time = False
    loop.visitor(waited)
    loop.visitor(behind)
    assert len(loop.record.lag(0)) == 1
    assert loop.record.lag(0).percentile(50) == pytest.approx(30, rel=0.5)


def test_an_arrival_that_is_taken_too_late_says_so(loop: OpenLoop) -> None:
    time.sleep(LEAD_S + 0.2)
    taken = _taken(loop)
    assert len(taken) == 6
    assert not any(due.in_time for due in taken)
    assert taken[0].late_s() > taken[-1].late_s() > 0


def test_errors_are_told_by_endpoint(loop: OpenLoop) -> None:
    due, *_ = _taken(loop)
    loop.note(due, "search: query", "failed", error="500 internal")
    assert loop.record.errors == {"search: query: 500 internal": 1}
    assert loop.record.sum([0]).error_rate == 1
