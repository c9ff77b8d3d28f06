"""The verbs of the bulk path: `bulk embed`, `write`, `check`, `import`."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from vitrine.indexer.display import log_to, open_display
from vitrine.indexer.ending import run_to_end, tell
from vitrine.indexer.index_option import index_of_options
from vitrine.settings import MIB, read_settings

_Json = Annotated[bool, typer.Option("--json", help="Print the report as JSON on standard output.")]
_Files = Annotated[Path, typer.Argument(help="Folder that `bulk write` filled.")]


def register(app: typer.Typer) -> None:
    """Adds `bulk`."""
    bulk = typer.Typer(
        name="bulk", help="Fill collections of millions through Milvus's bulk import.", no_args_is_help=True
    )
    bulk.command("embed")(embed)
    bulk.command("write")(write)
    bulk.command("check")(check)
    bulk.command("import")(import_files)
    app.add_typer(bulk)


def embed(
    catalogue: Annotated[Path, typer.Option(help="Folder with the catalogue's file and pictures.")],
    output: Annotated[Path, typer.Option(help="Folder for kept embeddings, one for each shard; made if need be.")],
    mapping: Annotated[str, typer.Option(help="The catalogue's mapping: a TOML file, or hm, which ships.")] = "hm",
    shard: Annotated[
        str | None, typer.Option(help="NUMBER/COUNT, such as 2/4: embed that part of the catalogue.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Read only this many records.")] = None,
    rejects: Annotated[Path | None, typer.Option(help="CSV of rejections.")] = None,
    max_rejects: Annotated[int | None, typer.Option(min=0, help="Fail when more products are rejected.")] = None,
    as_json: _Json = False,
) -> None:
    """Embed a catalogue's pictures into a folder, with Triton and without Milvus. Safe to repeat and to stop."""
    from vitrine.indexer.bulk.embedding import EmbedRequest, run_bulk_embed
    from vitrine.indexer.shards.sharding import WHOLE, Shard

    settings = read_settings()
    part = WHOLE if shard is None else Shard.parse(shard)
    request = EmbedRequest(catalogue, mapping, output, part, limit, rejects, max_rejects)
    terminal = Console(stderr=True)
    log_to(terminal, settings.telemetry.log_level)
    with open_display(terminal, "Embedding", "embedded") as display:
        report = run_to_end(run_bulk_embed(request, settings, display))
    tell(report, as_json=as_json)


def write(
    from_embeddings: Annotated[list[Path], typer.Option(help="Folder of kept embeddings; repeatable, for shards.")],
    output: Annotated[Path, typer.Option(help="Folder for the files; made if need be.")],
    file_mib: Annotated[int, typer.Option(min=1, max=8_192, help="About the MiB of values in one file.")] = 512,
    replace: Annotated[bool, typer.Option("--replace", help="Write anew where a finished set is.")] = False,
    rejects: Annotated[Path | None, typer.Option(help="CSV of rows that cannot be stored.")] = None,
    max_rejects: Annotated[int | None, typer.Option(min=0, help="Fail when more rows cannot be stored.")] = None,
    as_json: _Json = False,
) -> None:
    """Write kept embeddings as files that Milvus imports. Needs no server."""
    from vitrine.indexer.backfill import KeptEmbeddings
    from vitrine.indexer.bulk.writing import WriteRequest, write_bulk_files

    request = WriteRequest(output, file_mib * MIB, replace, rejects, max_rejects)
    terminal = Console(stderr=True)
    log_to(terminal, read_settings().telemetry.log_level)
    with open_display(terminal) as display:
        manifest = write_bulk_files(KeptEmbeddings(*from_embeddings), request, display.waiting)
    written = {
        "output": str(output),
        "read": manifest.read,
        "written": manifest.rows,
        "superseded": manifest.superseded,
        "rejected": manifest.rejected,
        "files": len(manifest.files),
        "bytes": sum(file.bytes for file in manifest.files),
        "schema_digest": manifest.schema_digest,
        "fingerprint": manifest.fingerprint,
    }
    if as_json:
        typer.echo(json.dumps(written, indent=2))
        return
    Console().print(
        f"{manifest.rows} rows in {len(manifest.files)} files of {output} "
        f"({manifest.read} read, {manifest.superseded} superseded, {manifest.rejected} rejected).",
        highlight=False,
        soft_wrap=True,
    )


def check(
    folder: _Files,
    collection: Annotated[
        str | None, typer.Option(help="Also compare model and fields with this collection or alias; asks Milvus.")
    ] = None,
    as_json: _Json = False,
) -> None:
    """Compare bulk files with their format and manifest. Needs no server; exit status 1 when anything is wrong."""
    from vitrine.indexer.bulk.checking import check_bulk_files

    settings = read_settings()
    terminal = Console(stderr=True)
    log_to(terminal, settings.telemetry.log_level)
    with open_display(terminal) as display:
        report = check_bulk_files(folder, display.waiting)
    if collection is not None:
        from vitrine.indexer.bulk.against import compare_with_collection

        others = asyncio.run(compare_with_collection(folder, collection, settings.milvus))
        report = replace(report, problems=(*report.problems, *others))
    if as_json:
        typer.echo(json.dumps(report.as_json(), indent=2))
    else:
        report.print(Console())
    if not report.good:
        raise typer.Exit(1)


def import_files(
    folder: _Files,
    collection: Annotated[str, typer.Option(help="Alias that the collection is for.")],
    into: Annotated[str, typer.Option(help="Name of the collection; by default the alias' next version.")] = "",
    storage_prefix: Annotated[
        str, typer.Option(help="Where Milvus finds the files: a path in its bucket; by default the folder's own path.")
    ] = "",
    index: Annotated[str | None, typer.Option(help="Kind of index of a new collection, as for `index`.")] = None,
    index_param: Annotated[list[str] | None, typer.Option(help="NAME=VALUE of that index, repeatable.")] = None,
    no_check: Annotated[
        bool, typer.Option("--no-check", help="Do not look at the files first; only their manifest is needed here.")
    ] = False,
    compare_ids: Annotated[
        bool, typer.Option("--compare-ids", help="List all ids afterwards and compare them with the files'.")
    ] = False,
    publish: Annotated[
        bool, typer.Option("--publish", help="Point the alias at the collection if there is no such alias yet.")
    ] = False,
    as_json: _Json = False,
) -> None:
    """Have Milvus import bulk files into a new collection, and reconcile every row. Safe to repeat."""
    from vitrine.indexer.bulk.importing import ImportRequest, run_bulk_import

    settings = read_settings()
    request = ImportRequest(
        folder,
        collection,
        into,
        storage_prefix,
        index_of_options(index, index_param or []),
        check=not no_check,
        compare_ids=compare_ids,
        publish=publish,
    )
    terminal = Console(stderr=True)
    log_to(terminal, settings.telemetry.log_level)
    with open_display(terminal) as display:
        report = run_to_end(run_bulk_import(request, settings, display))
    tell(report, as_json=as_json)
