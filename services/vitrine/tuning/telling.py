"""What a person sees while something is measured: on standard error, as the figures go to standard output."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console

_LINE_EVERY_S = 10.0


@contextmanager
def told(terminal: Console) -> Iterator[Callable[[str, float], None]]:
    """What is under way: one line that changes on a terminal, a line now and then anywhere else."""
    if terminal.is_terminal:
        with terminal.status("") as status:
            yield lambda what, share: status.update(f"{what}{f' {share:.0%}' if 0 < share < 1 else ''}")
        return
    said = ("", 0.0)

    def tell(what: str, share: float) -> None:
        nonlocal said
        before, at = said
        if what != before or time.monotonic() - at >= _LINE_EVERY_S:
            said = (what, time.monotonic())
            terminal.print(f"{what}{f' {share:.0%}' if 0 < share < 1 else ''}", highlight=False, soft_wrap=True)

    yield tell
