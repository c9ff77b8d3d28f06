"""`vitrine tune`: search settings that reach a recall within a latency, made the collection's defaults."""

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from vitrine.errors import InvalidInput
from vitrine.settings import read_settings
from vitrine.tuning.telling import told

if TYPE_CHECKING:
    from vitrine.tuning.queries import QueryKind


def register(app: typer.Typer) -> None:
    """Adds `tune`."""
    app.command("tune")(tune)


def tune(
    collection: Annotated[str, typer.Argument(help="Alias or collection.")],
    recall: Annotated[float, typer.Option(help="Least mean recall@k, with 95% confidence.")] = 0.95,
    p99_ms: Annotated[float, typer.Option(help="Longest p99 of one search at a time, in milliseconds.")] = 20.0,
    k: Annotated[int, typer.Option(help="Hits of each search.")] = 10,
    text_queries: Annotated[Path | None, typer.Option(help="File of texts, one a line; by default titles.")] = None,
    query_kind: Annotated[
        str | None, typer.Option(help="text or image; by default texts where Triton answers, else pictures.")
    ] = None,
    queries: Annotated[int, typer.Option(help="Queries; half of them check what the others chose.")] = 400,
    build: Annotated[
        list[str] | None,
        typer.Option(help="Also try this index on a copy of the collection: hnsw:M=32; can be repeated."),
    ] = None,
    max_builds: Annotated[int, typer.Option(help="The most such copies, one after the other.")] = 4,
    max_minutes: Annotated[float, typer.Option(help="The longest that all of it may take.")] = 20.0,
    plot: Annotated[Path | None, typer.Option(help="Draw the frontier: a PNG, SVG or PDF.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change nothing.")] = False,
    json_wanted: Annotated[bool, typer.Option("--json", help="Print what was found as JSON.")] = False,
) -> None:
    """Find the least search settings that reach a recall within a latency, and make them the collection's defaults."""
    from vitrine.tuning.plot import check_plot_path, draw
    from vitrine.tuning.tune_job import TuneRequest, run_tune
    from vitrine.tuning.tune_report import as_json, failure_of, print_tuned
    from vitrine.tuning.tuner import Target
    from vitrine.tuning.written import parse_written

    request = TuneRequest(
        collection=collection,
        target=Target(recall, p99_ms, k),
        queries=queries,
        kind=_kind(query_kind),
        texts=text_queries,
        builds=tuple(parse_written(text) for text in build or ()),
        max_builds=max_builds,
        max_minutes=max_minutes,
        dry_run=dry_run,
    )
    if plot is not None:
        check_plot_path(plot)
    terminal = Console(stderr=True)
    with told(terminal) as on_progress:
        tuned = asyncio.run(run_tune(request, read_settings(), on_progress))
    if plot is not None:
        draw(tuned, plot)
    if json_wanted:
        typer.echo(json.dumps(as_json(tuned), indent=2))
    else:
        print_tuned(Console(), tuned)
    failure = failure_of(tuned)
    if failure is not None:
        raise failure


def _kind(name: str | None) -> "QueryKind | None":
    from vitrine.tuning.queries import QueryKind

    if name is None:
        return None
    try:
        return QueryKind(name)
    except ValueError:
        kinds = ", ".join(QueryKind)
        raise InvalidInput(f"Queries are of one of the kinds {kinds}, not {name!r}.", known=list(QueryKind)) from None
