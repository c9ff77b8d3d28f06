"""The verbs about a catalogue indexed in shards: `index finish` and `index report`."""

import asyncio
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from vitrine.errors import InvalidInput
from vitrine.indexer.display import log_to, open_display
from vitrine.settings import read_settings

if TYPE_CHECKING:  # they import Milvus's client
    from vitrine.indexer.shards.report import MergedReport

_Collection = Annotated[str, typer.Option(help="Alias that readers search.")]
_Ledger = Annotated[Path | None, typer.Option(help="Folder that the shards share; by default the one in .vitrine.")]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]


def register(group: typer.Typer) -> None:
    """Adds `finish` and `report`."""
    group.command("finish")(finish)
    group.command("report")(report)


def finish(
    collection: _Collection,
    shards: Annotated[int, typer.Option(min=1, help="How many shards there are.")],
    round_name: Annotated[
        str, typer.Option("--round", help="The round that is meant; by default the one all shards are of.")
    ] = "",
    wait: Annotated[float, typer.Option(min=0.0, help="Seconds to wait for shards that have not ended well.")] = 0.0,
    ledger: _Ledger = None,
    as_json: _Json = False,
) -> None:
    """Wait for all shards, add up what they did, count it in Milvus, and let readers see it. Safe to repeat."""
    from vitrine.indexer.shards.finishing import FinishRequest
    from vitrine.indexer.shards.finishing import finish as finish_shards

    settings = read_settings()
    terminal = Console(stderr=True)
    log_to(terminal, settings.telemetry.log_level)
    request = FinishRequest(collection, shards, round_name, ledger, wait)
    with open_display(terminal) as display:
        done = asyncio.run(finish_shards(request, settings, display))
    if as_json:
        typer.echo(json.dumps(done.as_json(), indent=2))
        return
    console = Console()
    _print(console, done.merged)
    seen = f"{collection} shows it" if done.live else f"`vitrine promote {collection} --to {done.collection}` shows it"
    console.print(f"{done.collection} holds {done.rows} products; {seen}.", highlight=False)


def report(
    collection: _Collection,
    shards: Annotated[
        int | None, typer.Option(min=1, help="How many shards there are; by default, of the newest report.")
    ] = None,
    ledger: _Ledger = None,
    as_json: _Json = False,
) -> None:
    """What every shard of a collection did, all of them together, and which are missing or failed."""
    from vitrine.indexer.ledger_files import LedgerFolder
    from vitrine.indexer.shards.finishing import read_reports
    from vitrine.indexer.target import require_alias

    require_alias(collection)
    folder = LedgerFolder.of(read_settings(), ledger)
    count = shards or folder.newest_shards(collection)
    if count is None:
        raise InvalidInput(f"No shard of {collection} left a report in {folder.path}.")
    merged = read_reports(folder, collection, count)
    if as_json:
        typer.echo(json.dumps(merged.as_json(), indent=2))
    else:
        _print(Console(), merged)


def _print(console: Console, merged: "MergedReport") -> None:
    columns = ("read", "written", "unchanged", "rejected", "deleted", "expected")
    table = Table()
    table.add_column("shard")
    for name in columns:
        table.add_column({"read": "answers for", "expected": "in collection"}.get(name, name), justify="right")
    table.add_column("state")
    table.add_column("ended (UTC)")
    for number, one in enumerate(merged.reports, start=1):
        if one is None:
            table.add_row(f"{number}/{merged.shards}", *("" for _ in columns), "no report", "")
            continue
        figures = {**one.counts, "expected": one.expected}
        figures["read"] = figures.get("read", 0) - figures.get("elsewhere", 0)
        ended = "" if one.ended is None else time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(one.ended))
        table.add_row(one.shard, *(str(figures.get(name, 0)) for name in columns), one.state, ended)
    total = merged.total()
    table.add_row("all", *(str(total[name]) for name in columns), style="bold")
    console.print(table)
    for code, count in merged.rejected_by_reason().items():
        console.print(f"{code}: {count}", style="dim", highlight=False)
    for problem in merged.problems():
        console.print(problem, style="yellow", highlight=False, soft_wrap=True)
