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
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import httpx
import numpy as np
import uvloop
from http_connection import BenchError, Connection
from own_stack import cpu_seconds, own_stack

from vitrine.domain import CatalogueItem, EmbeddedItem
from vitrine.embedding.contract import ModelContract
from vitrine.local.gateway import environment_of
from vitrine.local.ports import choose_free
from vitrine.settings import Settings, read_settings
from vitrine.vectorstore.admin import CollectionAdmin
from vitrine.vectorstore.collection import CollectionSpec
from vitrine.vectorstore.connection import MilvusConnection
from vitrine.vectorstore.index_params import Hnsw
from vitrine.vectorstore.writer import CollectionWriter

ROOT = Path(__file__).parents[2]
NONE, METRICS, TRACED = "none", "metrics", "traced"
VARIANTS = (NONE, METRICS, TRACED)
ROWS = 2_000
UPSERT_ROWS = 1_000
REMEMBERED = 64
START_TIMEOUT_S = 60.0
WARM_S = 1.0
PATIENCE_MS = 10_000


@dataclass
class Measured:
    """One variant: a figure for each round."""

    per_s: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Watched:
    """One gateway under load."""

    url: str
    pid: int


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


async def fill(settings: Settings) -> None:
    """A small collection behind the default alias: the cheaper Milvus is, the more telemetry weighs."""
    contract = ModelContract.load(settings.model.repository)
    vectors = np.random.default_rng(3).normal(size=(ROWS, contract.dimension)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    async with await MilvusConnection.open(settings.milvus) as connection:
        admin = CollectionAdmin(connection)
        alias = settings.gateway.default_collection
        spec = CollectionSpec(f"{alias}_v1", contract.dimension, (), Hnsw(), contract.fingerprint, contract.model)
        info = await admin.create(spec)
        writer = CollectionWriter(connection, info)
        for start in range(0, ROWS, UPSERT_ROWS):
            await writer.upsert(
                [
                    EmbeddedItem(CatalogueItem(f"{start + row:010}", Path("x"), "x.jpg", "A product", "", {}), vector)
                    for row, vector in enumerate(vectors[start : start + UPSERT_ROWS])
                ]
            )
        await writer.flush()
        await admin.wait_index_built(info.name)
        await admin.point_alias(alias, info.name)


@contextmanager
def process(*arguments: str, log: Path, **environment: str) -> Iterator[int]:
    """A Python process for as long as the block lasts; its process id."""
    with log.open("wb") as output:
        child = subprocess.Popen(  # noqa: S603 - this very Python
            [sys.executable, *arguments],
            env={**os.environ, **environment},
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield child.pid
    finally:
        child.terminate()
        try:
            child.wait(20)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def gateway(variant: str, settings: Settings, folder: Path, endpoint: str, ratio: float, stack: ExitStack) -> Watched:
    """Starts the gateway of a variant, ready."""
    (port,) = choose_free(1)
    at = settings.model_copy(update={"gateway": settings.gateway.model_copy(update={"port": port})})
    environment = environment_of(at)
    if variant == TRACED:
        environment |= {
            "VITRINE_TELEMETRY__OTLP_ENDPOINT": endpoint,
            "VITRINE_TELEMETRY__SAMPLE_RATIO": str(ratio),
        }
    how = (str(Path(__file__)), "--serve-unwatched") if variant == NONE else ("-m", "vitrine.gateway")
    pid = stack.enter_context(process(*how, log=folder / f"{variant}.log", **environment))
    url = f"http://127.0.0.1:{port}"
    until = time.monotonic() + START_TIMEOUT_S
    while not _is_ready(url):
        if time.monotonic() > until:
            raise BenchError(
                f"The gateway {variant!r} did not become ready:\n{(folder / f'{variant}.log').read_text()}"
            )
        time.sleep(0.1)
    return Watched(url, pid)


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", trust_env=False).is_success
    except httpx.TransportError:
        return False


async def load(watched: Watched, alias: str, connections: int, seconds: float, texts: Iterator[str]) -> int:
    """Asks for so many seconds; how many requests were answered. Any answer but 200 is an error."""
    until = time.perf_counter() + seconds

    async def caller() -> int:
        connection = await Connection.open(watched.url)
        answered = 0
        try:
            while time.perf_counter() < until:
                body = {"query": next(texts), "limit": 20, "timeout_ms": PATIENCE_MS}
                await connection.send(connection.request("POST", f"/v1/collections/{alias}/search", body))
                answered += 1
        finally:
            await connection.aclose()
        return answered

    return sum(await asyncio.gather(*(caller() for _ in range(connections))))


async def measure(gateways: dict[str, Watched], alias: str, arguments: argparse.Namespace) -> dict[str, Measured]:
    """The figures of every variant, round by round."""
    remembered = itertools.cycle(f"product {number}" for number in range(REMEMBERED))
    texts = (f"product {number}" for number in itertools.count(REMEMBERED)) if arguments.fresh else remembered
    measured = {name: Measured() for name in gateways}
    for watched in gateways.values():
        await load(watched, alias, arguments.connections, WARM_S, texts)
    names = list(gateways)
    for number in range(arguments.rounds):
        for step in range(len(names)):
            name = names[(number + step) % len(names)]
            before, began = cpu_seconds(gateways[name].pid), time.perf_counter()
            answered = await load(gateways[name], alias, arguments.connections, arguments.slice_s, texts)
            elapsed, used = time.perf_counter() - began, cpu_seconds(gateways[name].pid) - before
            measured[name].per_s.append(answered / elapsed)
            measured[name].cpu_ms.append(used * 1000 / answered)
        sys.stderr.write(
            f"round {number + 1}: " + ", ".join(f"{n} {m.per_s[-1]:.0f}/s" for n, m in measured.items()) + "\n"
        )
    return measured


def costs(measured: dict[str, Measured], variant: str, against: str) -> list[float]:
    """Share of the throughput of another that a variant costs, of each round."""
    return [1 - own / other for own, other in zip(measured[variant].per_s, measured[against].per_s, strict=True)]


def more_work(measured: dict[str, Measured], variant: str, against: str) -> list[float]:
    """Share of processor time for a request that a variant takes more, of each round."""
    return [own / other - 1 for own, other in zip(measured[variant].cpu_ms, measured[against].cpu_ms, strict=True)]


def interval(values: Sequence[float], draws: int = 2_000) -> tuple[float, float]:
    """95 % interval of the median, by drawing the rounds again."""
    drawn = np.random.default_rng(1).choice(np.array(values), size=(draws, len(values)))
    low, high = np.percentile(np.median(drawn, axis=1), (2.5, 97.5))
    return float(low), float(high)


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
        asyncio.run(fill(settings))
        (otlp, otlp_grpc) = choose_free(2)
        receiver = ("-m", "tests.harness.otlp", "--http-port", str(otlp), "--grpc-port", str(otlp_grpc))
        stack.enter_context(process(*receiver, log=folder / "otlp.log"))
        endpoint = f"http://127.0.0.1:{otlp}/v1/traces"
        gateways = {name: gateway(name, settings, folder, endpoint, arguments.sample_ratio, stack) for name in VARIANTS}
        measured: dict[str, Measured] = uvloop.run(measure(gateways, settings.gateway.default_collection, arguments))
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
        report = {name: asdict(figures) for name, figures in measured.items()}
        arguments.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    sys.exit(0 if passed else 1)


if __name__ == "__main__":
    main()
