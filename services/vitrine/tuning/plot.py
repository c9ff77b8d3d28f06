"""Recall and latency of what `vitrine tune` measured, as a picture."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

from vitrine.errors import InvalidInput
from vitrine.tuning.frontier import frontier
from vitrine.tuning.tune_job import Tuned

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_INK: Final = "#22313f"
_ACCENT: Final = "#c8553d"
_CALM: Final = "#3d6b8c"
_PALE: Final = "#b9c4cc"
_MET: Final = "#e6f0ea"
_SUFFIXES: Final = (".png", ".svg", ".pdf")


def check_plot_path(path: Path) -> None:
    """Raises InvalidInput: no picture can be written there, told before anything is measured."""
    if path.suffix.lower() not in _SUFFIXES:
        raise InvalidInput(f"A plot is written as {', '.join(_SUFFIXES)}, not as {path.name!r}.")
    if not path.absolute().parent.is_dir():
        raise InvalidInput(f"There is no folder {path.absolute().parent} to write the plot to.")


def draw(tuned: Tuned, path: Path) -> None:
    """Writes the frontier, the points it dominates, the target and the choice.

    Raises:
        InvalidInput: the file cannot be written.
    """
    # Takes half a second to import, and only this verb draws. The canvas is Agg's: no screen is asked for.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5.6), dpi=160, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    _draw_target(axes, tuned)
    _draw_points(axes, tuned)
    _label(axes, tuned)
    try:
        figure.savefig(path)
    except OSError as error:
        raise InvalidInput(f"The plot cannot be written to {path}: {error.strerror}.") from error


def _draw_target(axes: "Axes", tuned: Tuned) -> None:
    target = tuned.request.target
    latencies = [point.p99_ms for point in tuned.points]
    recalls = [point.least_recall for point in tuned.points]
    low, high = min(*recalls, target.recall), 1.0
    margin = max(0.01, 0.08 * (high - low))
    axes.set_xlim(low - margin, high + margin)
    axes.set_yscale("log")
    axes.set_ylim(min(*latencies, target.p99_ms) / 1.4, max(*latencies, target.p99_ms) * 1.5)
    bottom = axes.get_ylim()[0]
    axes.fill_between([target.recall, high + margin], bottom, target.p99_ms, color=_MET, zorder=0)
    axes.axvline(target.recall, color=_INK, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
    axes.axhline(target.p99_ms, color=_INK, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
    axes.annotate(
        f"target: recall@{target.k} ≥ {target.recall:g} within {target.p99_ms:g} ms",
        (low - margin, target.p99_ms),
        xytext=(6, 4),
        textcoords="offset points",
        fontsize=8.5,
        color=_INK,
    )


def _draw_points(axes: "Axes", tuned: Tuned) -> None:
    best = frontier(tuned.points)
    chosen = None if tuned.chosen is None else tuned.chosen.point
    dominated = [point for point in tuned.points if point not in best]
    axes.plot([point.recall for point in best], [point.p99_ms for point in best], color=_CALM, linewidth=1.6, zorder=2)
    for points, colour, size, name in (
        (dominated, _PALE, 26, "dominated"),
        ([point for point in best if point != chosen], _CALM, 42, "frontier"),
    ):
        axes.scatter(
            [point.recall for point in points],
            [point.p99_ms for point in points],
            s=size,
            color=colour,
            edgecolor="white",
            linewidth=0.7,
            zorder=3,
            label=name,
        )
    # The lower end of each recall's interval, which is what the target is held against.
    for point in best:
        axes.plot([point.least_recall, point.recall], [point.p99_ms] * 2, color=_CALM, linewidth=0.9, alpha=0.7)
    if chosen is not None:
        axes.scatter(
            [chosen.recall],
            [chosen.p99_ms],
            s=210,
            marker="*",
            color=_ACCENT,
            edgecolor="white",
            zorder=5,
            label="chosen",
        )
    present = [point for point in tuned.points if point.own and point.index == tuned.collection.index]
    axes.scatter(
        [point.recall for point in present],
        [point.p99_ms for point in present],
        s=120,
        facecolor="none",
        edgecolor=_INK,
        linewidth=0.9,
        zorder=4,
        label="present default",
    )
    # Above and to the left of its point a label stands clear of the line, which rises to the right.
    for point in best:
        axes.annotate(
            point.label,
            (point.recall, point.p99_ms),
            xytext=(-7, 6),
            textcoords="offset points",
            ha="right",
            va="bottom",
            fontsize=8.5,
            color=_ACCENT if point == chosen else _INK,
            fontweight="bold" if point == chosen else "normal",
        )


def _label(axes: "Axes", tuned: Tuned) -> None:
    info, (tuning, held_out) = tuned.collection, tuned.queries
    axes.set_xlabel(f"recall@{tuned.request.target.k}, mean over {tuning} queries; line to the lower 95% bound")
    axes.set_ylabel("p99 latency, ms, one search at a time")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("{x:g}")
    axes.tick_params(which="both", labelsize=8, colors=_INK)
    axes.grid(which="major", color="#eceff1", linewidth=0.8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    title = f"{info.name}: {info.index.index_type}, {info.rows:,} x {info.dimension}"
    axes.set_title(title, loc="left", fontsize=12, color=_INK, pad=20)
    told = f"queries: {tuned.asked}"
    if tuned.chosen is not None:
        told += f"; {held_out} held-out queries: recall {tuned.chosen.recall:.3f}, p99 {tuned.chosen.p99_ms:.1f} ms"
    axes.annotate(told, (0, 1.015), xycoords="axes fraction", va="bottom", fontsize=8.5, color="#5d6d7e")
    axes.legend(frameon=False, fontsize=8.5, ncols=4, loc="lower right", bbox_to_anchor=(1.01, 1.03), handletextpad=0.2)
