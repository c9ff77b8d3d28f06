"""`vitrine demo`: the main job from nothing to a search in a browser, on real engines."""

import asyncio
import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from vitrine.cli.search import print_answer
from vitrine.cli.sheet import draw_sheet
from vitrine.client import Client
from vitrine.demo.catalogue import write_catalogue
from vitrine.demo.design import DEFAULT_COUNT, DEFAULT_SEED
from vitrine.indexer.display import log_to, open_display
from vitrine.local.commands import Terminal
from vitrine.local.errors import StackNotRunning
from vitrine.local.gateway import meeting_the_stack
from vitrine.local.stack import Stack
from vitrine.settings import Settings, read_settings

_MOST_WORKERS = 8


def register(app: typer.Typer) -> None:
    """Adds `demo`."""
    app.command("demo")(demo)


def demo(
    query: Annotated[str, typer.Option(help="What to search at the end.")] = "floral top",
    sheet: Annotated[Path, typer.Option(help="Where the result sheet goes, a PNG.")] = Path("sheet.png"),
    once: Annotated[bool, typer.Option("--once", help="Stop the stack at the end.")] = False,
) -> None:
    """Start the stack, draw the demo catalogue, index it, search it. Safe to repeat: what is done stays done."""
    settings = meeting_the_stack(read_settings())
    console = Console(soft_wrap=True, highlight=False)
    stack = Stack(settings)
    started = _start(stack, settings, console)
    try:
        _draw(settings.local.demo_catalogue, console)
        _index(settings, console)
        _search(settings, query, sheet, console)
    except BaseException:
        # A demo that failed leaves nothing behind that it started itself.
        if started:
            stack.down(note=console.print)
        raise
    if once:
        stack.down(note=console.print)
        console.print("Stopped. The data stays; `vitrine up` starts the stack again.")
    else:
        console.print("Everything stays up; `vitrine down` (or `make down`) stops it.")


def _start(stack: Stack, settings: Settings, console: Console) -> bool:
    """Whether the stack had to be started."""
    try:
        stack.status()
    except StackNotRunning:
        terminal = Terminal(settings)
        try:
            terminal.addresses(stack.up(report=terminal.show, note=terminal.note))
        finally:
            terminal.close()
        return True
    console.print("The stack is up already.")
    return False


def _draw(folder: Path, console: Console) -> None:
    with Progress(
        TextColumn("Drawing"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TimeRemainingColumn(compact=True),
        console=console,
        transient=True,
    ) as progress:
        task = progress.add_task("Drawing", total=DEFAULT_COUNT)
        summary = write_catalogue(
            folder,
            count=DEFAULT_COUNT,
            seed=DEFAULT_SEED,
            workers=min(os.cpu_count() or 1, _MOST_WORKERS),
            on_progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    console.print(
        f"Catalogue: {summary.articles} products in {summary.folder}, "
        f"{summary.drawn} drawn now in {summary.seconds:.0f} s"
    )


def _index(settings: Settings, console: Console) -> None:
    """Raises VitrineError: the run failed."""
    # Milvus's client takes half a second to import, which every other verb would pay for too.
    from vitrine.indexer.job import IndexRequest, run_index

    log_to(console, settings.telemetry.log_level)
    request = IndexRequest(collection=settings.gateway.default_collection, catalogue=settings.local.demo_catalogue)
    with open_display(console) as display:
        summary = asyncio.run(run_index(request, settings, display))
    summary.print(console)
    if summary.failure is not None:
        raise summary.failure
    if summary.interrupted:
        raise KeyboardInterrupt


def _search(settings: Settings, query: str, sheet: Path, console: Console) -> None:
    address = f"http://{settings.gateway.host}:{settings.gateway.port}"
    with Client(address) as client:
        answer = client.search(settings.gateway.default_collection, query, limit=10)
        print_answer(answer, query)
        draw_sheet(client, answer, query, sheet)
    console.print(f"Result sheet: {sheet}")
    console.print(f"The page:     {address}", style="bold")
