"""Which alerts of latency the callers' own clocks allow."""

import time

import pytest

from tests.monitoring.callers import Waits

FACTOR = 60
NOW = 1_000_000.0


def waits_of(monkeypatch: pytest.MonkeyPatch, *answers: tuple[float, float]) -> Waits:
    """Answers as (seconds before now, seconds waited)."""
    waits = Waits(FACTOR)
    for ago, waited in answers:
        with monkeypatch.context() as patched:
            patched.setattr(time, "time", lambda ago=ago: NOW - ago)
            waits.add(waited)
    return waits


def test_quick_answers_allow_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert waits_of(monkeypatch, *((n / 10, 0.02) for n in range(600))).slow(0) == set()


def test_a_few_slow_ones_allow_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert waits_of(monkeypatch, (3, 9.0), (2, 9.0)).slow(0) == set(), "the alerts want five"


def test_answers_that_are_all_slow_allow_every_alert_of_their_edge(monkeypatch: pytest.MonkeyPatch) -> None:
    over50 = {f"SearchLatency50BudgetBurn {burn}" for burn in ("14.4", "6", "3", "1")}
    over250 = {f"SearchLatency250BudgetBurn {burn}" for burn in ("14.4", "6", "3", "1")}
    assert waits_of(monkeypatch, *((n, 0.1) for n in range(50))).slow(0) == over50
    assert waits_of(monkeypatch, *((n, 0.3) for n in range(50))).slow(0) == over50 | over250


def test_a_share_allows_the_burn_rates_that_it_reaches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of a hundred over 250 ms burn a budget of one at a rate of two; half of a threshold is near enough."""
    waits = waits_of(monkeypatch, *((n / 10, 0.3 if n % 50 == 0 else 0.02) for n in range(600)))
    assert waits.slow(NOW - 1) == {"SearchLatency250BudgetBurn 3", "SearchLatency250BudgetBurn 1"}


def test_what_was_slow_is_forgotten_with_its_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """An hour is a minute here: by then the long window of 14.4 holds quick answers alone."""
    slow, quick = ((80 - n / 10, 0.3) for n in range(50)), ((n / 10, 0.02) for n in range(100))
    waits = waits_of(monkeypatch, *slow, *quick)
    assert "SearchLatency250BudgetBurn 14.4" in waits.slow(NOW - 80)
    assert "SearchLatency250BudgetBurn 14.4" not in waits.slow(NOW - 5)
    assert "SearchLatency250BudgetBurn 6" in waits.slow(NOW - 5)
