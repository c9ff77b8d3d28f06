"""What a run is held to: each figure against its bound, and where the figure comes from."""

from dataclasses import replace

import pytest

from loadtest.bench.serving.figures import Figures, Loaded, Percentiles, Single
from loadtest.bench.serving.overload import Overload
from loadtest.bench.serving.processes import GENERATOR, MACHINE
from loadtest.bench.serving.recall import Found
from loadtest.bench.serving.report import report
from loadtest.bench.serving.stack import MILVUS, gateway_name, triton_name
from loadtest.bench.serving.systems import MILVUS_ALONE, MILVUS_BY_GATEWAYS_CALL, RECIPE, gateway, triton_alone
from loadtest.bench.serving.verdicts import Verdict, best_rate, bound_per_s, verdicts

CORES = 2


def _single(system: str, p50: float) -> Single:
    return Single(system, 100, Percentiles(p50, p50 * 1.2, p50 * 1.5), 0.97, 0.96)


def _loaded(system: str, callers: int, per_s: float, p99: float, **cpu_ms: float) -> Loaded:
    every = [gateway_name(precision, cache) for precision in ("fp32", "int8") for cache in ("uncached", "cached")]
    every += [triton_name("fp32"), triton_name("int8"), MILVUS, RECIPE, GENERATOR, MACHINE]
    cpu = dict.fromkeys(every, 0.1) | {name.replace("_", " "): value for name, value in cpu_ms.items()}
    return Loaded(system, callers, per_s, (per_s,), 100, Percentiles(p99 / 3, p99 / 1.5, p99), cpu)


@pytest.fixture
def figures() -> Figures:
    """A run in which everything holds."""
    found = Figures(
        machine={"date": "today"},
        size={"rows": 1_000},
        ef=32,
        recall={"products_fp32": {"texts": Found(0.96, 0.95)}},
        agreement={"mean cosine": 0.9995, "top-10 overlap": 0.985},
        idle_cores={},
        milvus_memory_mb={"idle": 200.0},
    )
    found.recipe_ms = {"embed": 40.0, "search": 5.0}
    found.single = [
        _single(RECIPE, 45.0),
        _single(MILVUS_ALONE, 5.0),
        _single(MILVUS_BY_GATEWAYS_CALL, 4.6),
        _single(triton_alone("fp32"), 9.0),
        _single(triton_alone("int8"), 4.0),
        _single(gateway("fp32", "uncached"), 15.0),
        _single(gateway("int8", "uncached"), 10.0),
        _single(gateway("fp32", "cached"), 6.5),
        _single(gateway("int8", "cached"), 6.5),
    ]
    found.loaded = [
        _loaded(RECIPE, 1, 20.0, 60.0),
        _loaded(MILVUS_ALONE, 8, 600.0, 30.0, milvus=2.5),
        _loaded(MILVUS_ALONE, 64, 700.0, 150.0, milvus=2.0),
        _loaded(triton_alone("fp32"), 8, 150.0, 60.0, triton_fp32=12.0),
        _loaded(triton_alone("fp32"), 64, 200.0, 400.0, triton_fp32=8.0),
        _loaded(triton_alone("int8"), 8, 300.0, 40.0, triton_int8=6.0),
        _loaded(gateway("fp32", "uncached"), 8, 170.0, 70.0),
        _loaded(gateway("fp32", "uncached"), 64, 190.0, 350.0),
        _loaded(gateway("int8", "uncached"), 8, 220.0, 60.0),
        _loaded(gateway("fp32", "cached"), 8, 400.0, 60.0),
        _loaded(gateway("int8", "cached"), 8, 400.0, 60.0),
    ]
    return found


def _named(lines: list[Verdict], words: str) -> Verdict:
    (found,) = [one for one in lines if words in one.name]
    return found


def test_a_run_in_which_everything_holds_passes(figures: Figures) -> None:
    assert all(one.passed for one in verdicts(figures, CORES))


def test_the_best_rate_is_of_those_within_the_latency(figures: Figures) -> None:
    best = best_rate(figures.loaded_of(gateway("fp32", "uncached")))
    assert best is not None
    assert best.callers == 8


def test_without_any_rate_within_the_latency_throughput_fails(figures: Figures) -> None:
    name = gateway("fp32", "uncached")
    figures.loaded = [
        replace(one, ms=Percentiles(90.0, 110.0, 120.0)) if one.system == name else one for one in figures.loaded
    ]
    assert not _named(verdicts(figures, CORES), f"{name}: times the recipe's rate").passed


def test_the_bound_takes_the_least_that_each_engine_cost_at_any_load(figures: Figures) -> None:
    assert bound_per_s(figures, "fp32", CORES) == pytest.approx(CORES / (8.0 + 2.0) * 1000)


def test_own_cost_is_what_the_engines_alone_do_not_explain(figures: Figures) -> None:
    verdict = _named(verdicts(figures, CORES), "own cost, fp32")
    assert verdict.value == pytest.approx(1.0)
    assert "1.40 ms" in verdict.detail  # by the leaner call


def test_reduced_precision_is_held_to_more_than_fp32(figures: Figures) -> None:
    figures.single = [_single(one.system, 15.0) if "int8" in one.system else one for one in figures.single]
    lines = verdicts(figures, CORES)
    assert _named(lines, "gateway uncached, fp32: times as quick").passed
    assert not _named(lines, "gateway uncached, int8: times as quick").passed


def test_a_recall_below_the_bound_fails(figures: Figures) -> None:
    figures.recall = {"products_fp32": {"texts": Found(0.94, 0.93)}}
    assert not _named(verdicts(figures, CORES), "recall@10 of products_fp32").passed


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"goodput_per_s": 150.0}, "goodput"),
        ({"refused_ms": (5.0, 60.0, 90.0)}, "p99 of refusals"),
        ({"without_retry_after": 1}, "without Retry-After"),
        ({"recovered_s": 11.0}, "until normal"),
        ({"recovered_s": None}, "until normal"),
    ],
)
def test_each_promise_about_overload_can_fail(figures: Figures, change: dict[str, object], words: str) -> None:
    figures.overload = Overload(
        "int8", 600.0, 60.0, 200.0, 190.0, (50.0, 90.0), 1_000, (3.0, 20.0, 40.0), 0, {"200": 1}, 10.0, 2.0
    )
    assert _named(verdicts(figures, CORES), words).passed
    figures.overload = replace(figures.overload, **change)
    assert not _named(verdicts(figures, CORES), words).passed


def test_the_report_names_every_system_and_every_verdict(figures: Figures) -> None:
    figures.idle_cores = {MACHINE: 0.1}
    lines = verdicts(figures, CORES)
    text = report(figures, lines)
    for one in figures.single:
        assert f"| {one.system} |" in text
    for verdict in lines:
        assert verdict.name in text
