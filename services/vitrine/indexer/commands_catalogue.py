"""The verbs about a catalogue on its own: `catalogue check`."""

import asyncio
import json
import signal
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from vitrine.indexer.display import log_to, open_display
from vitrine.settings import read_settings


def register(app: typer.Typer) -> None:
    """Adds `catalogue`."""
    catalogue = typer.Typer(name="catalogue", help="Look at a catalogue before indexing it.", no_args_is_help=True)
    catalogue.callback()(_catalogue)
    catalogue.command("check")(check)
    app.add_typer(catalogue)


def check(
    folder: Annotated[Path, typer.Argument(help="Folder with the catalogue's file and pictures.")],
    mapping: Annotated[str, typer.Option(help="The catalogue's mapping: a TOML file, or hm, which ships.")] = "hm",
    limit: Annotated[int | None, typer.Option(min=1, help="Read only this many records.")] = None,
    rejects: Annotated[Path | None, typer.Option(help="CSV of what would be rejected.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON on standard output.")] = False,
) -> None:
    """Read and decode everything, write nothing, and say what an index run would reject."""
    from vitrine.indexer.check import check_catalogue

    settings = read_settings()
    terminal = Console(stderr=True)
    log_to(terminal, settings.telemetry.log_level)
    with open_display(terminal) as display:
        try:
            summary = asyncio.run(
                check_catalogue(folder, mapping, settings.images, display, limit=limit, rejects=rejects)
            )
        except asyncio.CancelledError:
            # The second Ctrl-C.
            raise KeyboardInterrupt from None
    if as_json:
        typer.echo(json.dumps(summary.as_json(), indent=2))
    else:
        summary.print(Console())
    if summary.failure is not None:
        raise summary.failure
    if summary.interrupted:
        raise typer.Exit(128 + signal.Signals[summary.interrupted])


def _catalogue() -> None:
    """Keeps `check` a verb of its own: typer would fold a single command into its group."""
