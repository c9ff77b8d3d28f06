"""`vitrine search`: ask a running gateway, print a table, draw a sheet."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from vitrine.cli.sheet import draw_sheet
from vitrine.client import Client, Facet, SearchAnswer, SearchHit, image, item, text
from vitrine.client.parts import Part
from vitrine.errors import InvalidInput
from vitrine.settings import read_settings

MINUS_WEIGHT: Final = -0.25
"""Of what `--minus` names; docs/composed-queries.md has the figures behind it."""
_FACTS_SHOWN: Final = 4
_FACET_VALUES_SHOWN: Final = 12


def register(app: typer.Typer) -> None:
    """Adds `search`."""
    app.command("search")(search)


def search(
    query: Annotated[str | None, typer.Argument(help="What to look for, such as 'floral top'.", metavar="TEXT")] = None,
    picture: Annotated[Path | None, typer.Option("--image", help="Look for products like this picture.")] = None,
    like: Annotated[str | None, typer.Option(help="Look for products like the one of this id.")] = None,
    minus: Annotated[list[str] | None, typer.Option(help="A text to lead away from; can be repeated.")] = None,
    weight: Annotated[float, typer.Option(help="Share of the text beside a picture or a product.")] = 1.0,
    where: Annotated[str | None, typer.Option("--filter", help="Such as 'colour:red AND price<50'.")] = None,
    group_by: Annotated[str | None, typer.Option(help="Show one product for each value of this field.")] = None,
    facet: Annotated[list[str] | None, typer.Option(help="Count the values of this field; can be repeated.")] = None,
    min_score: Annotated[float | None, typer.Option(min=-1, max=1, help="Least score of a hit.")] = None,
    collection: Annotated[str, typer.Option(help="Collection or alias; by default the gateway's own.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="Hits to show.")] = 10,
    page: Annotated[int, typer.Option(min=1, help="Which page of that many hits.")] = 1,
    cursor: Annotated[str | None, typer.Option(help="Go on from an answer's next_cursor (see --json).")] = None,
    plot: Annotated[Path | None, typer.Option(help="Write the hits as one picture, a PNG.")] = None,
    url: Annotated[
        str, typer.Option(envvar="VITRINE_URL", help="The gateway's address; by default the local one.")
    ] = "",
    key: Annotated[
        str | None,
        typer.Option(
            envvar="VITRINE_API_KEY", help="API key; others on this machine can read it here, not in the environment."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the gateway's answer as JSON.")] = False,
) -> None:
    """Search a running gateway by text, by picture or by a product's id (or by several of them together)."""
    gateway = read_settings().gateway
    if page > 1 and cursor is not None:
        raise InvalidInput("A cursor knows its page: give --page or --cursor, not both.")
    asked = label(query, picture, like, minus or ())
    with Client(url or f"http://{gateway.host}:{gateway.port}", api_key=key) as client:
        answer = client.search(
            collection or gateway.default_collection,
            _parts(query, picture, like, minus or (), weight),
            limit=limit,
            offset=(page - 1) * limit,
            cursor=cursor,
            filter=where,
            group_by=group_by,
            facets=facet,
            min_score=min_score,
        )
        if as_json:
            typer.echo(answer.model_dump_json(indent=2, exclude_unset=True))
        else:
            print_answer(answer, asked, first_rank=(page - 1) * limit + 1)
            if cursor is None and _has_more(answer, page, limit):
                typer.echo(f"More: --page {page + 1}")
        if plot is not None:
            draw_sheet(client, answer, asked, plot)
            Console(soft_wrap=True, stderr=as_json).print(f"Result sheet: {plot}")


def label(query: str | None, picture: Path | None, like: str | None, minus: Sequence[str] = ()) -> str:
    """The query as a person would read it."""
    parts = (query, f"picture {picture.name}" if picture else None, f"like {like}" if like else None)
    return " - ".join([" + ".join(part for part in parts if part), *minus])


def _parts(
    query: str | None, picture: Path | None, like: str | None, minus: Sequence[str], weight: float
) -> list[str | Part]:
    parts: list[str | Part] = []
    if query is not None:
        parts.append(text(query, weight))
    if picture is not None:
        parts.append(image(picture))
    if like is not None:
        parts.append(item(like))
    if not parts:
        raise InvalidInput("Say what to look for: a text, --image FILE or --like ID.")
    return [*parts, *(text(words, MINUS_WEIGHT) for words in minus)]


def _has_more(answer: SearchAnswer, page: int, limit: int) -> bool:
    # With an offset there is no cursor to tell; then a full page is the sign.
    return answer.next_cursor is not None or (page > 1 and len(answer.hits) == limit)


def print_answer(answer: SearchAnswer, query: str, *, first_rank: int = 1) -> None:
    """Prints hits as a table, then facets, the server's own times, and the model that answered."""
    grouped = any(hit.siblings is not None for hit in answer.hits)
    table = Table(title=f'"{_shown(query)}" in {_shown(answer.collection)}', title_justify="left")
    table.add_column("#", justify="right")
    table.add_column("id")
    table.add_column("score", justify="right")
    table.add_column("title")
    if grouped:
        table.add_column("siblings", justify="right")
    table.add_column("facts", overflow="fold")
    for rank, hit in enumerate(answer.hits, start=first_rank):
        siblings = [str(hit.siblings or 0)] if grouped else []
        table.add_row(str(rank), _shown(hit.id), f"{hit.score:.3f}", _shown(hit.title), *siblings, _facts(hit))
    console = Console()
    console.print(table)
    console.soft_wrap = True
    _print_facets(answer.facets, answer.facets_over, console)
    times = ", ".join(f"{stage} {milliseconds:.1f}" for stage, milliseconds in answer.took_ms.items())
    console.print(f"ms: {times}   model: {_shown(answer.model.name)} {answer.model.fingerprint[:12]}", highlight=False)
    for warning in answer.warnings:
        console.print(f"[yellow]warning:[/] {warning}")


def _facts(hit: SearchHit) -> str:
    facts = [str(value) for value in hit.metadata.values() if value not in ("", hit.title)]
    return _shown(", ".join(facts[:_FACTS_SHOWN]))


def _print_facets(facets: Mapping[str, Facet], over: int | None, console: Console) -> None:
    for name, facet in facets.items():
        shown = facet.values[:_FACET_VALUES_SHOWN]
        others = facet.others + sum(value.count for value in facet.values[_FACET_VALUES_SHOWN:])
        counts = [f"{value.value} {value.count}" for value in shown]
        counts += _counted("others", others) + _counted("none", facet.missing)
        console.print(f"[bold]{_shown(name)}[/] in the best {over}: {_shown(', '.join(counts))}", highlight=False)


def _counted(what: str, count: int) -> list[str]:
    return [f"({what} {count})"] if count else []


def _shown(words: str) -> str:
    """Words of a catalogue or a query, such that neither markup nor the terminal takes them for commands."""
    return escape("".join(character if character.isprintable() else " " for character in words))
