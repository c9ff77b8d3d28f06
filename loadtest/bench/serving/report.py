"""A run's tables for people, in Markdown."""

from collections.abc import Collection, Iterable, Sequence

from loadtest.bench.serving.cost_model import SERVING_STAGES, STAGES
from loadtest.bench.serving.figures import Figures, Loaded
from loadtest.bench.serving.machine import CORES
from loadtest.bench.serving.processes import GENERATOR, MACHINE
from loadtest.bench.serving.stack import MILVUS
from loadtest.bench.serving.systems import RECIPE
from loadtest.bench.serving.verdicts import Verdict
from vitrine.tuning.plan import CPU_SHARE


def report(figures: Figures, verdicts: Sequence[Verdict]) -> str:
    """The whole of it."""
    parts = [
        _machine(figures),
        _part("Verdicts", _verdicts(verdicts)),
        _part("One call at a time, in turns", _single(figures)),
        _part("Under load", _loaded(figures)),
        _part("Memory, MB", _memory(figures)),
        _part("Growth", _growth(figures)),
        _part("Cost of an answer, processor milliseconds", _costs(figures)),
        _part("The model of cost against steps of load", _steps(figures)),
        _part(f"What a cluster needs, cores busy for {CPU_SHARE:.0%} at most", _needs(figures)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def table(headings: Sequence[str], rows: Iterable[Sequence[object]], texts: Collection[int] = (0,)) -> list[str]:
    """Markdown; columns are of numbers but for `texts`."""
    bars = ["---" if column in texts else "---:" for column in range(len(headings))]
    return [f"| {' | '.join(map(str, row))} |" for row in (headings, bars, *rows)]


def _part(heading: str, lines: Sequence[str]) -> str:
    return "\n".join([f"## {heading}", "", *lines]) if lines else ""


def _machine(figures: Figures) -> str:
    return "\n".join(f"- {name}: {told}" for name, told in figures.machine.items())


def _verdicts(verdicts: Sequence[Verdict]) -> list[str]:
    rows = [
        (one.name, "passed" if one.passed else "FAILED", f"{one.value:.4g}", _bound(one), one.detail)
        for one in verdicts
    ]
    return table(("", "", "found", "bound", "from"), rows, texts=(0, 1, 4))


def _bound(one: Verdict) -> str:
    return f"{'<=' if one.at_most else '>='} {one.bound:g}"


def _single(figures: Figures) -> list[str]:
    recipe = figures.single_of(RECIPE).ms.p50
    rows = [
        (
            one.system,
            _share(one.recall),
            _share(one.recall_of_fp32),
            *(f"{value:.2f}" for value in (one.ms.p50, one.ms.p95, one.ms.p99)),
            f"{recipe / one.ms.p50:.1f}",
        )
        for one in figures.single
    ]
    headings = ("", "recall@10", "recall@10 of fp32", "p50 ms", "p95 ms", "p99 ms", "times as quick as the recipe")
    parts = ", ".join(f"{part} {ms:.1f} ms" for part, ms in figures.recipe_ms.items())
    return [*table(headings, rows), "", f"{figures.single[0].calls} calls of each. The recipe's medians: {parts}."]


def _loaded(figures: Figures) -> list[str]:
    recalls = {one.system: _share(one.recall) for one in figures.single}
    columns = ("gateway", "triton", MILVUS, RECIPE, GENERATOR)
    rows = [
        (
            one.system,
            one.callers,
            recalls.get(one.system, ""),
            f"{one.per_s:.1f}",
            *(f"{value:.1f}" for value in (one.ms.p50, one.ms.p95, one.ms.p99)),
            *(_cpu(one, column) for column in columns),
            f"{one.cpu_ms[MACHINE]:.2f}",
        )
        for one in figures.loaded
    ]
    headings = ("", "callers", "recall@10", "answers/s", "p50 ms", "p95 ms", "p99 ms")
    processor = ("CPU ms: gateway", "Triton", "Milvus", "recipe", "load", "whole machine")
    hits = ", ".join(f"{system} {share:.0%}" for system, share in figures.hit_share.items())
    told = (
        f"Queries of the log that the cache answered: {hits}. Processes that are no part of the bench, and what the "
        f"kernel counts for none, kept {figures.other_cores:.2f} cores busy meanwhile."
    )
    return [*table((*headings, *processor), rows), "", told]


def _cpu(one: Loaded, column: str) -> str:
    """Of the processes of that kind that worked for the system; the others idle beside it."""
    precision = one.system.rpartition(", ")[2]
    cache = one.system.split(",")[0].removeprefix("gateway ")
    name = {"gateway": f"gateway {precision} {cache}", "triton": f"triton {precision}"}.get(column, column)
    concerned = {
        "gateway": one.system.startswith("gateway"),
        "triton": one.system.startswith(("gateway", "Triton")),
        MILVUS: not one.system.startswith("Triton"),
        RECIPE: one.system == RECIPE,
        GENERATOR: True,
    }
    return f"{one.cpu_ms[name]:.2f}" if concerned[column] else ""


def _memory(figures: Figures) -> list[str]:
    rows = [
        (name, f"{one.resident:.0f}", f"{one.anonymous:.0f}", f"{figures.idle_cores[name]:.3f}")
        for name, one in figures.memory.items()
    ]
    rows.append((MACHINE, "", "", f"{figures.idle_cores[MACHINE]:.3f}"))
    products = int(str(figures.size["rows"]))
    taken = ", ".join(
        f"{name} {megabytes:.0f}" + ("" if name == "idle" else f" ({megabytes * 1e6 / products:,.0f} bytes a vector)")
        for name, megabytes in figures.milvus_memory_mb.items()
    )
    lines = table(("process", "resident", "anonymous", "cores busy without load"), rows)
    return [*lines, "", f"Milvus's anonymous memory, and what each collection added: {taken}."]


def _growth(figures: Figures) -> list[str]:
    if (growth := figures.growth) is None:
        return []
    kinds = list(growth.recall[0])
    rows = [
        (f"{rows:,}", ef, *(_share(recall[kind].mean) for kind in kinds), f"{p50:.2f}")
        for rows, ef, recall, p50 in zip(growth.rows, growth.ef, growth.recall, growth.p50_ms, strict=True)
    ]
    headings = ("products", "ef", *(f"recall@10, {kind}" for kind in kinds), "p50 ms")
    each = growth.memory_mb * 1e6 / growth.rows[1]
    told = f"The larger one took {growth.memory_mb:,.0f} MB of Milvus's anonymous memory, {each:,.0f} bytes a vector."
    return [*table(headings, rows, texts=()), "", told]


def _costs(figures: Figures) -> list[str]:
    rows = [
        (
            one.system,
            one.callers,
            *(f"{one.cpu_s[stage] * 1000:.2f}" for stage in STAGES),
            f"{one.saturating_rate(CORES):.0f}",
            f"{max(loaded.per_s for loaded in figures.loaded_of(one.system)):.0f}",
        )
        for one in figures.costs
    ]
    return table(("", "callers", *STAGES, "all cores busy at, answers/s", "most seen, answers/s"), rows)


def _steps(figures: Figures) -> list[str]:
    rows = [
        (
            precision,
            f"{step.rate:.0f}",
            f"{step.answered_per_s:.0f}",
            *(f"{step.foretold[stage]:.2f} / {step.seen[stage]:.2f}" for stage in STAGES),
            f"{sum(step.foretold.values()):.2f} / {sum(step.seen.values()):.2f}",
            f"{step.p50_ms:.1f}",
            f"{step.p99_ms:.1f}",
            step.failed,
        )
        for precision, steps in figures.steps.items()
        for step in steps
    ]
    headings = ("", "arrivals/s", "answers/s", *(f"{stage}, cores" for stage in STAGES), "all, cores")
    lines = table((*headings, "p50 ms", "p99 ms", "failed"), rows)
    return [*lines, "", "Cores busy: foretold / measured."]


def _needs(figures: Figures) -> list[str]:
    rows = [
        (
            precision,
            f"{need.qps:,}",
            f"{need.hit_share:.0%}",
            need.gateway_pods,
            *(f"{need.cores[stage]:.1f}" for stage in SERVING_STAGES),
        )
        for precision, needs in figures.needs.items()
        for need in needs
    ]
    headings = ("", "answers/s", "from the cache", "gateway pods", *(f"{stage} cores" for stage in SERVING_STAGES))
    return table(headings, rows)


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
