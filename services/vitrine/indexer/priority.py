"""How a run stands back for whatever answers searches on the same machine. It takes what is left."""

import contextlib
import os
from pathlib import Path

_AUTOGROUP = Path("/proc/self/autogroup")


def lower_thread(niceness: int) -> None:
    """Lowers the calling thread: on Linux niceness belongs to a thread, not to its process."""
    os.nice(niceness)


def lower_session(niceness: int) -> None:
    """Lowers the share of the session that this process leads; of another's session, a terminal's for one, nothing.

    Where Linux groups sessions (`sched_autogroup_enabled`), processors are shared among sessions first and niceness
    counts within one alone: nice threads of a service would still take as much as a search server beside them.
    """
    if niceness and os.getsid(0) == os.getpid():
        with contextlib.suppress(OSError):  # a kernel without such groups, or a read-only /proc
            _AUTOGROUP.write_text(str(niceness), encoding="ascii")
