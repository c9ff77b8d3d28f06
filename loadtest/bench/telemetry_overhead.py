"""What does it cost a gateway to be watched?

Three gateways of one stack of its own are loaded in turns, a slice of seconds each. Who begins changes from round to
round, so that a disturbance of the machine hits all alike:

- `none`: no metric of a request is counted and no line is logged. No setting does this; it is made for the comparison;
- `metrics`: as delivered: metrics and a log line for every request, tracing off;
- `traced`: that, and traces, of which `--sample-ratio` are recorded and sent to a real receiver of OTLP on loopback.

All connections ask as fast as they are answered, with queries that the gateway remembers: no model is in the way, so
the share that telemetry has of a request is the largest it can be. `--fresh` asks for new texts instead, as most are.

    python loadtest/bench/telemetry_overhead.py [--rounds 20] [--slice-s 3] [--connections 8] [--fresh] [--json FILE]

Besides throughput it tells the processor time of the gateway for each request, which a busy machine changes less: a
gateway is one process on one core, so that is the reciprocal of what it can do.

Exit status: 0 when `traced` costs less than `--threshold` of the throughput of `metrics` (or of `--against none`),
1 when it costs more, 2 when nothing could be measured.
"""

import argparse
import asyncio
import itertools
import json
import statistics
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

import numpy as np
import uvloop
from gateways_in_turns import Gateway, Load, Measured, fill, in_turns, interval, open_gateway, process
from http_connection import BenchError
from own_stack import own_stack

from vitrine.embedding.contract import ModelContract
from vitrine.local.ports import choose_free
from vitrine.settings import Settings, read_settings
from vitrine.vectorstore.index_params import Hnsw

NONE, METRICS, TRACED = "none", "metrics", "traced"
VARIANTS = (NONE, METRICS, TRACED)
ROWS = 2_000
REMEMBERED = 64
LIMIT = 20


def serve_unwatched() -> None:
    """A gateway that tells nothing of its requests, as the process `--serve-unwatched`."""
    from vitrine.gateway import serving
    from vitrine.gateway.middleware import Observe
    from vitrine.telemetry.search_metrics import SearchMetrics
    from vitrine.telemetry.stages import StageClock

    def nothing(*_: object) -> None:
        """Stands in for what counts, times and logs."""

    Observe._record = nothing  # type: ignore[method-assign]  # noqa: SLF001 - no setting does this
    SearchMetrics.observe_best = nothing  # type: ignore[method-assign]
    StageClock.note_left = nothing  # type: ignore[method-assign]
    serving.run()


def variant(name: str, settings: Settings, endpoint: str, ratio: float, stack: ExitStack) -> Gateway:
    """Starts the gateway of a variant, ready."""
    if name == NONE:
        return open_gateway(name, settings, stack, {}, (str(Path(__file__)), "--serve-unwatched"))
    traced = {
        "VITRINE_TELEMETRY__OTLP_ENDPOINT": endpoint,
        "VITRINE_TELEMETRY__SAMPLE_RATIO": str(ratio),
    }
    return open_gateway(name, settings, stack, traced if name == TRACED else {})


def costs(measured: dict[str, Measured], variant: str, against: str) -> list[float]:
    """Share of the throughput of another that a variant costs, of each round."""
    return [1 - own / other for own, other in zip(measured[variant].per_s, measured[against].per_s, strict=True)]


def more_work(measured: dict[str, Measured], variant: str, against: str) -> list[float]:
    """Share of processor time for a request that a variant takes more, of each round."""
    return [own / other - 1 for own, other in zip(measured[variant].cpu_ms, measured[against].cpu_ms, strict=True)]


def table(measured: dict[str, Measured]) -> str:
    """The report for people."""
    lines = ["| telemetry | requests/s | CPU ms a request |", "|---|---|---|"]
    for name, figures in measured.items():
        lines.append(f"| {name} | {statistics.median(figures.per_s):.0f} | {statistics.median(figures.cpu_ms):.3f} |")
    lines += ["", "| costs (95 % interval of the median) | throughput | CPU a request |", "|---|---|---|"]
    for name, against in ((TRACED, METRICS), (METRICS, NONE), (TRACED, NONE)):
        lost, more = _told(costs(measured, name, against)), _told(more_work(measured, name, against))
        lines.append(f"| {name} against {against} | {lost} | {more} |")
    return "\n".join(lines)


def _told(shares: Sequence[float]) -> str:
    low, high = interval(shares)
    return f"{statistics.median(shares):.1%} ({low:.1%} to {high:.1%})"


def run(arguments: argparse.Namespace) -> dict[str, Measured]:
    """Starts everything, measures, ends everything.

    Raises:
        BenchError: a gateway did not start, or answered anything but 200.
    """
    with ExitStack() as stack:
        repository = read_settings().model.repository
        running = stack.enter_context(own_stack(repository, arguments.engines))
        settings = running.settings
        folder = settings.local.state_dir
        dimension = ModelContract.load(repository).dimension
        # Few: the cheaper Milvus is, the more telemetry weighs.
        vectors = np.random.default_rng(3).normal(size=(ROWS, dimension)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        asyncio.run(fill(running, vectors, Hnsw()))
        (otlp, otlp_grpc) = choose_free(2)
        receiver = ("-m", "tests.harness.otlp", "--http-port", str(otlp), "--grpc-port", str(otlp_grpc))
        stack.enter_context(process(*receiver, log=folder / "otlp.log"))
        endpoint = f"http://127.0.0.1:{otlp}/v1/traces"
        gateways = {name: variant(name, settings, endpoint, arguments.sample_ratio, stack) for name in VARIANTS}
        remembered = itertools.cycle(f"product {number}" for number in range(REMEMBERED))
        texts = (f"product {number}" for number in itertools.count(REMEMBERED)) if arguments.fresh else remembered
        load = Load(settings.gateway.default_collection, arguments.connections, LIMIT, arguments.slice_s)
        measured: dict[str, Measured] = uvloop.run(in_turns(gateways, running.pids, load, arguments.rounds, texts))
        received = sum(1 for _ in (folder / "otlp.log").open(encoding="utf-8"))
        sys.stderr.write(f"{received} lines of spans arrived at the receiver\n")
    return measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--slice-s", type=float, default=3.0)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--sample-ratio", type=float, default=0.01)
    parser.add_argument("--threshold", type=float, default=0.03)
    parser.add_argument("--against", choices=(METRICS, NONE), default=METRICS, help="whose throughput is the measure")
    parser.add_argument("--fresh", action="store_true", help="texts that the gateway does not remember")
    parser.add_argument("--engines", type=Path, default=read_settings().local.engines_dir)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--serve-unwatched", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve_unwatched:
        serve_unwatched()
        return
    try:
        measured = run(arguments)
    except BenchError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)
    cost = statistics.median(costs(measured, TRACED, arguments.against))
    passed = cost < arguments.threshold
    print(table(measured))
    verdict = "passed" if passed else "FAILED"
    print(f"\n{TRACED} costs less than {arguments.threshold:.0%} of the throughput of {arguments.against}: {verdict}.")
    if arguments.json:
        report = {name: asdict(figures) | {"latency_ms": None} for name, figures in measured.items()}
        arguments.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    sys.exit(0 if passed else 1)


if __name__ == "__main__":
    main()
