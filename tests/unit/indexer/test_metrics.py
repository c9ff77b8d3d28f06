from collections import Counter

from vitrine.indexer.metrics import IndexMetrics, RowOutcome
from vitrine.indexer.rejections import rejection_codes
from vitrine.indexer.report import IndexStage, StageTimes, Tally


def _value(metrics: IndexMetrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def _rows(metrics: IndexMetrics) -> dict[str, float | None]:
    return {outcome.value: _value(metrics, "vitrine_index_rows_total", outcome=outcome.value) for outcome in RowOutcome}


def test_every_outcome_and_reason_is_there_before_anything_was_read() -> None:
    metrics = IndexMetrics("1.2.3")
    assert set(_rows(metrics).values()) == {0}
    assert {_value(metrics, "vitrine_index_rejected_total", reason=code) for code in rejection_codes()} == {0}
    assert _value(metrics, "vitrine_index_stage_duration_seconds_count", stage="embed") == 0
    assert _value(metrics, "vitrine_index_last_write_timestamp_seconds") is None


def test_the_figures_are_those_of_the_tally() -> None:
    metrics, tally = IndexMetrics("1"), Tally()
    metrics.follow(tally, StageTimes({}), lambda: 7, "f" * 64)
    tally.read, tally.written, tally.unchanged, tally.dropped, tally.elsewhere = 20, 9, 3, 2, 4
    tally.rejected = Counter(image_missing=1, id_duplicate=1)
    tally.written_at = 1_700_000_000.5
    assert _rows(metrics) == {
        "read": 20,
        "written": 9,
        "unchanged": 3,
        "rejected": 2,
        "dropped": 2,
        "elsewhere": 4,
        "deleted": 7,
    }
    assert _value(metrics, "vitrine_index_rejected_total", reason="image_missing") == 1
    assert _value(metrics, "vitrine_index_last_write_timestamp_seconds") == 1_700_000_000.5
    assert _value(metrics, "vitrine_build_info", version="1", fingerprint="f" * 64) == 1


def test_a_reason_nobody_foresaw_makes_no_series_of_its_own() -> None:
    metrics, tally = IndexMetrics("1"), Tally()
    metrics.follow(tally, StageTimes({}), int, "")
    before = len(metrics.exposition("")[0].splitlines())
    tally.rejected.update({f"reason_{n}": 1 for n in range(50)})
    assert len(metrics.exposition("")[0].splitlines()) == before
    assert _value(metrics, "vitrine_index_rejected_total", reason="other") == 50


def test_steps_are_timed_by_stage_and_seen_while_they_last() -> None:
    metrics = IndexMetrics("1")
    times = StageTimes({IndexStage.EMBED: 2, IndexStage.WRITE: 1}, metrics.observe_stage)
    metrics.follow(Tally(), times, int, "")
    with times.busy(IndexStage.EMBED), times.busy(IndexStage.EMBED):
        assert _value(metrics, "vitrine_index_batches_in_flight") == 2
        assert _value(metrics, "vitrine_index_stage_duration_seconds_count", stage="embed") == 0
    assert _value(metrics, "vitrine_index_batches_in_flight") == 0
    assert _value(metrics, "vitrine_index_stage_duration_seconds_count", stage="embed") == 2
    assert _value(metrics, "vitrine_index_stage_duration_seconds_count", stage="write") == 0


def test_a_rejections_code_is_one_of_those_told() -> None:
    assert {
        "image_missing",
        "image_corrupt",
        "image_outside_catalogue",
        "id_duplicate",
        "row_ragged",
    } <= rejection_codes()
    assert "query_empty" not in rejection_codes()
