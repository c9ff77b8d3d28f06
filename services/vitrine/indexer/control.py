"""How a run ends before its catalogue does."""

import asyncio
import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from vitrine.errors import VitrineError

_log = logging.getLogger(__name__)
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class RunControl:
    """One per run: every stage watches `stopping`; whoever wants the end says why.

    Made and used inside the event loop of the run.
    """

    def __init__(self) -> None:
        self.stopping = asyncio.Event()
        self.reason = ""
        self.failure: VitrineError | None = None

    def stop(self, reason: str) -> None:
        """Asks for an orderly end: nothing new is begun, what Milvus is writing gets acknowledged and recorded."""
        if not self.stopping.is_set():
            self.reason = reason
            self.stopping.set()

    def fail(self, error: VitrineError) -> None:
        """The same because of an error, which the run raises at its end. The first one is kept."""
        if self.failure is None:
            self.failure = error
        self.stop(error.code)


@contextmanager
def stopped_by_signals(control: RunControl) -> Iterator[None]:
    """SIGINT or SIGTERM stops the run in order; a second one cancels the current task at once.

    Either way the ledger stays right: it only ever says what Milvus acknowledged.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()

    def on_signal(number: signal.Signals) -> None:
        if control.stopping.is_set() and task is not None:
            task.cancel()
            return
        _log.warning("%s: finishing the writes in flight; once more to stop at once.", number.name)
        control.stop(number.name)

    for number in _SIGNALS:
        loop.add_signal_handler(number, on_signal, number)
    try:
        yield
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
