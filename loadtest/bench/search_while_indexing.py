"""What does indexing at full rate do to searches on the same cores?

    python loadtest/bench/search_while_indexing.py [REPOSITORY] [--rate 10] [--seconds 20] [--rounds 4]
        [--max-rate 5] [--niceness 0]

Starts a stack of its own with the gateway, indexes drawn photographs of 1166 x 1750, and asks text queries at a fixed
rate in turns: while nothing else runs, and while `vitrine index --reindex` writes into the collection that is searched,
with the limits that ship or with those given here. Every query is new, so none comes from a cache. A latency counts
from the moment the query was due: a search that waits for a stalled client, or for an earlier one, waits.
"""

import argparse
import asyncio
import itertools
import json
import os
import signal
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
from own_stack import IndexRun, OwnStack, own_stack, start_index
from photographs import write_photographs

from vitrine.demo.vocabulary import COLOURS, GARMENTS, PATTERNS
from vitrine.models.triton_config import NICENESS_PARAMETER
from vitrine.settings import LocalSettings

ALIAS = "products"
GOAL = 2.0
TIMEOUT_S = 30.0
START_TIMEOUT_S = 90.0
BUSY_CPU_S = 0.5
"""Processor time of Triton by which a run counts as under way: Python, the ledger and the collection come first."""
SEASONS = ("", "new", "small", "summer", "winter", "soft")


@dataclass
class Phase:
    """Latencies in milliseconds by kind of phase, and what the indexer did meanwhile."""

    idle: list[float] = field(default_factory=list)
    indexing: list[float] = field(default_factory=list)
    products_per_s: list[float] = field(default_factory=list)
    failed: int = 0


def queries() -> Iterator[str]:
    """Thousands of different ones."""
    words = itertools.product(SEASONS, COLOURS, PATTERNS, GARMENTS)
    parts = [f"{season} {colour.key} {pattern.key} {garment.key}".strip() for season, colour, pattern, garment in words]
    np.random.default_rng(0).shuffle(parts)
    return itertools.cycle(parts)


async def search(
    client: httpx.AsyncClient, texts: Iterator[str], rate: float, seconds: float, phase: Phase
) -> list[float]:
    """Asks `rate` queries a second, whether or not earlier ones are answered; milliseconds of those that were."""
    latencies: list[float] = []

    async def one(due: float, text: str) -> None:
        try:
            answer = await client.post(f"/v1/collections/{ALIAS}/search", json={"query": text, "timeout_ms": 10_000})
            answer.raise_for_status()
        except httpx.HTTPError:
            phase.failed += 1
            return
        latencies.append((time.perf_counter() - due) * 1000)

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(int(rate * seconds)):
            due = began + number / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            group.create_task(one(due, next(texts)))
    return latencies


def indexing(stack: OwnStack, arguments: argparse.Namespace, catalogue: Path) -> IndexRun:
    """A run over everything again, at full rate or at that of --max-rate."""
    options = [] if arguments.max_rate is None else ["--max-rate", str(arguments.max_rate)]
    return start_index(
        stack.settings,
        *("--catalogue", catalogue, "--collection", ALIAS, "--reindex", *options),
        **({} if arguments.niceness is None else {"VITRINE_INDEXER__NICENESS": str(arguments.niceness)}),
    )


async def under_way(stack: OwnStack, run: IndexRun, before_s: float) -> None:
    """Returns once Triton has begun to embed for a run."""
    until = time.monotonic() + START_TIMEOUT_S
    while stack.cpu_seconds()["triton"] - before_s < BUSY_CPU_S:
        if run.process.poll() is not None or time.monotonic() > until:
            raise SystemExit("vitrine index does not get under way.")
        await asyncio.sleep(0.2)


def end(run: IndexRun) -> float:
    """Stops a run in order; products a second that it wrote."""
    run.process.send_signal(signal.SIGTERM)
    try:
        output, errors = run.process.communicate(timeout=120)
    except subprocess.TimeoutExpired:
        run.process.kill()
        raise SystemExit("vitrine index did not stop.") from None
    if not output.strip():
        raise SystemExit(f"vitrine index ended with status {run.process.returncode}:\n{errors[-2000:]}")
    summary = json.loads(output)
    if not summary["interrupted"]:
        raise SystemExit("vitrine index was done before the phase was over: give it more --pictures.")
    return float(summary["written"] / summary["elapsed_s"])


