"""Runs one load test and ends with its verdict.

    python -m loadtest [--shape smoke] [--rate 12] [--duration 24]
    python -m loadtest --host https://shop.example --allow-remote --shape average [--workers 2]

Without --host a stack of its own is started on this machine and loaded with the demo catalogue. Every other option is
one of the locustfile's or of Locust's own. The exit status is 0 when all thresholds held, 1 when one is broken, 2 when
there was no load test.
"""

import argparse
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

from loadtest.report import CSV_PREFIX, HTML

LOCUSTFILE: Final = Path(__file__).with_name("locustfile.py")
_LOOPBACK: Final = "127.0.0.1"
_MOST_WORKERS: Final = 64
_WORKERS_WAIT_S: Final = 60
_REFUSED: Final = 2
_REPORT_S: Final = 60.0
_FINISH_S: Final = 10.0


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m loadtest", description=__doc__.splitlines()[0])
    parser.add_argument("--host", help="the gateway; left out: a stack of the load test's own")
    parser.add_argument("--workers", type=int, default=0, help="processes that share the load; 0: this one alone")
    parser.add_argument("--output", default="loadtest-report", help="folder of the report")
    arguments, others = parser.parse_known_args()
    if not 0 <= arguments.workers <= _MOST_WORKERS:
        parser.error(f"--workers is at most {_MOST_WORKERS}")
    # Whatever ends this program ends the stack, too; also from a shell that runs it in the background, deaf to Ctrl-C.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)
    output = Path(arguments.output)
    if arguments.host:
        sys.exit(run_locust([*others, "--host", arguments.host], output, arguments.workers))
    sys.exit(_run_embedded(others, output, arguments.workers))


def run_locust(options: Sequence[str], output: Path, workers: int) -> int:
    """Locust's exit status, once its report is written and its workers are gone."""
    output.mkdir(parents=True, exist_ok=True)
    reports = ["--output", str(output), "--html", str(output / HTML)]
    reports += ["--csv", str(output / CSV_PREFIX), "--csv-full-history"]
    with ExitStack() as stack:
        if workers:
            port = str(_free_port())
            reports += ["--master", "--master-bind-host", _LOOPBACK, "--master-bind-port", port]
            reports += ["--expect-workers", str(workers), "--expect-workers-max-wait", str(_WORKERS_WAIT_S)]
            for _ in range(workers):
                stack.enter_context(_locust("--worker", "--master-host", _LOOPBACK, "--master-port", port))
        locust = stack.enter_context(_locust(*options, *reports))
        try:
            return locust.wait()
        except KeyboardInterrupt:
            # Of all signals this is the one after which Locust writes its report.
            locust.send_signal(signal.SIGINT)
            return locust.wait(_REPORT_S)


@contextmanager
def _locust(*options: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A process of Locust that is gone afterwards, by force if it must be."""
    # Locust looks for modules in its working directory; ours may be another.
    path = os.pathsep.join(filter(None, [str(LOCUSTFILE.parents[1]), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--headless", "--only-summary", *options]
    # A session of its own: Ctrl-C comes to this program alone, which passes it on once.
    process = subprocess.Popen(  # noqa: S603 - this very Python
        command, env={**os.environ, "PYTHONPATH": path}, start_new_session=True
    )
    try:
        yield process
    finally:
        with suppress(subprocess.TimeoutExpired):
            process.wait(_FINISH_S)
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_LOOPBACK, 0))
        return int(probe.getsockname()[1])


def _run_embedded(options: Sequence[str], output: Path, workers: int) -> int:
    # Needs the whole of Vitrine, which a machine that only sends load has not.
    from rich.console import Console

    from loadtest.embedded import COLLECTION, embedded_stack
    from vitrine.errors import VitrineError
    from vitrine.settings import read_settings

    try:
        with embedded_stack(read_settings(), Console(soft_wrap=True, highlight=False)) as target:
            told = ["--host", target.host, "--collection", COLLECTION, "--write-collection", target.scratch]
            return run_locust([*told, *options], output, workers)
    except VitrineError as error:
        sys.stderr.write(f"{error.code}: {error.message}\n")
        return _REFUSED


if __name__ == "__main__":
    main()
