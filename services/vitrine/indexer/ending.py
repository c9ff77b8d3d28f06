"""How a long-running verb ends: its report is printed, and its exit status says whether it came to its end."""

import asyncio
import json
import signal
from collections.abc import Coroutine, Mapping
from typing import Any, Protocol, TypeVar

import typer
from rich.console import Console

from vitrine.errors import VitrineError


class Report(Protocol):
    """What a run that can fail or be interrupted says about itself."""

    @property
    def interrupted(self) -> str:
        """The signal that stopped it; empty when none did."""

    @property
    def failure(self) -> VitrineError | None:
        """Why it did not come to its end; None when it did."""

    def as_json(self) -> Mapping[str, object]:
        """For `--json`: plain types only."""

    def print(self, console: Console) -> None:
        """For a person."""


_T = TypeVar("_T")


def run_to_end(work: Coroutine[Any, Any, _T]) -> _T:
    """What a run answers. Raises KeyboardInterrupt after a second Ctrl-C."""
    try:
        return asyncio.run(work)
    except asyncio.CancelledError:
        # The second Ctrl-C.
        raise KeyboardInterrupt from None


def tell(report: Report, *, as_json: bool, resumable: bool = True) -> None:
    """Prints the report; an exit status other than 0 when the run did not come to its end.

    Args:
        as_json: on standard output, instead of tables.
        resumable: the same command goes on where it was stopped.

    Raises:
        VitrineError: what the run failed with.
        typer.Exit: it was interrupted.
    """
    if as_json:
        typer.echo(json.dumps(report.as_json(), indent=2))
    else:
        report.print(Console())
    if report.failure is not None:
        raise report.failure
    if report.interrupted:
        if resumable:
            Console(stderr=True).print("Stopped. The same command goes on from here.", highlight=False)
        raise typer.Exit(128 + signal.Signals[report.interrupted])
