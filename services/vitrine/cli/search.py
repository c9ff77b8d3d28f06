"""`vitrine search`: ask a running gateway, print a table, draw a sheet."""

import base64
import mimetypes
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from vitrine.cli.sheet import draw_sheet
from vitrine.client import Client, SearchAnswer
from vitrine.errors import ImageMissing, InvalidInput
from vitrine.settings import read_settings

_FACTS_SHOWN = 4


def register(app: typer.Typer) -> None:
    """Adds `search`."""
    app.command("search")(search)


def search(
    text: Annotated[str | None, typer.Argument(help="What to look for, such as 'floral top'.")] = None,
    image: Annotated[Path | None, typer.Option(help="Look for products like this picture.")] = None,
    like: Annotated[str | None, typer.Option(help="Look for products like the one of this id.")] = None,
    collection: Annotated[str, typer.Option(help="Collection or alias.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="Hits to show.")] = 10,
    plot: Annotated[Path | None, typer.Option(help="Write the hits as one picture, a PNG.")] = None,
    url: Annotated[str, typer.Option(help="The gateway's address; by default the local one.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print the gateway's answer as JSON.")] = False,
) -> None:
    """Search a running gateway by text, by picture or by a product's id (or by several of them together)."""
    gateway = read_settings().gateway
    address = url or f"http://{gateway.host}:{gateway.port}"
    with Client(address) as client:
        answer = client.search(collection or gateway.default_collection, _query(text, image, like), limit=limit)
        if as_json:
            typer.echo(answer.model_dump_json(indent=2))
        else:
            print_answer(answer, label(text, image, like))
        if plot is not None:
            draw_sheet(client, answer, label(text, image, like), plot)
            Console(soft_wrap=True, stderr=as_json).print(f"Result sheet: {plot}")


def label(text: str | None, image: Path | None, like: str | None) -> str:
    """The query as a person would read it."""
    parts = (text, f"picture {image.name}" if image else None, f"like {like}" if like else None)
    return " + ".join(part for part in parts if part)


def _query(text: str | None, image: Path | None, like: str | None) -> list[dict[str, object]]:
    parts: list[dict[str, object]] = []
    if text is not None:
        parts.append({"text": text})
    if image is not None:
        parts.append({"image": _data_url(image)})
    if like is not None:
        parts.append({"id": like})
    if not parts:
        raise InvalidInput("Say what to look for: a text, --image FILE or --like ID.")
    return parts


def _data_url(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ImageMissing(f"{path} cannot be read: {error.strerror}.") from error
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def print_answer(answer: SearchAnswer, query: str) -> None:
    """Prints hits as a table, with the server's own times and the model that answered."""
    table = Table(title=f'"{escape(query)}" in {answer.collection}', title_justify="left")
    table.add_column("#", justify="right")
    table.add_column("id")
    table.add_column("score", justify="right")
    table.add_column("title")
    table.add_column("facts", overflow="fold")
    for rank, hit in enumerate(answer.hits, start=1):
        facts = [str(value) for value in hit.metadata.values() if value not in ("", hit.title)][:_FACTS_SHOWN]
        table.add_row(str(rank), hit.id, f"{hit.score:.3f}", escape(hit.title), escape(", ".join(facts)))
    console = Console()
    console.print(table)
    console.soft_wrap = True
    times = ", ".join(f"{stage} {milliseconds:.1f}" for stage, milliseconds in answer.took_ms.items())
    console.print(f"ms: {times}   model: {answer.model.name} {answer.model.fingerprint[:12]}", highlight=False)
    for warning in answer.warnings:
        console.print(f"[yellow]warning:[/] {warning}")
