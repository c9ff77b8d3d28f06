"""How should texts of different lengths share Triton: one model for all buckets, or one model for each bucket?

Triton joins only requests of equal shape into one run, and a queue is taken from its head. So one model that gets all
lengths may find its batches cut short by a neighbour of another length, while one model per bucket keeps several copies
of the weights. This measures both on the same machine, in turns, with the same load, and reads the batch sizes from
Triton's own counters. See docs/adr/0002-text-buckets.md.

    python loadtest/bench/text_buckets.py REPOSITORY [--in-flight 64] [--seconds 10] [--rounds 3]

REPOSITORY is what `vitrine model export` wrote; its text graph is served, nothing in it is changed. Needs the engines.
"""

import argparse
import asyncio
import json
import os
import re
import shutil
import statistics
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from tritonclient.grpc.aio import InferenceServerClient, InferInput

from vitrine.domain import Deadline
from vitrine.embedding.contract import TEXT_MODEL, ModelContract
from vitrine.embedding.text_joiner import Ids, TextJoiner
from vitrine.local.engines import Engines
from vitrine.local.ports import choose_free
from vitrine.local.process import Child, last_lines
from vitrine.local.triton import TritonService
from vitrine.models.triton_config import Serving, text_config
from vitrine.settings import LocalSettings, TritonSettings

START_TIMEOUT_S = 120.0
CALL_TIMEOUT_S = 30.0
WARM_S = 1.5
MAX_BATCH = 32

MIXES = {
    # Share of queries by tokens, begin and end included (a word is a token or a little more).
    # A shop's search box: one to six words, seldom more; 97 % fit the smallest bucket.
    "shoppers": {3: 0.17, 4: 0.31, 5: 0.24, 6: 0.13, 7: 0.07, 8: 0.05, 11: 0.02, 20: 0.007, 50: 0.003},
    # Descriptions such as "women's long sleeve floral midi dress with belt": 60 % smallest bucket, 35 % the next.
    "descriptive": {5: 0.15, 6: 0.20, 8: 0.25, 10: 0.20, 12: 0.12, 16: 0.03, 24: 0.04, 60: 0.01},
}


@dataclass(frozen=True)
class Variant:
    """A way to serve the text graph.

    `model_of` names the model for a bucket. With `joined` the client puts waiting texts of one bucket into one request,
    as the gateway does; without it every text is a request.
    """

    name: str
    models: Mapping[str, tuple[int, ...]]
    model_of: Callable[[int], str]
    joined: bool = False


@dataclass(frozen=True)
class Result:
    """One run.

    Latencies are in milliseconds, as the client saw them. `cpu_ms` is processor time of Triton and its models for one
    query: on a machine that others use too it tells more than queries per second. `memory_mb` is their resident memory.
    """

    variant: str
    mix: str
    qps: float
    p50: float
    p99: float
    cpu_ms: float
    memory_mb: float
    mean_batch: float
    executions: int
    failed: int


@dataclass(frozen=True)
class Served:
    """A running Triton: the ports it has, and its process."""

    settings: LocalSettings
    pid: int

    def family(self) -> list[psutil.Process]:
        """Triton and the processes of its models."""
        parent = psutil.Process(self.pid)
        return [parent, *parent.children(recursive=True)]

    def cpu_seconds(self) -> float:
        return sum(sum(process.cpu_times()[:2]) for process in self.family())

    def memory_mb(self) -> float:
        return sum(process.memory_info().rss for process in self.family()) / 1e6


def variants(buckets: tuple[int, ...]) -> list[Variant]:
    """One model for all, one each, and one for all with a client that joins texts."""
    each = {f"{TEXT_MODEL}_{bucket}": (bucket,) for bucket in buckets}
    return [
        Variant("one model", {TEXT_MODEL: buckets}, lambda _: TEXT_MODEL),
        Variant("one model, client joins", {TEXT_MODEL: buckets}, lambda _: TEXT_MODEL, joined=True),
        Variant("one per bucket", each, lambda bucket: f"{TEXT_MODEL}_{bucket}"),
    ]


