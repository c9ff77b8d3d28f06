"""`python -m vitrine.gateway`: hears SIGTERM from its first moment, then runs the HTTP process."""

import signal
import sys
from types import FrameType


def main() -> None:
    """Exit status: 0 after a signal, otherwise see `serving.run`."""
    for ending in (signal.SIGTERM, signal.SIGINT):
        signal.signal(ending, _end)
    # The imports take a second or more, and the first process of a container has no default action: a SIGTERM that
    # comes meanwhile would be lost, and the pod live on until its grace period ends it.
    from vitrine.gateway.serving import run

    run()


def _end(_sig: int, _frame: FrameType | None) -> None:
    """Nothing is served yet, or nothing any more."""
    sys.exit(0)


if __name__ == "__main__":
    main()
