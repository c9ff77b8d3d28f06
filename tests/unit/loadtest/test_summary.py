import random

import pytest

from loadtest.histogram import Histogram
from loadtest.record import Record, Tally
from loadtest.report import report_lines
from loadtest.shapes import Stage
from loadtest.summary import Summary


def _steps(record: Record, *steps: tuple[float, float, int, int]) -> list[Stage]:
    """Stages of ten seconds, each as (rate, latency in ms, good answers, of these late for their stage)."""
    for number, (rate, latency, good, late) in enumerate(steps):
        tally = record.tally(number, "search: query")
        for _ in range(good):
            tally.add("good", latency, latency)
        for _ in range(int(rate * 10) - good):
            tally.add("dropped", 3_000, 0)
        record.completed[number] += good - late
    return [Stage(f"step {n}", 10, rate) for n, (rate, *_) in enumerate(steps)]


def test_percentiles_are_exact_to_one_percent() -> None:
    rng = random.Random(4)
    values = [rng.lognormvariate(3, 1) for _ in range(5_000)]
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    for percent in (1, 50, 95, 99, 100):
        exact = sorted(values)[max(round(len(values) * percent / 100) - 1, 0)]
        assert histogram.percentile(percent) == pytest.approx(exact, rel=0.0101)
    exact_within = sum(value <= 30 for value in values)
    assert histogram.within(30) == pytest.approx(exact_within, rel=0.02)
    assert histogram.within(1e9) == len(histogram) == 5_000


def test_an_empty_histogram_has_no_percentile_and_zero_is_a_duration() -> None:
    histogram = Histogram()
    assert histogram.percentile(50) is None
    histogram.add(0.0)
    assert histogram.percentile(50) == pytest.approx(0.01, rel=0.01)


def test_the_mean_is_exact_to_one_percent() -> None:
    histogram, rng = Histogram(), random.Random(3)
    drawn = [rng.expovariate(0.02) for _ in range(5_000)]
    for ms in drawn:
        histogram.add(ms)
    assert histogram.mean() == pytest.approx(sum(drawn) / len(drawn), rel=0.01)
    assert Histogram().mean() is None


def test_what_workers_send_adds_up_to_what_one_process_would_have_counted() -> None:
    alone, master, rng = Record(), Record(), random.Random(2)
    workers = [Record(), Record()]
    for number in range(300):
        outcome = rng.choice(("good", "failed", "refused", "dropped"))
        latency = rng.expovariate(0.01)
        for record in (alone, workers[number % 2]):
            record.tally(number % 3, "search: query").add(outcome, latency, latency / 2)  # type: ignore[arg-type]
            record.completed[number % 3] += 1
            record.lag(number % 3).add(latency / 100)
            record.errors["no answer"] += 1
        if number % 50 == 0:
            master.merge(Record.from_message(workers[number % 2].take_message()))
    for worker in workers:
        master.merge(Record.from_message(worker.take_message()))
        assert not worker.tallies
    assert master == alone or _plain(master) == _plain(alone)


def _plain(record: Record) -> dict[str, object]:
    return Record.take_message(record) | {"tallies": sorted(record.tallies)}


def test_the_knee_is_where_throughput_over_latency_is_greatest() -> None:
    record = Record()
    stages = _steps(record, (10, 10, 100, 0), (20, 11, 200, 0), (40, 60, 400, 0), (80, 900, 500, 200))
    summary = Summary(stages, record, goodput_ms=100)
    assert [figures.kept_up for figures in summary.stages] == [True, True, True, False]
    knee = summary.knee()
    assert knee is not None
    assert knee.stage.name == "step 1"
    assert summary.peak() == pytest.approx(40)
    assert "The knee: 20.0 requests/s, in step 1." in "\n".join(report_lines(summary, []))


def test_requests_that_are_slow_by_their_nature_move_no_knee() -> None:
    """A few percent more or less of them, and p95 is theirs; nobody waits any longer for it."""
    record = Record()
    stages = [Stage(f"step {number}", 10, rate) for number, rate in enumerate((20, 40, 80))]
    for number, (rate, slow, quick_ms) in enumerate(((20, 0.04, 10), (40, 0.06, 10), (80, 0.06, 100))):
        offered, kept = rate * 10, 1.0 if number < 2 else 0.5
        for place in range(offered):
            latency = 300.0 if place < slow * offered else quick_ms
            record.tally(number, "search: query").add("good", latency, latency)
        record.completed[number] = round(offered * kept)
    summary = Summary(stages, record, goodput_ms=400)
    assert [round(figures.tally.latency.percentile(95) or 0, -1) for figures in summary.stages] == [10, 300, 300]
    knee = summary.knee()
    assert knee is not None
    assert knee.stage.name == "step 1"


def test_a_run_that_the_server_followed_to_its_end_has_no_knee() -> None:
    record = Record()
    stages = _steps(record, (10, 10, 100, 0), (20, 40, 150, 0), (40, 60, 400, 0))
    summary = Summary(stages, record, goodput_ms=100)
    assert not summary.stages[1].kept_up
    assert summary.knee() is None


def test_answers_that_come_after_their_stage_do_not_count_as_its_throughput() -> None:
    record = Record()
    (figures,) = Summary(_steps(record, (10, 10, 100, 30)), record, goodput_ms=100).stages
    assert figures.throughput == pytest.approx(7)
    assert figures.goodput == pytest.approx(10)
    assert not figures.kept_up


def test_a_stage_that_was_cut_short_is_left_out() -> None:
    record = Record()
    stages = _steps(record, (10, 10, 100, 0), (20, 11, 90, 0))
    assert [figures.stage.name for figures in Summary(stages, record, 100, second=15.0).stages] == ["step 0"]
    assert Summary(stages, record, 100, second=15.0).tally().offered == 100


def test_the_warm_up_is_in_no_figure() -> None:
    record = Record()
    (stage,) = _steps(record, (10, 10, 100, 0))
    summary = Summary([Stage(stage.name, stage.seconds, stage.rate, measured=False)], record, 100)
    assert summary.stages == []
    assert summary.tally().offered == 0
    assert summary.endpoints() == []


def test_refusals_have_a_latency_of_their_own_and_count_as_errors() -> None:
    tally = Tally()
    tally.add("good", 20, 10)
    tally.add("refused", 500, 3)
    assert tally.error_rate == 0.5
    assert tally.refusal.percentile(99) == pytest.approx(3, rel=0.01)
    assert tally.latency.percentile(99) == pytest.approx(20, rel=0.01)
    assert tally.service.percentile(99) == pytest.approx(10, rel=0.01)


def test_a_late_generator_is_told() -> None:
    record = Record()
    stages = _steps(record, (10, 10, 100, 0))
    record.lag(0).add(200)
    assert "The load generator itself was 2" in "\n".join(report_lines(Summary(stages, record, 100), []))
