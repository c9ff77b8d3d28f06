"""Gateways of one stack that differ in something, loaded in turns: what the difference costs or gains.

Who begins changes from round to round, so that a disturbance of the machine hits all alike. All connections ask as fast
as they are answered.
"""

import asyncio
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
from http_connection import BenchError, Connection
from own_stack import OwnStack, cpu_seconds

from vitrine.domain import CatalogueItem, EmbeddedItem, Vectors
from vitrine.embedding.contract import ModelContract
from vitrine.local.gateway import environment_of
from vitrine.local.ports import choose_free
from vitrine.settings import Settings
from vitrine.vectorstore.admin import CollectionAdmin
from vitrine.vectorstore.collection import CollectionSpec
from vitrine.vectorstore.connection import MilvusConnection
from vitrine.vectorstore.index_params import IndexParams
from vitrine.vectorstore.writer import CollectionWriter

ROOT = Path(__file__).parents[2]
START_TIMEOUT_S = 60.0
WARM_S = 1.0
PATIENCE_MS = 10_000
UPSERT_ROWS = 1_000
REST_S = 70.0  # Milvus looks for segments to merge once a minute
REST_TIMEOUT_S = 900.0
RESTING_CORES = 0.1


@dataclass(frozen=True)
class Gateway:
    """One that runs."""

    url: str
    pid: int


@dataclass(frozen=True)
class Load:
    """What is asked: so many connections, hits and seconds of each in a round."""

    alias: str
    connections: int
    limit: int
    slice_s: float


@dataclass
class Measured:
    """One gateway: a figure for each round, and every latency. Processor time is the gateway's and the engines'."""

    per_s: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)
    engines_ms: list[float] = field(default_factory=list)
    latency_ms: list[float] = field(default_factory=list)


async def fill(running: OwnStack, vectors: Vectors, index: IndexParams) -> None:
    """A collection of these vectors, float32 [n, dim], behind the default alias; merged, built and loaded.

    Raises:
        BenchError: Milvus does not come to rest.
    """
    settings = running.settings
    contract = ModelContract.load(settings.model.repository)
    alias = settings.gateway.default_collection
    spec = CollectionSpec(f"{alias}_v1", contract.dimension, (), index, contract.fingerprint, contract.model)
    async with await MilvusConnection.open(settings.milvus) as connection:
        admin = CollectionAdmin(connection)
        info = await admin.create(spec)
        writer = CollectionWriter(connection, info)
        for start in range(0, len(vectors), UPSERT_ROWS):
            await writer.upsert(
                [
                    EmbeddedItem(CatalogueItem(f"{start + row:010}", Path("x"), "x.jpg", "A product", "", {}), vector)
                    for row, vector in enumerate(vectors[start : start + UPSERT_ROWS])
                ]
            )
        await writer.flush()
        # Left to itself, Milvus merges and indexes while the variants are compared, on the cores that they share.
        await _come_to_rest(running.pids["milvus"])
        await admin.wait_index_built(info.name)
        await admin.release(info.name)
        await admin.load(info.name)
        await admin.point_alias(alias, info.name)


async def _come_to_rest(pid: int) -> None:
    """Waits until a process does hardly anything by itself."""
    deadline = time.monotonic() + REST_TIMEOUT_S
    while time.monotonic() < deadline:
        before = cpu_seconds(pid)
        await asyncio.sleep(REST_S)
        if cpu_seconds(pid) - before < RESTING_CORES * REST_S:
            return
    raise BenchError(f"Milvus was still busy after {REST_TIMEOUT_S:.0f} s.")


