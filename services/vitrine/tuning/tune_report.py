"""What `vitrine tune` found, for people and for machines."""

from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from vitrine.tuning.frontier import Point, closest, frontier
from vitrine.tuning.tune_job import TargetNotReached, Tuned
from vitrine.tuning.tuner import Checked


def failure_of(tuned: Tuned) -> TargetNotReached | None:
    """What to end with when nothing was chosen, with the closest point; None when something was."""
    if tuned.chosen is not None:
        return None
    target, own = tuned.request.target, [point for point in tuned.points if point.own]
    if tuned.checked:
        last = tuned.checked[-1]
        told = (
            f"{last.point.label} met the target with the tuning queries and not with the held-out ones, where its "
            f"recall is {last.recall:.3f} and its p99 {last.p99_ms:.1f} ms"
        )
    else:
        best = closest(own, target.recall, target.p99_ms)
        told = f"the closest is {best.label}, recall {best.recall:.3f} (at least {best.least_recall:.3f})"
        told += f" at a p99 of {best.p99_ms:.1f} ms"
    built = f" A copy with {tuned.build.point.label} meets it." if tuned.build is not None else ""
    return TargetNotReached(
        f"No search setting of {tuned.collection.name} reaches recall@{target.k} {target.recall:g} within "
        f"{target.p99_ms:g} ms: {told}. Nothing was changed.{built}",
        collection=tuned.collection.name,
        recall=target.recall,
        p99_ms=target.p99_ms,
    )


def print_tuned(console: Console, tuned: Tuned) -> None:
    """Every point by rising recall, what the held-out queries said, and what became of it."""
    info, target, (tuning, held_out) = tuned.collection, tuned.request.target, tuned.queries
    console.print(
        f"[bold]{info.name}[/]: {info.index.index_type}, {info.rows:,} x {info.dimension}. Queries: {tuned.asked}, "
        f"{tuning} to choose with and {held_out} held out.",
        highlight=False,
    )
    best = frontier(tuned.points)
    table = Table(box=box.SIMPLE_HEAD, show_edge=False)
    table.add_column("search settings")
    for heading in (f"recall@{target.k}", "at least (95%)", "p50 ms", "p99 ms", "target"):
        table.add_column(heading, justify="right")
    chosen = None if tuned.chosen is None else tuned.chosen.point
    for point in sorted(tuned.points, key=lambda one: (not one.own, one.label if not one.own else "", one.recall)):
        style = "bold green" if point == chosen else ("" if point in best else "dim")
        table.add_row(*_cells(point, target.recall, target.p99_ms, info.index == point.index), style=style)
    console.print("", table, "", sep="\n")
    for one in tuned.checked:
        console.print(_verdict(one, held_out), highlight=False)
    for note in tuned.notes:
        console.print(f"[yellow]{note}[/]", highlight=False)
    if tuned.build is not None:
        label, searched = tuned.build.point.label, tuned.build.point.p50_ms
        console.print(
            f"Quicker: {label}, p50 {searched:.1f} ms. Build a collection with that index and promote it.",
            highlight=False,
        )
    if chosen is not None:
        done = "is now the default of its searches" if tuned.written else "would become the default (dry run)"
        console.print(f"[bold green]{chosen.label}[/] {done}.", highlight=False)


def _cells(point: Point, recall: float, p99_ms: float, present: bool) -> list[str]:
    reasons = [
        *(["recall"] if point.least_recall < recall else []),
        *(["latency"] if point.p99_ms > p99_ms else []),
    ]
    return [
        f"{point.label}{' (present)' if present and point.own else ''}",
        f"{point.recall:.4f}",
        f"{point.least_recall:.4f}",
        f"{point.p50_ms:.2f}",
        f"{point.p99_ms:.2f}",
        "met" if not reasons else f"misses {' and '.join(reasons)}",
    ]


def _verdict(one: Checked, held_out: int) -> str:
    return (
        f"{one.point.label}: recall {one.point.recall:.4f} with the tuning queries, [bold]{one.recall:.4f}[/] "
        f"(at least {one.least_recall:.4f}) with {held_out} held out, p99 {one.p99_ms:.2f} ms: "
        f"{'it holds' if one.holds else 'it does not hold'}."
    )


def as_json(tuned: Tuned) -> dict[str, Any]:
    """The same for machines."""
    request, best = tuned.request, frontier(tuned.points)
    return {
        "collection": tuned.collection.name,
        "target": {"recall": request.target.recall, "p99_ms": request.target.p99_ms, "k": request.target.k},
        "queries": {"asked": tuned.asked, "tuning": tuned.queries[0], "held_out": tuned.queries[1]},
        "before": tuned.collection.index.search_settings(),
        "points": [{**_point_json(point), "on_frontier": point in best} for point in tuned.points],
        "checked": [_checked_json(one) for one in tuned.checked],
        "chosen": None if tuned.chosen is None else _checked_json(tuned.chosen),
        "build": None if tuned.build is None else _checked_json(tuned.build),
        "notes": tuned.notes,
        "written": tuned.written,
    }


def _point_json(point: Point) -> dict[str, Any]:
    return {
        "index": point.index.describe(),
        "own": point.own,
        "recall": round(point.recall, 5),
        "least_recall": round(point.least_recall, 5),
        "p50_ms": round(point.p50_ms, 3),
        "p99_ms": round(point.p99_ms, 3),
    }


def _checked_json(one: Checked) -> dict[str, Any]:
    return {
        "search_params": one.point.index.search_settings(),
        "index": one.point.index.describe(),
        "recall": round(one.point.recall, 5),
        "held_out_recall": round(one.recall, 5),
        "held_out_least_recall": round(one.least_recall, 5),
        "p99_ms": round(one.p99_ms, 3),
        "holds": one.holds,
    }
