"""The verbs that look at ledgers: `index status` and `index why`."""

import asyncio
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from vitrine.settings import read_settings

if TYPE_CHECKING:  # they import Milvus's client
    from vitrine.indexer.diagnosis.status import CollectionStatus, LedgerStatus
    from vitrine.indexer.diagnosis.why import Answer

_Ledger = Annotated[Path | None, typer.Option(help="Ledger, or folder of ledgers; by default the one in .vitrine.")]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]


def register(group: typer.Typer) -> None:
    """Adds `status` and `why`."""
    group.command("status")(status)
    group.command("why")(why)


def status(
    collection: Annotated[str, typer.Argument(help="Alias, or name of a collection.")],
    ledger: _Ledger = None,
    compare_ids: Annotated[
        bool, typer.Option("--compare-ids", help="List every id in Milvus and compare it with the ledgers.")
    ] = False,
    as_json: _Json = False,
) -> None:
    """What the ledgers know of a collection and what Milvus holds; where they differ, the command that mends it."""
    from vitrine.indexer.diagnosis.status_reading import collection_status

    found = asyncio.run(collection_status(collection, read_settings(), ledger=ledger, compare_ids=compare_ids))
    if as_json:
        typer.echo(json.dumps(found.as_json(), indent=2))
    else:
        _print_status(Console(), found)


def why(
    product_id: Annotated[str, typer.Argument(metavar="ID", help="Of the product.")],
    collection: Annotated[str, typer.Option(help="Alias, or name of a collection.")],
    catalogue: Annotated[Path | None, typer.Option(help="Also look into the catalogue in this folder.")] = None,
    mapping: Annotated[str, typer.Option(help="The catalogue's mapping: a TOML file, or hm, which ships.")] = "hm",
    ledger: _Ledger = None,
    as_json: _Json = False,
) -> None:
    """Why is this product missing, stale or doubled?"""
    from vitrine.indexer.diagnosis.why_reading import explain

    answer = asyncio.run(
        explain(product_id, collection, read_settings(), catalogue=catalogue, mapping=mapping, ledger=ledger)
    )
    if as_json:
        typer.echo(json.dumps(answer.as_json(), indent=2))
    else:
        _print_answer(Console(), answer)


def _print_status(console: Console, found: "CollectionStatus") -> None:
    info = found.info
    live = "live" if found.live else "not live"
    console.print(f"{found.alias or info.name} ({info.name}, {live})", style="bold", highlight=False)
    table = Table(show_header=False)
    table.add_row("in Milvus", "not in memory" if found.rows is None else str(found.rows))
    table.add_row("by the ledgers", str(found.expected))
    table.add_row("index", f"{info.index.index_type}, {found.indexed} rows in it")
    table.add_row("model", f"{info.model} ({info.fingerprint[:12]})")
    for part, title in (("rejected", "rejected"), ("stale", "stale, by reason")):
        for reason, count in found.added_up(part).items():
            table.add_row(f"{title}: {reason}", str(count))
    if found.comparison is not None:
        for kind in ("missing", "unknown", "doubled"):
            table.add_row(f"{kind}, id by id", str(getattr(found.comparison, kind)))
    console.print(table)
    for ledger in found.ledgers:
        _print_runs(console, ledger)
    for difference in found.differences:
        console.print(difference.message, style="yellow", highlight=False, soft_wrap=True)
        if difference.command:
            console.print(f"    {difference.command}", highlight=False, markup=False, soft_wrap=True)
    if not found.differences:
        console.print("Nothing differs.", style="green")


def _print_runs(console: Console, ledger: "LedgerStatus") -> None:
    console.print(f"{ledger.path}{' (a run is under way)' if ledger.held else ''}", style="dim", soft_wrap=True)
    table = Table()
    counts = ("read", "written", "unchanged", "rejected", "deleted")
    for name in ("run", "began (UTC)", "ended", *counts):
        table.add_column(name, justify="right" if name in counts else "left")
    for run in ledger.runs:
        began = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(run.began))
        how = run.how or ("under way" if ledger.held and run is ledger.runs[0] else "killed")
        table.add_row(str(run.number), began, how, *(str(run.counts.get(name, "")) for name in counts))
    if ledger.runs:
        console.print(table)


def _print_answer(console: Console, answer: "Answer") -> None:
    facts, verdict = answer.facts, answer.verdict
    console.print(verdict.sentence, style="bold", highlight=False, markup=False, soft_wrap=True)
    if verdict.command:
        console.print(f"    {verdict.command}", highlight=False, markup=False, soft_wrap=True)
    table = Table(show_header=False)
    if facts.milvus is not None:
        shown = f", {facts.milvus.title!r}, {facts.milvus.image_path}" if facts.milvus.rows else ""
        table.add_row("Milvus", f"{facts.milvus.rows} rows in {facts.collection}{shown}")
    for known in facts.ledgers:
        entry = known.entry
        written = "not written" if entry.content_hash is None else f"content {entry.content_hash.hex()[:16]}"
        rejected = f", {entry.rejected_code}: {entry.rejected_message}" if entry.rejected_code else ""
        table.add_row("ledger", f"line {entry.line}, last seen by run {entry.run}, {written}{rejected}")
    if facts.catalogue is not None:
        for line in facts.catalogue.lines:
            told = f"{line.code}: {line.message}" if line.code else f"{line.image} ({facts.catalogue.picture})"
            table.add_row("catalogue", f"line {line.line}, {told}")
        if not facts.catalogue.lines:
            table.add_row("catalogue", f"no line of {facts.catalogue.path}")
    console.print(table)
