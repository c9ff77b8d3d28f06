"""The verbs of the bulk path: `bulk embed`, `write`, `check`, `import`."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from vitrine.indexer.display import log_to, open_display
from vitrine.settings import MIB, read_settings

_Json = Annotated[bool, typer.Option("--json", help="Print the report as JSON on standard output.")]
_Files = Annotated[Path, typer.Argument(help="Folder that `bulk write` filled.")]


def register(app: typer.Typer) -> None:
    """Adds `bulk`."""
    bulk = typer.Typer(
        name="bulk", help="Fill collections of millions through Milvus's bulk import.", no_args_is_help=True
    )
    bulk.command("write")(write)
    bulk.command("check")(check)
    app.add_typer(bulk)


def write(
    from_embeddings: Annotated[Path, typer.Option(help="Folder of kept embeddings.")],
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
        manifest = write_bulk_files(KeptEmbeddings(from_embeddings), request, display.waiting)
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


def check(folder: _Files, as_json: _Json = False) -> None:
    """Compare bulk files with their format and manifest. Needs no server; exit status 1 when anything is wrong."""
    from vitrine.indexer.bulk.checking import check_bulk_files

    terminal = Console(stderr=True)
    log_to(terminal, read_settings().telemetry.log_level)
    with open_display(terminal) as display:
        report = check_bulk_files(folder, display.waiting)
    if as_json:
        typer.echo(json.dumps(report.as_json(), indent=2))
    else:
        report.print(Console())
    if not report.good:
        raise typer.Exit(1)
