"""`vitrine evaluate`: is what the running stack finds what was asked for?"""

import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from vitrine.client import Client
from vitrine.demo.asking import ask_all, stocked_products
from vitrine.demo.composed import composed_queries
from vitrine.demo.evaluation import Outcome, Report, name_of, summarise
from vitrine.demo.queries import DEPTH, image_queries, text_queries
from vitrine.settings import read_settings

_EXIT_BELOW = 1


def register(app: typer.Typer) -> None:
    """Adds `evaluate`."""
    app.command("evaluate")(evaluate)


def evaluate(
    catalogue: Annotated[
        Path | None, typer.Option(help="Folder of the demo catalogue that is indexed; by default the stack's own.")
    ] = None,
    collection: Annotated[str, typer.Option(help="Collection or alias; by default the gateway's own.")] = "",
    url: Annotated[str, typer.Option(help="The gateway's address; by default the local one.")] = "",
    queries: Annotated[int, typer.Option(min=1, max=10_000, help="Text queries to ask.")] = 200,
    pictures: Annotated[int, typer.Option(min=0, max=1_000, help="Image queries to ask.")] = 60,
    composed: Annotated[int, typer.Option(min=0, max=1_000, help="Queries of each composed kind to ask.")] = 40,
    seed: Annotated[int, typer.Option(help="Which queries: the same seed asks the same ones.")] = 0,
    concurrency: Annotated[int, typer.Option(min=1, max=64, help="Queries in flight at once.")] = 4,
    timeout_ms: Annotated[int, typer.Option(min=1, help="Deadline of one query.")] = 5_000,
    as_json: Annotated[bool, typer.Option("--json", help="Print figures for machines.")] = False,
    fail_under: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Exit with status 1 if the mean of text or of image queries is lower."),
    ] = None,
    composed_fail_under: Annotated[
        float, typer.Option(min=0, max=1, help="With --fail-under: also if a composed kind's mean is lower than this.")
    ] = 0.8,
) -> None:
    """Ask the running gateway queries whose right answers are known, and print precision@10 by kind of query."""
    settings = read_settings()
    gateway = settings.gateway
    products = stocked_products(catalogue or settings.local.demo_catalogue)
    questions = [
        *text_queries(products, count=queries, seed=seed),
        *image_queries(products, count=pictures, seed=seed),
        *composed_queries(products, count=composed, seed=seed),
    ]
    console = Console(stderr=as_json)
    address = url or f"http://{gateway.host}:{gateway.port}"
    with (
        Client(address, timeout_s=timeout_ms / 1000 + 5) as client,
        Progress(console=console, transient=True) as progress,
    ):
        task = progress.add_task("Asking", total=len(questions))
        outcomes = ask_all(
            client,
            collection or gateway.default_collection,
            questions,
            concurrency=concurrency,
            timeout_ms=timeout_ms,
            on_answer=lambda: progress.advance(task),
        )
    report = summarise(outcomes)
    if as_json:
        typer.echo(json.dumps({**report.as_json(), "p50_ms": _median(outcomes)}, indent=2))
    else:
        console.print(table_of(report))
        console.print(f"Median time of a query, {concurrency} in flight: {_median(outcomes):.1f} ms")
    if fail_under is not None and not report.meets(fail_under, composed_fail_under):
        complaint = f"precision@{DEPTH} is under {fail_under}, or under {composed_fail_under} for a composed kind"
        Console(stderr=True).print(f"[bold red]{complaint}[/]", highlight=False)
        raise typer.Exit(_EXIT_BELOW)


def table_of(report: Report) -> Table:
    """A report as people read it."""
    table = Table(title=f"Precision@{DEPTH} by kind of query")
    table.add_column("Kind", no_wrap=True)
    for column in ("Queries", f"P@{DEPTH}", "First part alone", "Flawless"):
        table.add_column(column, justify="right")
    table.add_column("Worst query")
    for row in report.rows:
        worst = f"{row.worst.precision:.1f}  {name_of(row.worst.query)}" if row.worst.precision < 1 else ""
        alone = "" if row.alone is None else f"{row.alone:.3f}"
        figures = (str(row.queries), f"{row.precision:.3f}", alone, str(row.flawless))
        table.add_row(row.kind, *figures, escape(worst))
    table.add_section()
    for name, mean in (("all text queries", report.text), ("all image queries", report.image)):
        if mean is not None:
            table.add_row(f"[bold]{name}[/]", "", f"[bold]{mean:.3f}[/]", "", "", "")
    return table


def _median(outcomes: Sequence[Outcome]) -> float:
    return statistics.median(outcome.took_ms for outcome in outcomes)
