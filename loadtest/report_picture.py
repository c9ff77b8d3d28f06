"""Throughput against latency over a run's stages, with the knee marked."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from loadtest.summary import StageFigures, Summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_INK: Final = "#22313f"
_ACCENT: Final = "#c8553d"
_COLOURS: Final = {50.0: "#9db8c9", 95.0: "#3d6b8c", 99.0: "#22313f"}


def draw(summary: Summary, title: str, path: Path) -> None:
    """Writes the picture as a PNG."""
    figure = Figure(figsize=(9, 5.6), dpi=160, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    answered = [figures for figures in summary.stages if len(figures.tally.latency)]
    for percent, colour in _COLOURS.items():
        xs = [figures.throughput for figures in answered]
        ys = [figures.tally.latency.percentile(percent) or 0.0 for figures in answered]
        axes.plot(xs, ys, color=colour, linewidth=1.6, marker="o", markersize=4.5, label=f"p{percent:g}")
    _mark_stages(axes, answered)
    _mark_knee(axes, summary.knee())
    _label(axes, summary, title)
    figure.savefig(path)


def _mark_stages(axes: "Axes", answered: list[StageFigures]) -> None:
    """The rate that each stage offered, above its highest point; hollow where the server did not follow."""
    for figures in answered:
        top = (figures.throughput, figures.tally.latency.percentile(99) or 0.0)
        if not figures.kept_up:
            axes.plot(*top, marker="o", markersize=9, markerfacecolor="none", markeredgecolor=_ACCENT, linestyle="none")
        axes.annotate(
            f"{figures.offered_rate:.3g}/s",
            top,
            xytext=(0, 8),
            textcoords="offset points",
            ha="center",
            fontsize=7.5,
            color=_INK if figures.kept_up else _ACCENT,
        )


def _mark_knee(axes: "Axes", knee: StageFigures | None) -> None:
    if knee is None:
        return
    p95 = knee.tally.latency.percentile(95) or 0.0
    axes.plot(knee.throughput, p95, marker="*", markersize=17, color=_ACCENT, markeredgecolor="white", zorder=5)
    in_left_half = knee.throughput < sum(axes.get_xlim()) / 2
    axes.axvline(knee.throughput, color=_ACCENT, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
    axes.annotate(
        f"knee: {knee.throughput:.1f}/s, p95 {p95:.0f} ms",
        (knee.throughput, 0.02),
        xycoords=("data", "axes fraction"),
        xytext=(6, 0) if in_left_half else (-6, 0),
        textcoords="offset points",
        ha="left" if in_left_half else "right",
        fontsize=9,
        color=_ACCENT,
        fontweight="bold",
    )


def _label(axes: "Axes", summary: Summary, title: str) -> None:
    axes.set_xlabel("good answers a second while the stage lasted")
    axes.set_ylabel("latency of good answers, ms, from when they were due")
    axes.set_yscale("log")
    axes.set_xlim(left=0)
    axes.margins(y=0.15)
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_locator(NullLocator())
    axes.tick_params(which="both", labelsize=8, colors=_INK)
    axes.grid(which="major", color="#eceff1", linewidth=0.8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.set_title(title, loc="left", fontsize=12, color=_INK, pad=20)
    whole = summary.tally()
    told = f"{whole.offered:,} requests, {100 * whole.error_rate:.2g}% of them without a good answer"
    if not all(figures.kept_up for figures in summary.stages):
        told += "; circled: stages that were not followed"
    axes.annotate(told, (0, 1.015), xycoords="axes fraction", va="bottom", fontsize=8.5, color="#5d6d7e")
    axes.legend(frameon=False, fontsize=8.5, ncols=3, loc="lower right", bbox_to_anchor=(1.01, 1.03), handletextpad=0.4)
