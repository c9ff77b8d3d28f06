"""`vitrine promote | rollback | retire | collections`: which collection readers see behind an alias."""

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from vitrine.errors import InvalidInput
from vitrine.settings import read_settings

# What speaks to Milvus is imported inside the verbs: `vitrine --help` must not wait for it.
if TYPE_CHECKING:
    from vitrine.promotion.job import Promotion

_Alias = Annotated[str, typer.Argument(help="The name that readers search.")]
_Json = Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")]


def register(app: typer.Typer) -> None:
    """Adds the four verbs."""
    app.command("promote")(promote)
    app.command("rollback")(rollback)
    app.command("retire")(retire)
    app.command("collections")(collections)


def promote(
    alias: _Alias,
    to: Annotated[
        str | None, typer.Option(help="The collection to make live; by default the newest candidate.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Go ahead although gates fail; the lineage says so.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Compare only; move nothing.")] = False,
    queries: Annotated[
        Path | None, typer.Option(help="File of search texts, one a line; by default titles of products.")
    ] = None,
    sample: Annotated[int, typer.Option(min=10, max=10_000, help="How many searches to compare with.")] = 200,
    warm_up: Annotated[int, typer.Option(min=0, max=10_000, help="Searches of each before the first timed.")] = 200,
    min_rows: Annotated[float, typer.Option(help="Least rows, as a share of the live collection's.")] = 0.95,
    min_indexed: Annotated[float, typer.Option(help="Least share of its rows in the index.")] = 1.0,
    min_recall: Annotated[float, typer.Option(help="Least recall@10 against exact search; 0: not measured.")] = 0.9,
    min_overlap: Annotated[float, typer.Option(help="Least share of the live ten best hits that stay.")] = 0.5,
    max_p99_ms: Annotated[float, typer.Option(help="A p99 that is good enough in any case.")] = 50.0,
    max_p99_factor: Annotated[float, typer.Option(help="Else how many times the live p99 it may be.")] = 2.0,
    as_json: _Json = False,
) -> None:
    """Compare a candidate with the live collection and, if every gate lets it, make it live in one step."""
    from vitrine.promotion.gates import GateFailed, GateLimits
    from vitrine.promotion.job import PromoteRequest, run_promote
    from vitrine.promotion.tables import promotion_as_json
    from vitrine.promotion.trying import Sampling

    limits = GateLimits(min_rows, min_indexed, min_recall, min_overlap, max_p99_ms, max_p99_factor)
    request = PromoteRequest(alias, to, limits, Sampling(sample, queries, warm_up), force, dry_run)
    promotion = _shown(lambda waiting: run_promote(request, read_settings(), waiting))
    if as_json:
        typer.echo(json.dumps(promotion_as_json(promotion), indent=2))
    else:
        _tell(promotion)
    if promotion.failed and promotion.moved is None:
        names = ", ".join(gate.name for gate in promotion.failed)
        raise GateFailed(
            f"{promotion.pair.candidate.name} is not made live behind {alias}: {names}. Nothing was moved.",
            gates=[gate.name for gate in promotion.failed],
        )


def rollback(
    alias: _Alias,
    force: Annotated[bool, typer.Option("--force", help="Whatever model is served; it is not asked for.")] = False,
    as_json: _Json = False,
) -> None:
    """Make live again, in one step, what the live collection replaced."""
    from vitrine.promotion.job import run_rollback
    from vitrine.promotion.tables import moved_as_json

    moved = _shown(lambda waiting: run_rollback(alias, read_settings(), waiting, force=force))
    if as_json:
        typer.echo(json.dumps(moved_as_json(moved), indent=2))
    else:
        _say(f"{alias} points at {moved.after} again; it pointed at {moved.before}. Gateways follow within a second.")


def retire(
    name: Annotated[str, typer.Argument(metavar="ALIAS|NAME", help="An alias, or one collection itself.")],
    keep: Annotated[int, typer.Option(min=1, help="How many to keep that a rollback may go back to.")] = 1,
    everything: Annotated[bool, typer.Option("--all", help="Keep none: no rollback is possible then.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be dropped; drop nothing.")] = False,
    as_json: _Json = False,
) -> None:
    """Drop collections that were live behind an alias and are no longer needed; never the live one."""
    from vitrine.promotion.job import find_retired, run_retire

    settings = read_settings()
    infos = asyncio.run(find_retired(name, settings, keep=keep, everything=everything))
    names = [info.name for info in infos]
    if infos and not dry_run:
        _confirm([f"{info.name} ({info.rows} rows)" for info in infos], yes=yes)
        asyncio.run(run_retire(infos, settings))
    if as_json:
        typer.echo(json.dumps({"dropped": [] if dry_run else names, "found": names}, indent=2))
    elif not names:
        _say("There is nothing to drop.")
    else:
        _say(f"{'Would drop' if dry_run else 'Dropped'} {', '.join(names)}.")


def collections(as_json: _Json = False) -> None:
    """Show every collection: whose alias it is of, whether it is live, and what it was built with."""
    from vitrine.promotion.job import list_members
    from vitrine.promotion.tables import collection_table, member_as_json

    family = asyncio.run(list_members(read_settings()))
    if as_json:
        typer.echo(json.dumps([member_as_json(member) for member in family], indent=2))
    elif not family:
        _say("There is no collection yet. `vitrine index` makes one.")
    else:
        Console().print(collection_table(family))


def _shown(work: Any) -> Any:
    """Runs with a display on standard error; `work` is given what to tell its progress."""
    from vitrine.indexer.display import log_to, open_display

    terminal = Console(stderr=True)
    log_to(terminal, read_settings().telemetry.log_level)
    with open_display(terminal) as display:
        return asyncio.run(work(display.waiting))


def _tell(promotion: "Promotion") -> None:
    from vitrine.promotion.tables import gate_table, index_text

    console = Console()
    live, candidate = promotion.pair.live, promotion.pair.candidate
    for what, info in (("live", live), ("candidate", candidate)):
        if info is not None:
            console.print(f"{what:9}  {info.name}  {index_text(info)}  {info.model} {info.fingerprint[:8]}")
    console.print(gate_table(promotion.gates))
    if promotion.queries:
        console.print(f"Searched with {promotion.queries}.", highlight=False)
    if promotion.moved is None:
        return
    forced = ", forced" if promotion.failed else ""
    _say(f"{promotion.alias} points at {candidate.name}{forced}. Gateways follow within a second.")
    if live is not None:
        _say(f"{live.name} stays for `vitrine rollback {promotion.alias}`.")
        if live.fingerprint != candidate.fingerprint:
            _say(f"Gateways that still have the model of {live.name} go on searching it until they are restarted.")


def _confirm(told: list[str], *, yes: bool) -> None:
    """Raises InvalidInput: nobody is there to be asked, or they say no."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise InvalidInput(f"This would drop {', '.join(told)}. Say --yes to go ahead.")
    if not typer.confirm(f"Drop {', '.join(told)}?", err=True):
        raise InvalidInput("Nothing was dropped.")


def _say(sentence: str) -> None:
    Console().print(sentence, highlight=False, markup=False, soft_wrap=True)
