"""Three pictures of a run: latency by callers, rate against latency, cost of an answer by stage."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from loadtest.bench.serving.cost_model import STAGES
from loadtest.bench.serving.figures import Figures
from loadtest.bench.serving.sizes import PRECISIONS
from loadtest.bench.serving.systems import MILVUS_ALONE, RECIPE, gateway, triton_alone
from loadtest.bench.serving.verdicts import P99_MS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_INK: Final = "#22313f"
_GRID: Final = "#eceff1"
_COLOURS: Final = ("#c8553d", "#3d6b8c", "#7a9e7e", "#b9a44c")
_RECIPE_COLOUR: Final = "#5d6d7e"


def draw(figures: Figures, folder: Path) -> list[Path]:
    """Writes the pictures; their files."""
    drawn = {
        "latency.png": _latency(figures),
        "throughput.png": _throughput(figures),
        "cost.png": _cost(figures),
    }
    for name, figure in drawn.items():
        figure.savefig(folder / name)
    return [folder / name for name in drawn]


def _new(title: str) -> "tuple[Figure, Axes]":
    # Takes half a second to import. The canvas is Agg's: no screen is asked for.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5.4), dpi=160, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_title(title, loc="left", fontsize=12, color=_INK)
    axes.grid(which="major", color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure, axes


def _latency(figures: Figures) -> "Figure":
    figure, axes = _new("Latency by callers at once: median, and a line up to the 99th percentile")
    for number, (system, colour, style) in enumerate(_systems()):
        loaded = figures.loaded_of(system)
        callers = [one.callers * 1.03 ** (number - 3) for one in loaded]  # side by side, not over each other
        medians = [one.ms.p50 for one in loaded]
        axes.plot(callers, medians, style, color=colour, marker="o", markersize=4, linewidth=1.4, label=system)
        axes.vlines(callers, medians, [one.ms.p99 for one in loaded], color=colour, linewidth=0.9, alpha=0.6)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(sorted({one.callers for one in figures.loaded}))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set_xlabel("callers")
    axes.set_ylabel("ms")
    axes.legend(frameon=False, fontsize=8)
    return figure


def _throughput(figures: Figures) -> "Figure":
    figure, axes = _new("Answers a second against the 99th percentile; numbers are callers")
    for system, colour, style in _systems():
        loaded = figures.loaded_of(system)
        latencies, rates = [one.ms.p99 for one in loaded], [one.per_s for one in loaded]
        axes.plot(latencies, rates, style, color=colour, marker="o", markersize=4, linewidth=1.4, label=system)
        for one in loaded:
            axes.annotate(
                str(one.callers), (one.ms.p99, one.per_s), xytext=(4, 4), textcoords="offset points", fontsize=7
            )
    axes.axvline(P99_MS, color=_INK, linewidth=0.9, linestyle=(0, (4, 3)))
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlabel("p99, ms")
    axes.set_ylabel("answers a second")
    axes.legend(frameon=False, fontsize=8)
    return figure


def _cost(figures: Figures) -> "Figure":
    figure, axes = _new("Processor time of an uncached answer by stage")
    names = [costs.system for costs in figures.costs]
    left = [0.0] * len(names)
    longest = max((sum(costs.cpu_s.values()) * 1000 for costs in figures.costs), default=0.0)
    for stage, colour in zip(STAGES, _COLOURS, strict=True):
        widths = [costs.cpu_s[stage] * 1000 for costs in figures.costs]
        axes.barh(names, widths, left=left, color=colour, height=0.5, label=stage)
        _label_bars(axes, left, widths, 0.04 * longest)
        left = [start + width for start, width in zip(left, widths, strict=True)]
    axes.invert_yaxis()
    axes.set_xlabel("processor milliseconds")
    figure.legend(frameon=False, fontsize=8, ncols=len(STAGES), loc="outside lower center")
    return figure


def _label_bars(axes: "Axes", left: Sequence[float], widths: Sequence[float], least: float) -> None:
    """With their milliseconds, where there is room for them."""
    for row, (start, width) in enumerate(zip(left, widths, strict=True)):
        if width < least:
            continue
        axes.annotate(f"{width:.1f}", (start + width / 2, row), ha="center", va="center", fontsize=8, color="white")


def _systems() -> list[tuple[str, str, str]]:
    """Names, colours and line styles: one colour for what is measured, dashed for reduced precision."""
    shown = [(RECIPE, _RECIPE_COLOUR, "-"), (MILVUS_ALONE, _COLOURS[2], "-")]
    for precision, style in zip(PRECISIONS, ("-", "--"), strict=True):
        shown += [
            (triton_alone(precision), _COLOURS[3], style),
            (gateway(precision, "uncached"), _COLOURS[0], style),
            (gateway(precision, "cached"), _COLOURS[1], style),
        ]
    return shown
