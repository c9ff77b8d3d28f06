"""One run over what was prepared: everything is started, measured side by side, and ended."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import uvloop

from loadtest.bench.local_milvus import LocalMilvus
from loadtest.bench.serving.collections import RECIPE, release, served
from loadtest.bench.serving.figures import Figures
from loadtest.bench.serving.loading import load_and_tune
from loadtest.bench.serving.measuring import Bench
from loadtest.bench.serving.preparing import MILLION, Prepared
from loadtest.bench.serving.sizes import PRECISIONS, Size
from loadtest.bench.serving.stack import serving
from vitrine.settings import MilvusSettings


def run(prepared: Prepared, size: Size, python: Path, engines: Path, tell: Callable[[str], None]) -> Figures:
    """Starts everything, measures, ends everything.

    Raises:
        BenchError: nothing could be measured.
        SystemExit: an engine does not start.
    """
    milvus = LocalMilvus(engines.absolute(), prepared.folder / "milvus-state")
    milvus.start()
    try:
        tell("Loading the collections, finding the search setting")
        tuned = asyncio.run(load_and_tune(prepared, size, milvus))
        tell(f"ef {tuned.ef}; starting a Triton and two gateways for each precision")
        repositories = {precision: prepared.models.repository(precision) for precision in PRECISIONS}
        with serving(repositories, engines, milvus, prepared.folder / "processes") as running:
            return uvloop.run(Bench(prepared, size, tuned, running, milvus, tell).run(python))
    finally:
        names = [RECIPE, *map(served, PRECISIONS), *([served(MILLION)] if prepared.larger is not None else [])]
        asyncio.run(release(MilvusSettings(uri=milvus.uri), names))
        milvus.stop()
