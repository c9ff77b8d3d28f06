"""The figures of `vitrine recall`, for people and as JSON."""

from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from vitrine.tuning.queries import QueryKind
from vitrine.tuning.recall import KS, Compared, RecallReport

_MIB = 1024 * 1024


def setting_of(index_type: str, settings: dict[str, Any]) -> str:
    """A kind and its settings in one line."""
    return " ".join([index_type, *(f"{name}={value}" for name, value in settings.items())])


def print_recall(console: Console, report: RecallReport) -> None:
    """Prints a table and what its figures are."""
    info = report.collection
    kinds = list(report.counts)
    table = Table(title=f"{info.name}: {info.rows} vectors of {info.dimension}", title_justify="left")
    table.add_column("index", overflow="fold")
    for kind in kinds:
        for k in KS:
            table.add_column(f"{kind.value}\nrecall@{k}", justify="right")
    for name in ("p50\nms", "p99\nms", "memory\nMiB"):
        table.add_column(name, justify="right")
    for one in report.compared:
        table.add_row(*_cells(one, kinds))
    console.print(table)
    console.soft_wrap = True
    asked = "; ".join(f"{report.counts[kind]} {kind.value} queries: {report.queries[kind]}" for kind in kinds)
    console.print(f"{escape(asked)}. Recall is against exact search.", highlight=False)
    timed = _timed(report)
    console.print(
        f"Latency is of {timed.value} queries, one search at a time. Memory is computed (docs/sizing.md), of the "
        "index alone. * built on a copy of the collection.",
        highlight=False,
    )
    for note in report.notes:
        console.print(f"[yellow]note:[/] {escape(note)}", highlight=False)


def as_json(report: RecallReport) -> dict[str, Any]:
    """The same figures for machines; percentiles in milliseconds, memory in bytes."""
    info, timed = report.collection, _timed(report)
    return {
        "collection": info.name,
        "rows": info.rows,
        "dimension": info.dimension,
        "queries": {kind.value: {"count": report.counts[kind], "of": report.queries[kind]} for kind in report.counts},
        "latency_of": timed.value,
        "memory": "computed",
        "compared": [
            {
                "index": one.index.describe(),
                "built": one.built,
                "recall": {
                    kind.value: {str(k): measured.recall(k) for k in KS} for kind, measured in one.measured.items()
                },
                "p50_ms": one.measured[timed].latency_ms(50),
                "p99_ms": one.measured[timed].latency_ms(99),
                "searches": int(one.measured[timed].latencies_ms.size),
                "memory_bytes": round(one.memory_bytes),
            }
            for one in report.compared
        ],
        "notes": list(report.notes),
    }


def _timed(report: RecallReport) -> QueryKind:
    return QueryKind.TEXT if QueryKind.TEXT in report.counts else QueryKind.IMAGE


def _cells(one: Compared, kinds: list[QueryKind]) -> Iterator[str]:
    settings = dict(one.index.settings())
    yield setting_of(one.index.index_type, settings) + (" *" if one.built else "")
    for kind in kinds:
        for k in KS:
            yield f"{one.measured[kind].recall(k):.3f}"
    timed = one.measured[kinds[0]]
    yield f"{timed.latency_ms(50):.1f}"
    yield f"{timed.latency_ms(99):.1f}"
    yield f"{one.memory_bytes / _MIB:.1f}"