@contextmanager
def process(*arguments: str, log: Path, python: str = sys.executable, **environment: str) -> Iterator[int]:
    """A Python process for as long as the block lasts; its process id."""
    with log.open("wb") as output:
        child = subprocess.Popen(  # noqa: S603 - this very Python, or one that the command line names
            [python, *arguments],
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


def open_gateway(
    name: str,
    settings: Settings,
    stack: ExitStack,
    environment: Mapping[str, str],
    how: Sequence[str] = ("-m", "vitrine.gateway"),
    python: str = sys.executable,
) -> Gateway:
    """Starts a gateway on a port of its own; it is ready, and ends with `stack`.

    Raises:
        BenchError: it is not ready in time; with its log.
    """
    (port,) = choose_free(1)
    at = settings.model_copy(update={"gateway": settings.gateway.model_copy(update={"port": port})})
    log = settings.local.state_dir / f"{name}.log"
    pid = stack.enter_context(process(*how, log=log, python=python, **(environment_of(at) | dict(environment))))
    url = f"http://127.0.0.1:{port}"
    await_answer(f"{url}/readyz", log)
    return Gateway(url, pid)


def await_answer(url: str, log: Path) -> None:
    """Waits until a gateway answers there that all is well.

    Raises:
        BenchError: it does not in time; with its log.
    """
    until = time.monotonic() + START_TIMEOUT_S
    while not _is_well(url):
        if time.monotonic() > until:
            raise BenchError(f"{url} does not answer that all is well:\n{log.read_text(encoding='utf-8')}")
        time.sleep(0.1)


def _is_well(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).is_success
    except httpx.TransportError:
        return False


async def in_turns(
    gateways: Mapping[str, Gateway], engines: Mapping[str, int], load: Load, rounds: int, texts: Iterator[str]
) -> dict[str, Measured]:
    """The figures of every gateway, round by round, after a second of each that does not count.

    Raises:
        BenchError: an answer was anything but 200.
    """
    measured = {name: Measured() for name in gateways}
    for gateway in gateways.values():
        await _ask(gateway, load, WARM_S, texts)
    names = list(gateways)
    for number in range(rounds):
        for step in range(len(names)):
            name = names[(number + step) % len(names)]
            pids = (gateways[name].pid, *engines.values())
            before, began = [cpu_seconds(pid) for pid in pids], time.perf_counter()
            latencies = await _ask(gateways[name], load, load.slice_s, texts)
            elapsed = time.perf_counter() - began
            own, *theirs = (cpu_seconds(pid) - then for pid, then in zip(pids, before, strict=True))
            one = measured[name]
            one.per_s.append(len(latencies) / elapsed)
            one.cpu_ms.append(own * 1000 / len(latencies))
            one.engines_ms.append(sum(theirs) * 1000 / len(latencies))
            one.latency_ms += latencies
        told = ", ".join(f"{name} {one.per_s[-1]:.0f}/s" for name, one in measured.items())
        sys.stderr.write(f"round {number + 1}: {told}\n")
    return measured


async def _ask(gateway: Gateway, load: Load, seconds: float, texts: Iterator[str]) -> list[float]:
    """Asks for so many seconds; the milliseconds that each request took."""
    until = time.perf_counter() + seconds
    latencies: list[float] = []

    async def caller() -> None:
        connection = await Connection.open(gateway.url)
        try:
            while (began := time.perf_counter()) < until:
                body = {"query": next(texts), "limit": load.limit, "timeout_ms": PATIENCE_MS}
                await connection.send(connection.request("POST", f"/v1/collections/{load.alias}/search", body))
                latencies.append((time.perf_counter() - began) * 1000)
        finally:
            connection.close()

    await asyncio.gather(*(caller() for _ in range(load.connections)))
    return latencies


def ratios(own: Sequence[float], other: Sequence[float]) -> str:
    """Median of the rounds' ratios, with its 95 % interval."""
    shares = [one / two for one, two in zip(own, other, strict=True)]
    low, high = interval(shares)
    return f"{statistics.median(shares):.2f} ({low:.2f} to {high:.2f})"


def interval(values: Sequence[float], draws: int = 2_000) -> tuple[float, float]:
    """95 % interval of the median, by drawing the rounds again."""
    drawn = np.random.default_rng(1).choice(np.array(values), size=(draws, len(values)))
    low, high = np.percentile(np.median(drawn, axis=1), (2.5, 97.5))
    return float(low), float(high)
