"""One run with everything open: it goes over its source, and publishes what came of it."""

import logging
import time
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from vitrine.errors import VitrineError
from vitrine.indexer.control import RunControl
from vitrine.indexer.display import Display, followed
from vitrine.indexer.kept import EmbeddingKeeper
from vitrine.indexer.ledger import Ledger
from vitrine.indexer.outcomes import Outcomes
from vitrine.indexer.rejections import RejectsFile
from vitrine.indexer.report import IndexStage, StageTimes, Summary, Tally
from vitrine.indexer.retry import Backoff
from vitrine.indexer.sink import Sink
from vitrine.indexer.sources import RunParts, Source
from vitrine.indexer.states import Mark
from vitrine.indexer.target import Target, publish
from vitrine.settings import Settings
from vitrine.vectorstore.admin import CollectionAdmin
from vitrine.vectorstore.writer import CollectionWriter

# About 75 s: longer than Milvus takes to come back and to load a collection again.
WRITE_BACKOFF = Backoff(attempts=8)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RunFiles:
    """What a run writes on disk.

    Args:
        ledger: SQLite file.
        rejects: CSV of rejections.
        embeddings: folder for kept embeddings; None: they are not kept.
    """

    ledger: Path
    rejects: Path
    embeddings: Path | None


class Run:
    """Made by `open_run`.

    Args:
        alias: what readers call the collection.
    """

    def __init__(
        self,
        alias: str,
        source: Source,
        target: Target,
        admin: CollectionAdmin,
        writer: CollectionWriter,
        ledger: Ledger,
        files: RunFiles,
        parts: RunParts,
    ) -> None:
        self._alias = alias
        self._source = source
        self._target = target
        self._admin = admin
        self._writer = writer
        self._ledger = ledger
        self._files = files
        self._parts = parts

    async def go(self, display: Display) -> Summary:
        """Runs to the end, to an orderly stop or to a failure; the summary says which. Publishes after an end."""
        began = time.monotonic()
        failure: VitrineError | None = None
        try:
            async with followed(display, self._parts.tally, self._source.total):
                await self._source.runner(self._parts).run()
            self._parts.tally.check()
        except VitrineError as error:
            failure = error
        summary = self._summary(time.monotonic() - began, failure)
        if failure is not None or summary.interrupted:
            return summary
        return await self._publish(display, summary)

    async def _publish(self, display: Display, summary: Summary) -> Summary:
        """Waits until everything is searchable from its index, counts it, and lets readers see it."""
        began = time.monotonic()
        name, expected = self._target.info.name, self._ledger.in_collection()
        try:
            if summary.tally.written or not self._target.live:
                display.waiting("Flushing", 0.0)
                await WRITE_BACKOFF.run("Flushing", self._writer.flush, self._parts.control.stopping)
                display.waiting("Flushing", 1.0)
                await self._admin.wait_index_built(name, on_progress=display.waiting)
            rows = await publish(self._admin, self._target, self._alias, expected=expected)
        except VitrineError as error:
            return replace(summary, failure=error, finishing_s=time.monotonic() - began)
        if rows > expected:
            _log.warning(
                "%s holds %d products more than this ledger knows of: others write into it, or a ledger was lost.",
                name,
                rows - expected,
            )
        return replace(summary, in_collection=rows, finishing_s=time.monotonic() - began)

    def _summary(self, elapsed_s: float, failure: VitrineError | None) -> Summary:
        if failure is not None:
            # What was under way when a stage failed: nobody settles it any more.
            self._parts.tally.dropped += max(0, self._parts.tally.read - self._parts.tally.settled)
        return Summary(
            collection=self._target.info.name,
            alias=self._alias,
            tally=self._parts.tally,
            times=self._parts.times,
            elapsed_s=elapsed_s,
            ignored=self._source.ignored(),
            expected=self._ledger.in_collection(),
            stale=self._ledger.stale(),
            interrupted=self._parts.control.reason,
            rejects_file=str(self._files.rejects),
            failure=failure,
        )


@asynccontextmanager
async def open_run(
    alias: str,
    source: Source,
    target: Target,
    admin: CollectionAdmin,
    writer: CollectionWriter,
    files: RunFiles,
    settings: Settings,
    control: RunControl,
    *,
    reindex: bool,
    max_rejects: int | None,
) -> AsyncIterator[Run]:
    """Opens what a run writes, and closes it in an order that loses nothing.

    Raises:
        LedgerBusy, LedgerInvalid, KeptEmbeddingsInvalid, ContractMismatch: a file belongs to somebody else.
    """
    with (
        Ledger(files.ledger, build_id=target.info.build_id, fingerprint=source.header.fingerprint) as ledger,
        RejectsFile(files.rejects) as rejects,
        # Left first: the ledger is closed only when nothing uses it any more.
        ThreadPoolExecutor(1, thread_name_prefix="bookkeeping") as bookkeeping,
    ):
        if ledger.started_over:
            _log.warning("The ledger %s described a collection that is gone; it starts over.", files.ledger)
        keeper = EmbeddingKeeper(files.embeddings, source.header) if files.embeddings is not None else None
        tally, times = Tally(), _stage_times(settings)
        sink = Sink(
            writer,
            ledger,
            tally,
            times,
            upsert_bytes=settings.indexer.upsert_bytes,
            backoff=WRITE_BACKOFF,
            bookkeeping=bookkeeping,
            stop=control.stopping,
            keeper=keeper,
        )
        outcomes = Outcomes(tally, control, bookkeeping, rejects=rejects, ledger=ledger, max_rejects=max_rejects)

        def lookup(ids: Sequence[str]) -> dict[str, Mark]:
            if reindex:
                return {}
            known = ledger.lookup(ids)
            return known if keeper is None else {key: mark for key, mark in known.items() if keeper.holds(mark)}

        parts = RunParts(lookup, outcomes, sink, tally, times, control, bookkeeping)
        yield Run(alias, source, target, admin, writer, ledger, files, parts)


def _stage_times(settings: Settings) -> StageTimes:
    threads = settings.images.decode_threads
    return StageTimes(
        {
            # The rows in one thread, the pictures' bytes in the threads that decode them.
            IndexStage.READ: threads + 1,
            IndexStage.DECODE: threads,
            IndexStage.EMBED: settings.indexer.in_flight,
            IndexStage.WRITE: 1,
        }
    )
