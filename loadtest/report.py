"""What a run leaves behind, beside Locust's own pages: a table of thresholds, a JSON summary and a picture."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from loadtest.record import Tally
from loadtest.report_picture import draw
from loadtest.summary import LAG_WARNING_MS, Summary
from loadtest.thresholds import Check

HTML: Final = "report.html"
CSV_PREFIX: Final = "statistics"
JSON: Final = "summary.json"
PICTURE: Final = "throughput-latency.png"


def write_report(folder: Path, told: dict[str, Any], summary: Summary, checks: Sequence[Check]) -> None:
    """Writes the summary and the picture.

    Args:
        folder: is made where it is missing.
        told: what the run was, put in front of its figures.
        summary: its figures.
        checks: its thresholds.
    """
    folder.mkdir(parents=True, exist_ok=True)
    thresholds = [
        {"where": c.where, "what": c.what, "limit": c.limit, "measured": c.measured, "held": c.held} for c in checks
    ]
    figures = {**told, "held": all(c.held for c in checks), "thresholds": thresholds, **summary.as_json()}
    (folder / JSON).write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    draw(summary, f"{told['shape']} on {told['host']}", folder / PICTURE)


def report_lines(summary: Summary, checks: Sequence[Check]) -> Iterator[str]:
    """For people: stages, endpoints, errors, thresholds."""
    yield from _table(
        "stage", [(figures.stage.name, figures.tally) for figures in summary.stages], _stage_rates(summary)
    )
    yield ""
    rows = [(name, summary.tally(endpoint=name)) for name in summary.endpoints()]
    yield from _table("endpoint", [*rows, ("all", summary.tally())])
    yield "Latencies in ms, of good answers, from when a request was due."
    if summary.record.errors:
        yield ""
        yield from (f"{count:7d} x {error}" for error, count in summary.record.errors.most_common(10))
    knee = summary.knee()
    if knee is not None:
        yield f"\nThe knee: {knee.throughput:.1f} requests/s, in {knee.stage.name}."
    lag_ms = summary.lag_ms()
    if lag_ms is not None and lag_ms > LAG_WARNING_MS:
        yield f"\nThe load generator itself was {lag_ms:.0f} ms late at p99: give it more processor time or workers."
    if checks:
        yield ""
        yield f"{'threshold':14} {'':30} {'limit':>10} {'measured':>10}"
        yield from map(_threshold_line, checks)


def _threshold_line(check: Check) -> str:
    measured = "nothing" if check.measured is None else f"{check.measured:.4g}"
    return f"{check.where:14} {check.what:30} {check.limit:>10.4g} {measured:>10}  {'held' if check.held else 'BROKEN'}"


def _stage_rates(summary: Summary) -> list[str]:
    return [f"{f.offered_rate:9.1f} {f.throughput:9.1f} {f.goodput:9.1f}" for f in summary.stages]


def _table(title: str, rows: Sequence[tuple[str, Tally]], rates: Sequence[str] = ()) -> Iterator[str]:
    counted = f"{'offered':>8} {'failed':>7} {'refused':>8} {'dropped':>8} {'p50':>8} {'p95':>8} {'p99':>8}"
    yield f"{title:26} {counted} {'offered/s  answered   goodput' if rates else ''}".rstrip()
    for number, (name, tally) in enumerate(rows):
        of, percentiles = tally.outcomes, (tally.latency.percentile(p) for p in (50, 95, 99))
        counts = f"{tally.offered:8d} {of['failed']:7d} {of['refused']:8d} {of['dropped']:8d}"
        latencies = " ".join(f"{'-' if ms is None else f'{ms:.1f}':>8}" for ms in percentiles)
        yield f"{name:26} {counts} {latencies} {rates[number] if rates else ''}".rstrip()
