"""`vitrine recall`: what share of the true neighbours an index finds, how fast, and in how much memory."""

import asyncio
import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from vitrine.settings import read_settings
from vitrine.tuning.telling import told


def register(app: typer.Typer) -> None:
    """Adds `recall`."""
    app.command("recall")(recall)


def recall(
    collection: Annotated[str, typer.Argument(help="Alias or collection.")],
    index: Annotated[
        list[str] | None,
        typer.Option(help="Settings to compare, such as hnsw:ef=128 or ivf_pq:m=64,nprobe=64; can be repeated."),
    ] = None,
    build: Annotated[
        bool, typer.Option("--build", help="Make copies of the collection for indexes that it does not have.")
    ] = False,
    text_queries: Annotated[Path | None, typer.Option(help="File of texts, one a line; by default titles.")] = None,
    queries: Annotated[int, typer.Option(help="Queries of each kind: texts and pictures.")] = 200,
    rounds: Annotated[int, typer.Option(help="How often each query is timed.")] = 3,
    max_minutes: Annotated[float, typer.Option(help="The longest that all of it may take.")] = 30.0,
    json_wanted: Annotated[bool, typer.Option("--json", help="Print what was measured as JSON.")] = False,
) -> None:
    """Measure recall@10 and @100 against exact search, latency and memory of index settings, side by side."""
    from vitrine.tuning.recall import RecallRequest, run_recall
    from vitrine.tuning.recall_report import as_json, print_recall

    request = RecallRequest(
        collection=collection,
        indexes=tuple(index or ()),
        build=build,
        texts=text_queries,
        queries=queries,
        rounds=rounds,
        max_minutes=max_minutes,
    )
    with told(Console(stderr=True)) as on_progress:
        report = asyncio.run(run_recall(request, read_settings(), on_progress))
    if json_wanted:
        typer.echo(json.dumps(as_json(report), indent=2))
    else:
        print_recall(Console(), report)