def lay_out(repository: Path, folder: Path, variant: Variant, serving: Serving) -> None:
    """A model repository of the variant's models, all with the one text graph."""
    contract = ModelContract.load(repository)
    for name, buckets in variant.models.items():
        config = text_config(contract.model_copy(update={"text_buckets": buckets}), serving)
        config = config.replace(f'name: "{TEXT_MODEL}"', f'name: "{name}"')
        (folder / name / "1").mkdir(parents=True)
        (folder / name / "config.pbtxt").write_text(config, encoding="utf-8")
        source, target = repository / TEXT_MODEL / "1" / "model.onnx", folder / name / "1" / "model.onnx"
        try:
            os.link(source, target)
        except OSError:
            shutil.copy(source, target)


@contextmanager
def triton(repository: Path, engines_dir: Path) -> Iterator[Served]:
    """A Triton on free ports of loopback, ready; ended afterwards."""
    grpc_port, http_port, metrics_port = choose_free(3)
    settings = LocalSettings(
        engines_dir=engines_dir,
        triton_grpc_port=grpc_port,
        triton_http_port=http_port,
        triton_metrics_port=metrics_port,
    )
    with tempfile.TemporaryDirectory(prefix="vitrine-bench-") as name:
        folder = Path(name)
        service = TritonService(settings, Engines.locate(engines_dir), repository, folder)
        child = Child(service.prepare(), folder / "triton.log", run="bench")
        try:
            deadline = time.monotonic() + START_TIMEOUT_S
            while not service.is_ready():
                if child.exit_status() is not None or time.monotonic() > deadline:
                    raise SystemExit(
                        "\n".join(["Triton did not become ready:", *last_lines(folder / "triton.log", 15)])
                    )
                time.sleep(0.1)
            yield Served(settings, child.pid)
        finally:
            child.terminate()
            ended = time.monotonic() + 15
            while child.exit_status() is None and time.monotonic() < ended:
                time.sleep(0.05)
            child.kill()
            service.clean_up()


