"""What a person sees while a run goes on: a bar on a terminal, plain lines anywhere else. Both on standard error."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.logging import RichHandler
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from vitrine.indexer.report import Tally

REFRESH_S = 0.25
LINE_EVERY_S = 10.0

_log = logging.getLogger(__name__)


class Display(Protocol):
    """What the job tells: `BarDisplay` on a terminal, `LineDisplay` in logs."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def waiting(self, what: str, share: float) -> None:
        """Something else is waited for, `share` of it (0.0 to 1.0) is done."""

    async def follow(self, tally: Tally, total: int) -> None:
        """Shows a tally of about `total` products until cancelled."""


def open_display(console: Console, work: str = "Indexing", done: str = "written") -> Display:
    """The display that suits the console; `work` says what goes on, `done` what becomes of a good product."""
    return BarDisplay(console, work) if console.is_terminal else LineDisplay(done)


@asynccontextmanager
async def followed(display: Display, tally: Tally, total: int) -> AsyncIterator[None]:
    """Shows the tally while the block runs."""
    following = asyncio.create_task(display.follow(tally, total))
    try:
        yield
    finally:
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following


def log_to(console: Console, level: str) -> None:
    """Sends this package's log lines to the console, above a bar if there is one. For a composition root."""
    handler: logging.Handler
    if console.is_terminal:
        handler = RichHandler(console=console, show_path=False, show_time=False, markup=False)
    else:
        # rich would break lines at 80 columns, which no log wants.
        handler = logging.StreamHandler(console.file)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    package = logging.getLogger("vitrine.indexer")
    package.handlers = [handler]
    package.setLevel(level.upper())
    package.propagate = False


class BarDisplay:
    """A bar with rate and time left."""

    def __init__(self, console: Console, work: str = "Indexing") -> None:
        self._work = work
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[note]}"),
            console=console,
            transient=True,
        )
        self._waiting = self._progress.add_task("", total=100, visible=False, rate="", note="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def waiting(self, what: str, share: float) -> None:
        done = round(100 * share)
        self._progress.update(self._waiting, description=what, completed=done, visible=done < 100)

    async def follow(self, tally: Tally, total: int) -> None:
        task = self._progress.add_task(self._work, total=max(total, 1), rate="", note="")
        began = time.monotonic()
        try:
            while True:
                self._show(task, tally, time.monotonic() - began)
                await asyncio.sleep(REFRESH_S)
        finally:
            self._show(task, tally, time.monotonic() - began)

    def _show(self, task: TaskID, tally: Tally, elapsed: float) -> None:
        note = f"{tally.rejections} rejected" if tally.rejections else ""
        rate = f"{tally.worked / elapsed:.1f}/s" if tally.worked and elapsed > REFRESH_S else ""
        self._progress.update(task, completed=tally.progress, rate=rate, note=note)


class LineDisplay:
    """A log line now and then."""

    def __init__(self, done: str = "written") -> None:
        self._said = ("", 0.0)
        self._done = done

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def waiting(self, what: str, share: float) -> None:
        before, at = self._said
        if what != before or time.monotonic() - at >= LINE_EVERY_S:
            self._said = (what, time.monotonic())
            _log.info("%s%s", what, f": {share:.0%}" if 0 < share < 1 else "")

    async def follow(self, tally: Tally, total: int) -> None:
        began = time.monotonic()
        while True:
            await asyncio.sleep(LINE_EVERY_S)
            elapsed = time.monotonic() - began
            rate = tally.worked / elapsed
            left = f"about {max(0, total - tally.progress) / rate:.0f} s left" if rate > 0 else "nothing done yet"
            _log.info(
                "%d of about %d products, %.1f/s, %s; %d %s, %d unchanged, %d rejected",
                tally.progress,
                total,
                rate,
                left,
                tally.written,
                self._done,
                tally.unchanged,
                tally.rejections,
            )
