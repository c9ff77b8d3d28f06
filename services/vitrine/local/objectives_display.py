"""The objectives for a person: a table of shares, and a line for each alert."""

from typing import Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from vitrine.local.objectives import GOALS, RECALL_TARGET, WINDOWS, Alert, Goal, Objectives, Standing

_UNKNOWN: Final = "-"
_COLOURS: Final = {"firing": "red", "pending": "yellow"}


def print_objectives(console: Console, now: Objectives) -> None:
    """Prints them; windows that lack data show a dash."""
    table = Table("objective", "goal", *WINDOWS, "burn 5m", "burn 1h", "budget left, 30d", box=None)
    for goal, standing in zip(GOALS, now.standings, strict=True):
        table.add_row(*_row(goal, standing))
    console.print(table)
    console.print(_rates(now))
    for alert in now.alerts:
        console.print(_alert(alert))
    if not now.alerts:
        console.print("no alert is pending or firing")


def _row(goal: Goal, standing: Standing) -> list[str]:
    shares = [_coloured(standing.good.get(window), 1 - goal.budget) for window in WINDOWS]
    burns = [_number(standing.burn.get(window), "{:.1f}") for window in ("5m", "1h")]
    return [goal.meaning, f"{1 - goal.budget:.1%}", *shares, *burns, _coloured(standing.budget_left, 0.0)]


def _coloured(share: float | None, least: float) -> str:
    if share is None:
        return _UNKNOWN
    # A share is cut and not rounded: what is under its goal must not be shown as reaching it.
    text = f"{int(share * 10_000) / 100:.2f}%"
    return text if share >= least else f"[red]{text}[/]"


def _rates(now: Objectives) -> str:
    if now.searches_per_s is None:
        return "no search was seen yet"
    p50, p99 = (_number(None if one is None else one * 1000, "{:.1f} ms") for one in (now.p50_s, now.p99_s))
    recall = "unknown" if now.recall is None else f"{now.recall:.3f} (target {RECALL_TARGET})"
    return f"5 minutes: {now.searches_per_s:.1f} searches/s, p50 {p50}, p99 {p99}; live recall {recall}"


def _number(value: float | None, form: str) -> str:
    return _UNKNOWN if value is None else form.format(value)


def _alert(alert: Alert) -> str:
    colour = _COLOURS.get(alert.state, "default")
    return f"[{colour}]{alert.state}[/] {alert.name} ({alert.severity}): {escape(alert.summary)}"
