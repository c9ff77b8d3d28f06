"""Keeps two runs apart that would write the same files. Ends with the process that holds it, however that ends."""

import fcntl
import os
import time
from pathlib import Path

from vitrine.errors import Overloaded

LOCK_PATIENCE_S = 0.3


class LedgerBusy(Overloaded):
    """Another run is filling the same collection."""

    code = "ledger_busy"


def exclusive_lock(path: Path, *, shared: bool = False) -> int:
    """Locks a file (made if need be) until its descriptor is closed or the process ends, however it ends.

    Args:
        path: the file.
        shared: keep out those alone who want it for themselves.

    Returns:
        The descriptor.

    Raises:
        LedgerBusy: another process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    # `index status` holds it for a moment to see whether a run does.
    until = time.monotonic() + LOCK_PATIENCE_S
    while True:
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except OSError as error:
            if time.monotonic() < until:
                time.sleep(0.05)
                continue
            os.close(descriptor)
            raise LedgerBusy(f"Another indexing run holds {path}; wait for it or stop it.") from error
        return descriptor
