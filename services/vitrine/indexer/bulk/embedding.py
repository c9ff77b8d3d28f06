"""A catalogue to kept embeddings: Triton is asked, Milvus is not. What a folder keeps already is not embedded again."""

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from vitrine.errors import VitrineError
from vitrine.indexer.catalogue import Catalogue
from vitrine.indexer.channel import Channel
from vitrine.indexer.control import RunControl, stopped_by_signals
from vitrine.indexer.display import Display, followed
from vitrine.indexer.kept import EmbeddingKeeper
from vitrine.indexer.ledger import exclusive_lock
from vitrine.indexer.mapping import load_mapping
from vitrine.indexer.outcomes import Outcomes
from vitrine.indexer.rejections import RejectsFile
from vitrine.indexer.report import IndexStage, StageTimes, Tally
from vitrine.indexer.shards.sharding import WHOLE, Shard
from vitrine.indexer.sources import CatalogueSource, RunParts, open_catalogue_source
from vitrine.indexer.states import Embedded
from vitrine.settings import Settings

FLUSH_AFTER_S = 60.0
"""A killed run loses at most this much embedding; a part that is written for its age is small."""

_TAKE = 256


@dataclass(frozen=True, slots=True)
class EmbedRequest:
    """What to embed.

    Args:
        catalogue: its folder.
        mapping: name of a mapping that ships, or a file.
        output: folder for the parts, one for each shard.
        shard: the part of the catalogue that this process answers for.
        limit: only this many records.
        rejects: CSV of rejections; None: they are only counted.
        max_rejects: more than this many fail the run.
    """

    catalogue: Path
    mapping: str
    output: Path
    shard: Shard = WHOLE
    limit: int | None = None
    rejects: Path | None = None
    max_rejects: int | None = None


@dataclass(frozen=True, slots=True)
class EmbedReport:
    """The end of a run: read = embedded + unchanged + rejected + elsewhere, and `dropped` when it ended early.

    Args:
        tally: `written` counts what is in complete parts now.
        interrupted: by which signal; empty when it was not.
        failure: why it did not come to its end; None when it did.
    """

    output: str
    shard: str
    tally: Tally
    elapsed_s: float
    ignored: Mapping[str, int]
    interrupted: str = ""
    failure: VitrineError | None = None

    def as_json(self) -> dict[str, object]:
        """For `--json`: plain types only."""
        tally = self.tally
        return {
            "output": self.output,
            "shard": self.shard,
            "read": tally.read,
            "embedded": tally.written,
            "unchanged": tally.unchanged,
            "rejected": tally.rejections,
            "rejected_by_reason": dict(sorted(tally.rejected.items())),
            "elsewhere": tally.elsewhere,
            "dropped": tally.dropped,
            "ignored": {reason: count for reason, count in self.ignored.items() if count},
            "elapsed_s": round(self.elapsed_s, 3),
            "products_per_s": round(tally.written / self.elapsed_s, 2) if self.elapsed_s else 0.0,
            "interrupted": self.interrupted,
            "error": None if self.failure is None else {"code": self.failure.code, "message": self.failure.message},
        }

    def print(self, console: Console) -> None:
        """A table of outcomes."""
        tally = self.tally
        table = Table("products", "count")
        counts = {"read": tally.read, "embedded": tally.written, "kept already": tally.unchanged}
        counts |= {"rejected": tally.rejections} | {f"  {code}": n for code, n in sorted(tally.rejected.items())}
        counts |= {name: n for name, n in (("other shards'", tally.elsewhere), ("not finished", tally.dropped)) if n}
        for name, count in counts.items():
            table.add_row(name, str(count))
        console.print(table)
        console.print(f"{self.elapsed_s:.1f} s; kept in {self.output}", highlight=False, soft_wrap=True)


class KeptFiles:
    """The end of a pipeline that only keeps: embeddings become parts, bounded by size and by age.

    Args:
        bookkeeping: the one thread that the keeper is used from.
    """

    def __init__(self, keeper: EmbeddingKeeper, tally: Tally, times: StageTimes, bookkeeping: Executor) -> None:
        self._keeper = keeper
        self._tally = tally
        self._times = times
        self._bookkeeping = bookkeeping

    async def drain(self, embedded: Channel[Embedded]) -> None:
        """Keeps everything until the channel is closed and empty. Raises OSError: the folder cannot be written."""
        pending, flushed_at = 0, time.monotonic()
        while True:
            patience = max(0.01, flushed_at + FLUSH_AFTER_S - time.monotonic()) if pending else None
            taken = await embedded.take(_TAKE, within_s=patience)
            if taken:
                flushed_at = flushed_at if pending else time.monotonic()
                batch = taken
                await self._aside(lambda: self._keeper.add(batch))  # noqa: B023 - awaited within the round
                pending += len(taken)
            if taken is None or (pending and time.monotonic() - flushed_at >= FLUSH_AFTER_S):
                await self._aside(self._keeper.flush)
                self._tally.written += pending
                pending = 0
            if taken is None:
                return

    async def _aside(self, work: Callable[[], None]) -> None:
        with self._times.busy(IndexStage.WRITE):
            await asyncio.get_running_loop().run_in_executor(self._bookkeeping, work)


async def run_bulk_embed(request: EmbedRequest, settings: Settings, display: Display) -> EmbedReport:
    """Embeds what the folder does not keep yet. Repeated, it goes on from the parts that are there.

    Raises:
        VitrineError: it could not begin.
    """
    control, tally = RunControl(), Tally()
    catalogue = Catalogue(request.catalogue, load_mapping(request.mapping))
    async with AsyncExitStack() as stack:
        stack.enter_context(stopped_by_signals(control))
        stack.callback(os.close, exclusive_lock(request.output / ".lock"))
        source = await stack.enter_async_context(
            open_catalogue_source(
                catalogue, settings, control, limit=request.limit, compare_contents=False, shard=request.shard
            )
        )
        keeper = await asyncio.to_thread(EmbeddingKeeper, request.output, source.header)
        bookkeeping = stack.enter_context(ThreadPoolExecutor(1, thread_name_prefix="bookkeeping"))
        rejects = stack.enter_context(RejectsFile(request.rejects)) if request.rejects is not None else None
        times = _stage_times(settings)
        outcomes = Outcomes(tally, control, bookkeeping, rejects=rejects, ledger=None, max_rejects=request.max_rejects)
        sink = KeptFiles(keeper, tally, times, bookkeeping)
        parts = RunParts(keeper.known, outcomes, sink, tally, times, control, bookkeeping)
        began = time.monotonic()
        failure = await _run(source, parts, display)
        return EmbedReport(
            str(request.output),
            request.shard.name,
            tally,
            time.monotonic() - began,
            source.ignored(),
            interrupted=control.reason,
            failure=failure,
        )


async def _run(source: CatalogueSource, parts: RunParts, display: Display) -> VitrineError | None:
    """Runs to the end, to an orderly stop or to the failure that comes back."""
    tally = parts.tally
    try:
        async with followed(display, tally, source.total):
            try:
                await source.runner(parts).run()
            finally:
                tally.add_elsewhere(source.elsewhere)
        tally.check()
    except VitrineError as error:
        tally.dropped += max(0, tally.read - tally.settled)
        return error
    return None


def _stage_times(settings: Settings) -> StageTimes:
    threads = settings.images.decode_threads
    slots = (threads + 1, threads, settings.indexer.in_flight, 1)
    return StageTimes(dict(zip(IndexStage, slots, strict=True)))