async def phases(stack: OwnStack, arguments: argparse.Namespace, catalogue: Path) -> Phase:
    """Idle and indexing in turns."""
    phase, texts = Phase(), queries()
    base = f"http://127.0.0.1:{stack.settings.gateway.port}"
    async with httpx.AsyncClient(base_url=base, timeout=TIMEOUT_S, trust_env=False) as client:
        await search(client, texts, arguments.rate, 5.0, phase)
        for _ in range(arguments.rounds):
            phase.idle += await search(client, texts, arguments.rate, arguments.seconds, phase)
            before_s = stack.cpu_seconds()["triton"]
            run = indexing(stack, arguments, catalogue)
            await under_way(stack, run, before_s)
            phase.indexing += await search(client, texts, arguments.rate, arguments.seconds, phase)
            phase.products_per_s.append(await asyncio.to_thread(end, run))
            await asyncio.sleep(2.0)
    return phase


def with_niceness(repository: Path, niceness: int | None, folder: Path) -> Path:
    """The repository, or links to it with the image model's niceness changed."""
    if niceness is None:
        return repository
    for source in repository.rglob("*"):
        target = folder / source.relative_to(repository)
        if source.is_dir():
            target.mkdir(parents=True, exist_ok=True)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
    config = folder / "clip_image" / "config.pbtxt"
    kept = [line for line in config.read_text(encoding="utf-8").splitlines() if NICENESS_PARAMETER not in line]
    kept.append(f'parameters {{ key: "{NICENESS_PARAMETER}" value {{ string_value: "{niceness}" }} }}')
    config.write_text("\n".join(kept) + "\n", encoding="utf-8")
    return folder


def report(phase: Phase) -> dict[str, float]:
    """The figures."""
    idle, busy = (np.percentile(kind, [50, 99]) for kind in (phase.idle, phase.indexing))
    return {
        "searches": len(phase.idle) + len(phase.indexing),
        "failed": phase.failed,
        "idle_p50_ms": round(float(idle[0]), 1),
        "idle_p99_ms": round(float(idle[1]), 1),
        "indexing_p50_ms": round(float(busy[0]), 1),
        "indexing_p99_ms": round(float(busy[1]), 1),
        "p99_ratio": round(float(busy[1] / idle[1]), 2),
        "goal": GOAL,
        "products_per_s": round(statistics.fmean(phase.products_per_s), 1),
        "load_average": round(os.getloadavg()[0], 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("repository", type=Path, nargs="?", default=Path("model_repository"))
    parser.add_argument("--rate", type=float, default=10.0, help="searches a second")
    parser.add_argument("--seconds", type=float, default=20.0, help="of a phase")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--pictures", type=int, default=3000)
    parser.add_argument("--before", type=int, default=300, help="products that are there before the first search")
    parser.add_argument("--max-rate", type=float, help="as of `vitrine index`")
    parser.add_argument("--niceness", type=int, help="of the indexer's and the image model's threads")
    parser.add_argument("--catalogue", type=Path, help="keep the drawn photographs here, or take those that are there")
    parser.add_argument("--engines", type=Path, default=LocalSettings().engines_dir)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="vitrine-photographs-") as drawn,
        tempfile.TemporaryDirectory(prefix="vitrine-repository-") as copied,
    ):
        catalogue = arguments.catalogue or Path(drawn)
        if not (catalogue / "articles.csv").is_file():
            write_photographs(catalogue, arguments.pictures)
        repository = with_niceness(arguments.repository, arguments.niceness, Path(copied))
        with own_stack(repository, arguments.engines, gateway=True) as stack:
            start_index(
                stack.settings, "--catalogue", catalogue, "--collection", ALIAS, "--limit", f"{arguments.before}"
            ).follow()
            figures = report(asyncio.run(phases(stack, arguments, catalogue)))
    print(json.dumps(figures, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