def counters(port: int) -> tuple[int, int]:
    """Inferences (rows) and executions (runs) of all text models so far, from Triton's metrics."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        lines = answer.read().decode()
    found = [
        sum(float(value) for value in re.findall(rf'^{name}{{model="{TEXT_MODEL}\w*".*}} (\S+)$', lines, re.MULTILINE))
        for name in ("nv_inference_count", "nv_inference_exec_count")
    ]
    return int(found[0]), int(found[1])


async def drive(
    served: Served, variant: Variant, mix: str, buckets: tuple[int, ...], in_flight: int, seconds: float
) -> Result:
    """A closed loop: `in_flight` callers, each asking again as soon as it is answered."""
    client = InferenceServerClient(f"127.0.0.1:{served.settings.triton_grpc_port}")

    async def infer(ids: Ids, _: Deadline | None = None) -> Any:
        tensor = InferInput("input_ids", list(ids.shape), "INT32")
        tensor.set_data_from_numpy(ids)
        answer = await client.infer(variant.model_of(ids.shape[1]), [tensor], client_timeout=CALL_TIMEOUT_S)
        return answer.as_numpy("embedding")

    joiner = TextJoiner(infer, max_batch=MAX_BATCH, under_way=TritonSettings().calls_under_way)
    rng = np.random.default_rng(0)
    lengths, shares = list(MIXES[mix]), list(MIXES[mix].values())
    latencies: list[float] = []
    failed = 0
    measuring_from = time.perf_counter() + WARM_S
    until = measuring_from + seconds

    async def caller(drawn: Any) -> None:
        nonlocal failed
        for length in drawn:
            bucket = next(bucket for bucket in buckets if bucket >= length)
            ids = np.full((1, bucket), 49_407, np.int32)
            ids[0, : length - 1] = rng.integers(0, 49_406, length - 1)
            began = time.perf_counter()
            if began > until:
                return
            try:
                await (joiner.infer_text(ids, Deadline.after(CALL_TIMEOUT_S)) if variant.joined else infer(ids))
            except Exception:  # noqa: BLE001 - counted; any failure disqualifies the run
                failed += 1
            ended = time.perf_counter()
            if began >= measuring_from and ended <= until:
                latencies.append(ended - began)

    async def look() -> tuple[int, int, float]:
        counted = await asyncio.to_thread(counters, served.settings.triton_metrics_port)
        return *counted, served.cpu_seconds()

    async def between() -> tuple[tuple[int, int, float], tuple[int, int, float]]:
        await asyncio.sleep(max(0.0, measuring_from - time.perf_counter()))
        before = await look()
        await asyncio.sleep(max(0.0, until - time.perf_counter()))
        return before, await look()

    total = sum(shares)
    drawn = [rng.choice(lengths, 20_000, p=[share / total for share in shares]) for _ in range(in_flight)]
    (before, after), *_ = await asyncio.gather(between(), *(caller(row) for row in drawn))
    await client.close()
    rows, executions, cpu = (now - then for now, then in zip(after, before, strict=True))
    return Result(
        variant=variant.name,
        mix=mix,
        qps=len(latencies) / seconds,
        p50=float(np.percentile(latencies, 50)) * 1000,
        p99=float(np.percentile(latencies, 99)) * 1000,
        cpu_ms=cpu / max(1, rows) * 1000,
        memory_mb=served.memory_mb(),
        mean_batch=rows / max(1, executions),
        executions=int(executions),
        failed=failed,
    )


def medians(results: list[Result]) -> Result:
    """The median of each figure over the rounds."""
    figures = ("qps", "p50", "p99", "cpu_ms", "memory_mb", "mean_batch", "executions", "failed")
    return replace(
        results[0], **{name: statistics.median(getattr(result, name) for result in results) for name in figures}
    )


def run(arguments: argparse.Namespace) -> list[Result]:
    """All variants and mixes in turns, so that a disturbance of the machine hits each alike."""
    serving = Serving(
        instances=arguments.instances, threads=arguments.threads, text_queue_delay_us=arguments.queue_delay_us
    )
    buckets = ModelContract.load(arguments.repository).text_buckets
    found: dict[tuple[str, str], list[Result]] = {}
    for _ in range(arguments.rounds):
        for variant in variants(buckets):
            if arguments.variant not in (None, variant.name):
                continue
            with tempfile.TemporaryDirectory(prefix=".buckets-", dir=arguments.repository.absolute().parent) as name:
                lay_out(arguments.repository, Path(name), variant, serving)
                with triton(Path(name), arguments.engines) as served:
                    for mix in MIXES:
                        result = asyncio.run(
                            drive(served, variant, mix, buckets, arguments.in_flight, arguments.seconds)
                        )
                        found.setdefault((variant.name, mix), []).append(result)
    return [medians(results) for results in found.values()]


def main() -> None:
    serving = Serving()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("repository", type=Path)
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--instances", type=int, default=serving.instances)
    parser.add_argument("--threads", type=int, default=serving.threads)
    parser.add_argument("--queue-delay-us", type=int, default=serving.text_queue_delay_us)
    parser.add_argument("--variant", choices=["one model", "one model, client joins", "one per bucket"])
    parser.add_argument("--engines", type=Path, default=LocalSettings().engines_dir)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    results = run(arguments)
    print("| variant | mix | mean batch | CPU ms a query | queries/s | p50 ms | p99 ms | memory MB | failed |")
    print("|---|---|---|---|---|---|---|---|---|")
    for result in sorted(results, key=lambda result: result.mix, reverse=True):
        print(
            f"| {result.variant} | {result.mix} | {result.mean_batch:.1f} | {result.cpu_ms:.1f} | {result.qps:.0f} "
            f"| {result.p50:.0f} | {result.p99:.0f} | {result.memory_mb:.0f} | {result.failed:.0f} |"
        )
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(result) for result in results], indent=2) + "\n")


if __name__ == "__main__":
    main()
