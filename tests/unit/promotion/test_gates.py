from dataclasses import replace
from typing import Any

import pytest

from tests.unit.promotion.conftest import Make
from vitrine.domain import FieldSpec, FieldType
from vitrine.errors import InvalidInput
from vitrine.promotion.gates import GateLimits, Measured, ServedModel, Standing, failed, judge
from vitrine.vectorstore.collection import CollectionInfo

SERVED = ServedModel("demo", "f" * 64, None, reached=True)
GOOD = Measured("20 titles", recall=0.97, overlap=0.9, p99_ms=8.0, live_p99_ms=7.0)


def failures(standing: Standing, measured: Measured = GOOD, served: ServedModel = SERVED, **limits: float) -> list[str]:
    return [gate.name for gate in failed(judge(standing, served, measured, GateLimits(**limits)))]


@pytest.fixture
def live(collection: Make) -> CollectionInfo:
    return collection(1, live=True)


@pytest.fixture
def candidate(collection: Make) -> CollectionInfo:
    return collection(2)


@pytest.fixture
def standing(live: CollectionInfo, candidate: CollectionInfo) -> Standing:
    return Standing(candidate, 100, 100, live, 100)


def test_a_good_candidate_passes_every_gate(standing: Standing) -> None:
    assert [gate.passed for gate in judge(standing, SERVED, GOOD, GateLimits())] == [True] * 8


@pytest.mark.parametrize(
    ("change", "gate"),
    [
        ({"rows": 94, "indexed": 94}, "rows"),
        ({"indexed": 99}, "index"),
        ({"indexed": "was not built in time"}, "index"),
    ],
)
def test_each_count_has_its_gate(standing: Standing, change: dict[str, Any], gate: str) -> None:
    assert failures(replace(standing, **change)) == [gate]


@pytest.mark.parametrize(
    ("change", "gate"), [({"recall": 0.89}, "recall@10"), ({"overlap": 0.49}, "overlap@10"), ({"p99_ms": 51.0}, "p99")]
)
def test_each_measurement_has_its_gate(standing: Standing, change: dict[str, float], gate: str) -> None:
    assert failures(standing, replace(GOOD, **change)) == [gate]


def test_limits_are_the_operators(standing: Standing) -> None:
    measured = replace(GOOD, recall=0.5, overlap=0.1, p99_ms=300.0)
    few = replace(standing, rows=50, indexed=25)
    relaxed = {"min_rows": 0.5, "min_indexed": 0.5, "min_recall": 0.5, "min_overlap": 0.1, "max_p99_ms": 300.0}
    assert failures(few, measured, **relaxed) == []


def test_a_slow_candidate_is_good_enough_when_the_live_one_is_as_slow(standing: Standing) -> None:
    assert failures(standing, replace(GOOD, p99_ms=120.0, live_p99_ms=61.0)) == []
    assert failures(standing, replace(GOOD, p99_ms=130.0, live_p99_ms=61.0)) == ["p99"]


def test_a_candidate_that_no_run_finished_is_refused(standing: Standing, collection: Make) -> None:
    assert failures(replace(standing, candidate=collection(2, finished=False))) == ["finished"]


def test_an_index_may_still_hold_rows_that_were_replaced(standing: Standing) -> None:
    assert failures(replace(standing, indexed=130)) == []


@pytest.mark.parametrize(
    ("served", "passes"),
    [
        (replace(SERVED, fingerprint="0" * 64), False),
        (replace(SERVED, triton="Triton's clip_text uses another"), False),
        (replace(SERVED, triton="no answer", reached=False), True),
    ],
    ids=["another repository", "another model in Triton", "Triton away"],
)
def test_the_model_is_the_one_that_gateways_will_have(standing: Standing, served: ServedModel, passes: bool) -> None:
    assert failures(standing, served=served) == ([] if passes else ["model"])


@pytest.mark.parametrize(
    ("field", "lost"),
    [
        (None, "lost: price"),
        (FieldSpec("price", FieldType.TEXT), "lost: price as number"),
        (FieldSpec("price", FieldType.NUMBER, filterable=False), "lost: price in filters"),
    ],
)
def test_what_requests_may_use_now_must_stay(standing: Standing, field: FieldSpec | None, lost: str) -> None:
    kept = standing.candidate.fields[:1]
    changed = replace(standing.candidate, fields=kept if field is None else (*kept, field))
    (gate,) = failed(judge(replace(standing, candidate=changed), SERVED, GOOD, GateLimits()))
    assert (gate.name, gate.measured) == ("fields", lost)


def test_fields_that_nothing_may_ask_for_and_new_ones_are_no_loss(standing: Standing, live: CollectionInfo) -> None:
    unused = FieldSpec("note", FieldType.TEXT, filterable=False)
    new = FieldSpec("season", FieldType.INTEGER)
    changed = replace(standing.candidate, fields=(*standing.candidate.fields, new))
    assert failures(replace(standing, candidate=changed, live=replace(live, fields=(*live.fields, unused)))) == []


def test_a_first_candidate_is_compared_with_nothing_but_its_own_figures(candidate: CollectionInfo) -> None:
    gates = judge(Standing(candidate, 5, 5, None), SERVED, replace(GOOD, overlap=None, live_p99_ms=None), GateLimits())
    assert {gate.name: gate.passed for gate in gates}["overlap@10"] is None
    assert failed(gates) == []


def test_a_live_collection_that_was_released_keeps_nobody_from_promoting(
    standing: Standing, live: CollectionInfo
) -> None:
    released = replace(standing, live=replace(live, loaded=False))
    gates = judge(released, SERVED, replace(GOOD, overlap=None, live_p99_ms=None), GateLimits())
    assert {gate.name: gate.measured for gate in gates}["overlap@10"] == "the live collection is not loaded"
    assert failed(gates) == []


def test_hits_of_two_models_are_not_compared(standing: Standing, live: CollectionInfo) -> None:
    other = replace(standing, live=replace(live, fingerprint="0" * 64))
    (gate,) = [one for one in judge(other, SERVED, replace(GOOD, overlap=None), GateLimits()) if one.passed is None]
    assert (gate.name, gate.measured) == ("overlap@10", "not comparable: another model")


def test_an_empty_candidate_is_never_good(standing: Standing) -> None:
    nothing = replace(standing, rows=0, indexed=0)
    assert failures(nothing, Measured(why="the candidate is empty"), min_rows=0.0, min_indexed=0.0) == ["rows", "index"]


@pytest.mark.parametrize(
    "limits", [{"min_recall": 1.1}, {"min_overlap": -0.1}, {"max_p99_ms": float("nan")}, {"min_rows": float("inf")}]
)
def test_limits_that_are_no_shares_or_numbers_are_refused(limits: dict[str, float]) -> None:
    with pytest.raises(InvalidInput):
        GateLimits(**limits).check()
