"""What a run is held to, and whether it holds."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from loadtest.bench.serving.figures import Figures, Loaded
from loadtest.bench.serving.sizes import INDEX, PRECISIONS, RECALL
from loadtest.bench.serving.stack import MILVUS, triton_name
from loadtest.bench.serving.systems import MILVUS_ALONE, MILVUS_BY_GATEWAYS_CALL, RECIPE, gateway, triton_alone

P99_MS: Final = 100.0
TIMES_QUICKER: Final = {"fp32": 2.2, "int8": 4.0}
TIMES_QUICKER_CACHED: Final = 6.0
OWN_COST_MS: Final = 1.5
TIMES_THE_RATE: Final = {"fp32": 4.0, "int8": 6.0}
TIMES_THE_RATE_CACHED: Final = 8.0
SHARE_OF_BOUND: Final = 0.8
GROWTH: Final = 1.6
GOODPUT: Final = 0.85
REFUSED_MS: Final = 50.0
RECOVERED_S: Final = 10.0
AGREEMENT: Final = {"mean cosine": 0.999, "top-10 overlap": 0.98}


@dataclass(frozen=True)
class Verdict:
    """One line: a figure and its bound.

    Args:
        name: what is compared.
        value: found.
        bound: least, or most when `at_most`.
        detail: the figures that it comes from.
    """

    name: str
    value: float
    bound: float
    detail: str
    at_most: bool = False

    @property
    def passed(self) -> bool:
        return self.value <= self.bound if self.at_most else self.value >= self.bound

    def line(self) -> str:
        """For people."""
        sign = "<=" if self.at_most else ">="
        told = "passed" if self.passed else "FAILED"
        return f"{told}  {self.name}: {self.value:.4g} ({sign} {self.bound:g}); {self.detail}"


def best_rate(loaded: list[Loaded]) -> Loaded | None:
    """The most answers a second of those numbers of callers at which the 99th percentile is within bounds."""
    within = [one for one in loaded if one.ms.p99 <= P99_MS]
    return max(within, key=lambda one: one.per_s, default=None)


def bound_per_s(figures: Figures, precision: str, cores: int) -> float:
    """Answers a second if nothing but Triton and Milvus took processor time, and each the least that it did alone.

    Of every number of callers the cheapest counts, for each of the two by itself: no run reaches both at once.
    """
    triton = _least_cpu_ms(figures.loaded_of(triton_alone(precision)), triton_name(precision))
    milvus = _least_cpu_ms(figures.loaded_of(MILVUS_ALONE), MILVUS)
    return cores / (triton + milvus) * 1000


def _least_cpu_ms(loaded: list[Loaded], process: str) -> float:
    return min(one.cpu_ms[process] for one in loaded)


def verdicts(figures: Figures, cores: int) -> list[Verdict]:
    """Every line that the run has figures for."""
    return [
        *_recall(figures),
        *_latency(figures),
        *_own_cost(figures),
        *_throughput(figures, cores),
        *_growth(figures),
        *_overload(figures),
    ]


def _recall(figures: Figures) -> Iterator[Verdict]:
    for collection, kinds in figures.recall.items():
        for kind, found in kinds.items():
            yield Verdict(
                f"recall@10 of {collection}, {kind}", found.mean, RECALL, f"HNSW M {INDEX.M}, ef {figures.ef}"
            )
    for name, bound in AGREEMENT.items():
        yield Verdict(f"int8 against fp32 text model, {name}", figures.agreement[name], bound, "over the timed texts")


def _latency(figures: Figures) -> Iterator[Verdict]:
    recipe = figures.single_of(RECIPE).ms.p50
    for precision in PRECISIONS:
        for cache, bound in (("uncached", TIMES_QUICKER[precision]), ("cached", TIMES_QUICKER_CACHED)):
            own = figures.single_of(gateway(precision, cache)).ms.p50
            detail = f"p50 {own:.2f} ms, the recipe's {recipe:.2f} ms"
            yield Verdict(f"{gateway(precision, cache)}: times as quick as the recipe", recipe / own, bound, detail)


def _own_cost(figures: Figures) -> Iterator[Verdict]:
    milvus = figures.single_of(MILVUS_ALONE).ms.p50
    lean = figures.single_of(MILVUS_BY_GATEWAYS_CALL).ms.p50
    for precision in PRECISIONS:
        whole = figures.single_of(gateway(precision, "uncached")).ms.p50
        triton = figures.single_of(triton_alone(precision)).ms.p50
        detail = (
            f"p50 {whole:.2f} ms, Triton alone {triton:.2f}, Milvus alone {milvus:.2f}"
            f" (by the gateway's own call {lean:.2f}: own cost {whole - triton - lean:.2f} ms)"
        )
        yield Verdict(
            f"gateway's own cost, {precision}, ms", whole - triton - milvus, OWN_COST_MS, detail, at_most=True
        )


def _throughput(figures: Figures, cores: int) -> Iterator[Verdict]:
    recipe = figures.loaded_of(RECIPE)[0].per_s
    for precision in PRECISIONS:
        for cache, times in (("uncached", TIMES_THE_RATE[precision]), ("cached", TIMES_THE_RATE_CACHED)):
            name = gateway(precision, cache)
            best = best_rate(figures.loaded_of(name))
            rate = 0.0 if best is None else best.per_s
            at = "never" if best is None else f"{rate:.1f}/s with {best.callers} callers, p99 {best.ms.p99:.0f} ms"
            detail = f"{at}; the recipe's {recipe:.1f}/s, one after the other"
            yield Verdict(f"{name}: times the recipe's rate at p99 <= {P99_MS:g} ms", rate / recipe, times, detail)
            if cache == "uncached":
                bound = bound_per_s(figures, precision, cores)
                detail = f"{rate:.1f}/s of {bound:.1f}/s, which {cores} cores allow Triton and Milvus alone"
                yield Verdict(f"{name}: share of the bound", rate / bound, SHARE_OF_BOUND, detail)


def _growth(figures: Figures) -> Iterator[Verdict]:
    if (growth := figures.growth) is not None:
        detail = f"p50 {growth.p50_ms[0]:.2f} and {growth.p50_ms[1]:.2f} ms, ef {growth.ef[0]} and {growth.ef[1]}"
        name = f"p50 over {growth.rows[1]:,} products against {growth.rows[0]:,}"
        yield Verdict(name, growth.ratio, GROWTH, detail, at_most=True)


def _overload(figures: Figures) -> Iterator[Verdict]:
    if (seen := figures.overload) is None:
        return
    arrivals = f"{seen.rate:.0f} arrivals/s for {seen.seconds:g} s, {seen.precision}, uncached"
    detail = f"{seen.goodput_per_s:.1f}/s good of {seen.peak_per_s:.1f}/s at the peak; {arrivals}"
    yield Verdict("overload: goodput, share of the peak", seen.goodput_per_s / seen.peak_per_s, GOODPUT, detail)
    p50, p99, longest = seen.refused_ms
    detail = f"p50 {p50:.1f} ms, longest {longest:.0f} ms, of {seen.refused} refusals; statuses {seen.statuses}"
    yield Verdict("overload: p99 of refusals, ms", p99, REFUSED_MS, detail, at_most=True)
    yield Verdict("overload: refusals without Retry-After", seen.without_retry_after, 0, "none may be", at_most=True)
    recovered = float("inf") if seen.recovered_s is None else seen.recovered_s
    yield Verdict(
        "overload: seconds until normal", recovered, RECOVERED_S, f"p50 before {seen.before_ms:.1f} ms", at_most=True
    )
