"""The verbs about a catalogue on its own: `catalogue check`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from vitrine.indexer.display import log_to, open_display
from vitrine.indexer.ending import run_to_end, tell
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
    no_pictures: Annotated[
        bool, typer.Option("--no-pictures", help="Only see whether pictures are there, do not decode them.")
    ] = False,
    max_rejects: Annotated[
        int | None, typer.Option(min=0, help="Fail when more records would be rejected; by default when all would be.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Read only this many records.")] = None,
    rejects: Annotated[Path | None, typer.Option(help="CSV of what would be rejected.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON on standard output.")] = False,
) -> None:
    """Read and decode everything, write nothing, and say what an index run would reject."""
    from vitrine.indexer.checking.check import CheckRequest, check_catalogue

    settings = read_settings()
    terminal = Console(stderr=True)
    log_to(terminal, settings.telemetry.log_level)
    request = CheckRequest(folder, mapping, not no_pictures, limit, rejects, max_rejects)
    with open_display(terminal, "Checking", "usable") as display:
        report = run_to_end(check_catalogue(request, settings.images, display))
    tell(report, as_json=as_json, resumable=False)


def _catalogue() -> None:
    """Keeps `check` a verb of its own: typer would fold a single command into its group."""
