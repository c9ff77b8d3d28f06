"""`vitrine up | down | status | logs`."""

import dataclasses
import json
import sys
import time
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

import typer
from rich.console import Console
from rich.markup import escape
from rich.status import Status
from rich.table import Table

from vitrine.local.errors import StackNotRunning
from vitrine.local.objectives import Objectives, ObjectivesUnknown, read_objectives
from vitrine.local.objectives_display import print_objectives
from vitrine.local.process import last_lines
from vitrine.local.prometheus import PrometheusService, why_without
from vitrine.local.stack import SUPERVISOR, Stack
from vitrine.local.state import ServiceStatus, StackStatus, StateFolder
from vitrine.settings import Settings, read_settings

MILVUS_NOTICE: Final = (
    "Milvus 2.3.5 listens on all network interfaces without a password and is old: for local trials behind a firewall."
)
_FOLLOW_S: Final = 0.25
_COLOURS: Final = {"ready": "green", "failed": "red", "waiting": "yellow", "unresponsive": "yellow"}


def register(app: typer.Typer) -> None:
    """Adds the verbs of the embedded stack."""
    app.command("up")(up)
    app.command("down")(down)
    app.command("status")(status)
    app.command("logs")(logs)


def up(
    models: Annotated[
        Path | None, typer.Option(help="Model repository to serve instead of the configured one.")
    ] = None,
    foreground: Annotated[
        bool, typer.Option("--foreground/--detach", help="Stay, and stop everything on Ctrl-C.")
    ] = False,
) -> None:
    """Start Triton, Milvus and the gateway on this machine, and Prometheus where its program is there."""
    settings = with_models(read_settings(), models)
    terminal = Terminal(settings)
    stack = Stack(settings)
    try:
        if foreground:
            stack.run(report=terminal.show, note=terminal.note)
        else:
            terminal.addresses(stack.up(report=terminal.show, note=terminal.note))
    finally:
        terminal.close()


def down() -> None:
    """Stop them; data are kept."""
    terminal = Terminal(read_settings())
    try:
        stopped = Stack(read_settings()).down(note=terminal.note)
    finally:
        terminal.close()
    terminal.note("Stopped." if stopped else "Nothing was running.")


def status(as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False) -> None:
    """Show what runs and how the objectives stand; exit status 1 when it is down or a process is not ready."""
    current = Stack(read_settings()).status()
    objectives = _objectives_of(current)
    if as_json:
        told = {"unknown": objectives} if isinstance(objectives, str) else dataclasses.asdict(objectives)
        typer.echo(json.dumps({**json.loads(current.to_json()), "objectives": told}, indent=2))
    else:
        _print_status(current)
        _print_objectives(objectives)
    if any(service.phase != "ready" for service in current.services):
        raise typer.Exit(1)


def logs(
    name: Annotated[str, typer.Argument(help="triton, milvus, prometheus, gateway or supervisor.")],
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on as it grows.")] = False,
    lines: Annotated[int, typer.Option("-n", "--lines", min=0, max=100_000, help="Lines of its end.")] = 50,
) -> None:
    """Show the log of a process."""
    folder = StateFolder(read_settings().local.state_dir)
    known = sorted(path.stem for path in folder.logs.glob("*.log"))
    if name not in known:
        raise StackNotRunning(
            f"There is no log of {name!r} in {folder.logs}; there are: {', '.join(known) or 'none yet'}."
        )
    log = folder.log(name)
    for line in last_lines(log, lines):
        typer.echo(line)
    if follow:
        _follow(log)


def with_models(settings: Settings, models: Path | None) -> Settings:
    """Settings with another model repository."""
    if models is None:
        return settings
    return settings.model_copy(update={"model": settings.model.model_copy(update={"repository": models})})


class Terminal:
    """Progress for a person: one live line on a terminal, one line per change anywhere else."""

    def __init__(self, settings: Settings) -> None:
        self._console = Console(soft_wrap=True, highlight=False)
        self._limit_s = settings.local.start_timeout_s
        self._absence = why_without(settings.local)
        self._live: Status | None = None
        self._phases: dict[str, str] = {}
        self._was_ready = False

    def note(self, sentence: str) -> None:
        """Prints a sentence."""
        self._console.print(escape(sentence))

    def show(self, current: StackStatus) -> None:
        """Prints what changed."""
        for service in current.services:
            if self._phases.get(service.name) != service.phase:
                self._phases[service.name] = service.phase
                if self._was_ready or service.phase in ("ready", "failed"):
                    self.note(f"{service.name}: {_in_words(service)}")
        self._show_wait(current)
        if current.phase == "ready" and not self._was_ready:
            self._was_ready = True
            if self._absence:
                self.note(self._absence)

    def _show_wait(self, current: StackStatus) -> None:
        waited_for = [service.name for service in current.services if service.phase == "starting"]
        if current.phase != "starting" or not waited_for:
            self.close()
            return
        text = f"waiting for {', '.join(waited_for)} (at most {self._limit_s:g} s)"
        if not self._console.is_terminal:
            if "announced" not in self._phases:
                self._phases["announced"] = "yes"
                self.note(text)
        elif self._live is None:
            self._live = self._console.status(text)
            self._live.start()
        else:
            self._live.update(text)

    def addresses(self, current: StackStatus) -> None:
        """Prints where everything is."""
        for service in current.services:
            self.note(f"{service.name:10} {service.address}")
        self.note(MILVUS_NOTICE)

    def close(self) -> None:
        """Ends the live line."""
        if self._live is not None:
            self._live.stop()
            self._live = None


def _in_words(service: ServiceStatus) -> str:
    first_line = service.detail.partition("\n")[0]
    return f"{service.phase} ({first_line})" if first_line else service.phase


def _print_status(current: StackStatus) -> None:
    table = Table("process", "state", "pid", "restarts", "address", box=None)
    for service in current.services:
        colour = _COLOURS.get(service.phase, "default")
        table.add_row(
            service.name,
            f"[{colour}]{escape(_in_words(service))}[/]",
            str(service.pid or "-"),
            str(service.restarts),
            service.address,
        )
    table.add_row(SUPERVISOR, current.phase, str(current.supervisor), "-", "-")
    Console(soft_wrap=True, highlight=False).print(table)


def _objectives_of(current: StackStatus) -> Objectives | str:
    """What the running stack's Prometheus says, or why there is nothing to say."""
    for service in current.services:
        if service.name == PrometheusService.name:
            try:
                return read_objectives(urlsplit(service.address).port or 0)
            except ObjectivesUnknown as error:
                return f"{error}."
    return "Prometheus is not part of this stack."


def _print_objectives(objectives: Objectives | str) -> None:
    console = Console(soft_wrap=True, highlight=False)
    console.print()
    if isinstance(objectives, str):
        console.print(escape(f"The objectives are unknown: {objectives}"))
    else:
        print_objectives(console, objectives)


def _follow(log: Path) -> None:
    """Prints what is appended until interrupted; starts again from the front when the log was emptied for its size."""
    with log.open("rb") as file:
        position = file.seek(0, 2)
        while True:
            if log.stat().st_size < position:
                position = 0
            file.seek(position)
            if chunk := file.read():
                sys.stdout.write(chunk.decode(errors="replace"))
                sys.stdout.flush()
                position = file.tell()
            else:
                time.sleep(_FOLLOW_S)
