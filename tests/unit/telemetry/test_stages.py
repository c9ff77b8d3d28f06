import pytest

from vitrine.telemetry.stages import Stage, StageClock


def test_stages_add_up_and_keep_apart() -> None:
    clock = StageClock()
    for stage in (Stage.SEARCH, Stage.EMBED, Stage.SEARCH):
        with clock.stage(stage):
            pass
    assert set(clock.seconds) == {Stage.SEARCH, Stage.EMBED}
    assert all(seconds >= 0 for seconds in clock.seconds.values())


def test_a_stage_that_fails_is_timed_too() -> None:
    clock = StageClock()
    with pytest.raises(ValueError, match="x"), clock.stage(Stage.DECODE):
        raise ValueError("x")
    assert Stage.DECODE in clock.seconds


def test_the_total_holds_every_stage_and_can_start_anew() -> None:
    clock = StageClock()
    with clock.stage(Stage.EMBED):
        sum(range(10_000))
    before = clock.total()
    assert before >= clock.seconds[Stage.EMBED]
    clock.restart()
    assert clock.total() < before
