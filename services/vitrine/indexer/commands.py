"""The batch process' verbs: `index` here, what looks at its ledgers and `catalogue` beside it."""

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from vitrine.errors import InvalidInput
from vitrine.indexer.bulk import commands as commands_bulk
from vitrine.indexer.checking import commands as commands_checking
from vitrine.indexer.diagnosis import commands as commands_diagnosis
from vitrine.indexer.display import log_to, open_display
from vitrine.indexer.ending import run_to_end, tell
from vitrine.indexer.index_option import index_of_options
from vitrine.indexer.shards import commands as commands_shards
from vitrine.indexer.shards.sharding import WHOLE, Shard
from vitrine.settings import read_settings

# Milvus's client takes half a second to import: only the verbs that need it do so, inside their functions, or
# `vitrine search` and `vitrine status` would pay for it too.

_Json = Annotated[bool, typer.Option("--json", help="Print the summary as JSON on standard output.")]
_Mapping = Annotated[str, typer.Option(help="The catalogue's mapping: a TOML file, or hm, which ships.")]
_Limit = Annotated[int | None, typer.Option(min=1, help="Read only this many records.")]


def register(app: typer.Typer) -> None:
    """Adds `index`, which is a verb and a group of verbs, `catalogue` and `bulk`."""
    group = typer.Typer(name="index", invoke_without_command=True)
    group.callback()(index)
    commands_diagnosis.register(group)
    commands_shards.register(group)
    app.add_typer(group)
    commands_checking.register(app)
    commands_bulk.register(app)


def index(
    context: typer.Context,
    collection: Annotated[str | None, typer.Option(help="Alias that readers search.")] = None,
    catalogue: Annotated[Path | None, typer.Option(help="Folder with the catalogue's file and pictures.")] = None,
    mapping: _Mapping = "hm",
    index: Annotated[
        str | None, typer.Option(help="Kind of index: flat, hnsw, ivf_flat, ivf_sq8, ivf_pq, diskann, ...")
    ] = None,
    index_param: Annotated[list[str] | None, typer.Option(help="NAME=VALUE of that index, repeatable: M=16.")] = None,
    reindex: Annotated[bool, typer.Option("--reindex", help="Write everything again, changed or not.")] = False,
    rewrite: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="Write this product again, changed or not; repeatable.")
    ] = None,
    compare_contents: Annotated[
        bool,
        typer.Option(
            "--compare-contents", help="Read every picture to see whether it changed, not just size and time."
        ),
    ] = False,
    limit: _Limit = None,
    keep_embeddings: Annotated[Path | None, typer.Option(help="Also keep embeddings in this folder (Parquet).")] = None,
    from_embeddings: Annotated[
        Path | None, typer.Option(help="Index embeddings that were kept, instead of a catalogue.")
    ] = None,
    rejects: Annotated[Path | None, typer.Option(help="CSV of rejections; by default beside the ledger.")] = None,
    ledger: Annotated[Path | None, typer.Option(help="Ledger; by default one per collection in .vitrine.")] = None,
    max_rejects: Annotated[int | None, typer.Option(min=0, help="Fail when more products are rejected.")] = None,
    prune: Annotated[
        bool, typer.Option("--prune", help="Delete products that the catalogue does not have any more.")
    ] = False,
    prune_rejected: Annotated[
        bool, typer.Option("--prune-rejected", help="As --prune, and those written before that are rejected now.")
    ] = False,
    prune_unknown: Annotated[
        bool, typer.Option("--prune-unknown", help="As --prune, and rows that the ledger knows nothing of.")
    ] = False,
    max_prune: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Share of the collection above which nothing is pruned.")
    ] = 0.1,
    shard: Annotated[str | None, typer.Option(help="Index only this part of the catalogue, such as 2/4.")] = None,
    shards: Annotated[
        int | None, typer.Option(min=1, help="As --shard, with the number of this pod of a Kubernetes Indexed Job.")
    ] = None,
    round_name: Annotated[
        str,
        typer.Option(
            "--round", help="Name of the shards' common round, for `finish`; by default made from the catalogue."
        ),
    ] = "",
    new: Annotated[
        bool, typer.Option("--new", help="Build the next version beside the live collection, for `vitrine promote`.")
    ] = False,
    into: Annotated[str | None, typer.Option(help="As --new, in a collection of this name.")] = None,
    max_rate: Annotated[
        float | None, typer.Option(min=0.0, help="Most pictures per second; 0: as many as it can.")
    ] = None,
    as_json: _Json = False,
) -> None:
    """Embed a catalogue's pictures and fill a collection with them. Safe to repeat, to stop and to resume."""
    if context.invoked_subcommand is not None:
        _refuse_options_of_a_run(context)
        return
    from vitrine.indexer.job import IndexRequest, run_index
    from vitrine.indexer.pruning import PruneRule

    if collection is None:
        raise InvalidInput("--collection is missing: the alias that readers search.")
    settings = read_settings()
    if max_rate is not None:
        capped = settings.indexer.model_copy(update={"max_products_per_s": max_rate})
        settings = settings.model_copy(update={"indexer": capped})
    request = IndexRequest(
        collection=collection,
        catalogue=catalogue,
        mapping=mapping,
        from_embeddings=from_embeddings,
        index=index_of_options(index, index_param or []),
        reindex=reindex,
        rewrite=frozenset(rewrite or ()),
        compare_contents=compare_contents,
        limit=limit,
        keep_embeddings=keep_embeddings,
        rejects=rejects,
        ledger=ledger,
        max_rejects=max_rejects,
        prune=PruneRule(max_prune, prune_rejected, prune_unknown) if prune or prune_rejected or prune_unknown else None,
        shard=_shard(shard, shards),
        round=round_name,
        new=new,
        into=into,
    )
    terminal = Console(stderr=True)
    log_to(terminal, settings.telemetry.log_level)
    with open_display(terminal) as display:
        summary = run_to_end(run_index(request, settings, display))
    tell(summary, as_json=as_json)


def _refuse_options_of_a_run(context: typer.Context) -> None:
    """`index --reindex status` would say nothing of what became of `--reindex`.

    Raises:
        InvalidInput: an option of a run stands before the name of a sub-verb.
    """
    for option in context.command.params:
        source = context.get_parameter_source(option.name or "")
        if source is not None and source.name == "COMMANDLINE":
            raise InvalidInput(
                f"{option.opts[0]} belongs to a run; options of {context.invoked_subcommand!r} stand behind it."
            )


def _shard(shard: str | None, shards: int | None) -> Shard:
    """Raises InvalidInput: both ways to say it, or no such shard."""
    if shard is not None and shards is not None:
        raise InvalidInput("--shard and --shards exclude each other.")
    if shards is not None:
        return Shard.of_job(shards, os.environ)
    return WHOLE if shard is None else Shard.parse(shard)
