import statistics
from itertools import pairwise

import pytest

from loadtest.arrivals import PROCESSES, Process, Share, arrivals, stage_at
from loadtest.shapes import SHAPES, LoadRefused, Stage

STAGES = (Stage("slow", 20, 10), Stage("fast", 10, 80))


def _drawn(process: Process, share: Share = Share(), seed: int = 1) -> list[tuple[float, int]]:  # noqa: B008 - frozen
    return [(arrival.due_s, arrival.stage) for arrival in arrivals(STAGES, process, share, seed)]


@pytest.mark.parametrize("process", PROCESSES)
def test_every_stage_gets_its_rate_in_order_of_time(process: Process) -> None:
    drawn = _drawn(process)
    assert drawn == sorted(drawn)
    counts = [sum(stage == number for _, stage in drawn) for number in range(2)]
    assert counts[0] == pytest.approx(200, rel=0.25)
    assert counts[1] == pytest.approx(800, rel=0.15)
    assert all((due < 20) == (stage == 0) for due, stage in drawn)
    assert drawn[-1][0] < 30


def test_poisson_gaps_scatter_as_much_as_they_last_and_constant_ones_do_not() -> None:
    for process, scatter in (("poisson", 1.0), ("constant", 0.0)):
        fast = [due for due, stage in _drawn(process) if stage == 1]  # type: ignore[arg-type]
        gaps = [after - before for before, after in pairwise(fast)]
        assert statistics.stdev(gaps) / statistics.mean(gaps) == pytest.approx(scatter, abs=0.15)


@pytest.mark.parametrize("process", PROCESSES)
def test_shares_add_up_to_the_whole_rate_and_differ(process: Process) -> None:
    shares = [_drawn(process, Share(index, 3)) for index in range(3)]
    assert sum(map(len, shares)) == pytest.approx(1_000, rel=0.12)
    assert all(len(share) == pytest.approx(1_000 / 3, rel=0.25) for share in shares)
    assert not set(shares[0]) & set(shares[1])


def test_constant_shares_interlock_evenly() -> None:
    together = sorted(due for index in range(4) for due, _ in _drawn("constant", Share(index, 4)) if due < 19)
    assert all(after - before == pytest.approx(0.1) for before, after in pairwise(together))


def test_equal_seeds_give_equal_schedules() -> None:
    assert _drawn("poisson") == _drawn("poisson") != _drawn("poisson", seed=2)


def test_a_second_belongs_to_one_stage() -> None:
    assert [stage_at(STAGES, second) for second in (0, 19.9, 20, 29.9, 30)] == [0, 0, 1, 1, None]


@pytest.mark.parametrize("shape", SHAPES.values(), ids=lambda shape: shape.name)
def test_every_shape_warms_up_and_then_takes_its_time_at_its_rate(shape) -> None:  # type: ignore[no-untyped-def]
    warm_up, *stages = shape.stages(rate=8, seconds=60)
    assert not warm_up.measured
    assert warm_up.rate == stages[0].rate
    assert all(stage.measured for stage in stages)
    assert sum(stage.seconds for stage in stages) == pytest.approx(60)
    assert any(stage.rate == pytest.approx(8) for stage in stages)
    assert len({stage.name for stage in stages}) == len(stages)


def test_steps_grow_by_the_same_factor_and_a_spike_comes_back_down() -> None:
    steps = [stage.rate for stage in SHAPES["step"].stages()[1:]]
    assert all(after / before == pytest.approx(1.3) for before, after in pairwise(steps))
    before, spike, recovering, after = (stage.rate for stage in SHAPES["spike"].stages()[1:])
    assert spike == 8 * before
    assert before == recovering == after


@pytest.mark.parametrize(("rate", "seconds"), [(0, 10), (-1, 10), (30_000, 10), (10, 0), (10, 1e6), (float("nan"), 10)])
def test_loads_without_measure_are_refused(rate: float, seconds: float) -> None:
    with pytest.raises(LoadRefused):
        SHAPES["average"].stages(rate, seconds)


def test_the_highest_rate_of_a_shape_is_bounded_not_only_its_base() -> None:
    with pytest.raises(LoadRefused, match="spike at 5000 has 40000"):
        SHAPES["spike"].stages(5_000, 60)
