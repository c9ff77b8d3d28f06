"""What counts as good, as refused and as late in an overload."""

import pytest

from loadtest.bench.serving.open_loop import BROKEN, NOT_SENT, Outcome
from loadtest.bench.serving.overload import summary


def test_answers_after_the_last_arrival_are_no_goodput() -> None:
    outcomes = [Outcome(due, 0.5, 200, retry_after=False) for due in (0.0, 5.0, 9.8)]
    seen = summary(outcomes, "int8", 1.0, 10.0, 0.3, 0.01, 1.0)
    assert seen.goodput_per_s == pytest.approx(0.2)


def test_refusals_are_told_by_status_and_must_say_when_to_come_again() -> None:
    outcomes = [
        Outcome(0.0, 0.002, 503, retry_after=True),
        Outcome(0.1, 0.040, 429, retry_after=True),
        Outcome(0.2, 0.004, 503, retry_after=False),
        Outcome(0.3, 2.0, 504, retry_after=False),
    ]
    seen = summary(outcomes, "int8", 1.0, 10.0, 0.3, 0.01, None)
    assert seen.refused == 3
    assert seen.without_retry_after == 1
    assert seen.refused_ms[2] == pytest.approx(40.0)
    assert seen.goodput_per_s == 0


def test_what_was_never_sent_or_broke_is_told_too() -> None:
    outcomes = [Outcome(0.0, 0.0, status, retry_after=False) for status in (NOT_SENT, BROKEN, BROKEN)]
    assert summary(outcomes, "int8", 1.0, 10.0, 0.3, 0.01, None).statuses == {"-1": 2, "0": 1}
