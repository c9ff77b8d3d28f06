"""A dry run: reads and decodes a whole catalogue, asks no engine, and says what would be rejected."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, nullcontext
from itertools import islice
from pathlib import Path

from vitrine.embedding.contract import ImagePolicy
from vitrine.errors import VitrineError
from vitrine.indexer.catalogue import Catalogue
from vitrine.indexer.channel import Channel
from vitrine.indexer.control import RunControl, stopped_by_signals
from vitrine.indexer.display import Display, followed
from vitrine.indexer.intake import Intake
from vitrine.indexer.loading import Loader
from vitrine.indexer.mapping import load_mapping
from vitrine.indexer.outcomes import Outcomes
from vitrine.indexer.pipeline import run_together
from vitrine.indexer.rejections import RejectsFile
from vitrine.indexer.report import IndexStage, StageTimes, Summary, Tally
from vitrine.indexer.states import Prepared
from vitrine.settings import ImageSettings


async def check_catalogue(
    folder: Path,
    mapping: str,
    images: ImageSettings,
    display: Display,
    *,
    limit: int | None = None,
    rejects: Path | None = None,
) -> Summary:
    """Takes a catalogue through everything that needs neither Triton nor Milvus.

    Args:
        rejects: where to list rejections; None: they are only counted.

    Returns:
        A summary whose `written` counts the products that an index run would embed.

    Raises:
        CatalogueInvalid: the catalogue cannot be read at all.
    """
    catalogue = Catalogue(folder, load_mapping(mapping))
    total = await asyncio.to_thread(catalogue.estimated_rows)
    control, tally, threads = RunControl(), Tally(), images.decode_threads
    times = StageTimes({IndexStage.READ: threads + 1, IndexStage.DECODE: threads})
    # What is rejected does not depend on a model: every policy decodes the same files.
    loader = Loader(folder, fingerprint="", policy=ImagePolicy(), limits=images, times=times)
    began = time.monotonic()
    with (
        stopped_by_signals(control),
        closing(RejectsFile(rejects)) if rejects is not None else nullcontext() as rejects_file,
        ThreadPoolExecutor(1, thread_name_prefix="bookkeeping") as bookkeeping,
        ThreadPoolExecutor(threads, thread_name_prefix="decode") as decode_pool,
    ):
        intake = Intake(
            islice(catalogue.rows(), limit),
            loader,
            lambda _ids: {},
            Outcomes(tally, control, bookkeeping, rejects=rejects_file, ledger=None),
            tally,
            times,
            control,
            bookkeeping=bookkeeping,
            decode_pool=decode_pool,
            decode_threads=threads,
        )
        prepared: Channel[Prepared] = Channel(threads)
        async with followed(display, tally, total if limit is None else min(limit, total)):
            await run_together(intake.run(prepared), _count(prepared, tally))
    failure: VitrineError | None = control.failure
    tally.check()
    return Summary(
        collection="",
        alias="",
        tally=tally,
        times=times,
        elapsed_s=time.monotonic() - began,
        ignored={"blank_line": catalogue.blank_lines},
        interrupted=control.reason,
        rejects_file=str(rejects or ""),
        failure=failure,
    )


async def _count(prepared: Channel[Prepared], tally: Tally) -> None:
    async for _ in prepared:
        tally.written += 1
