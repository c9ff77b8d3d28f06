"""One run with everything open: it goes over its source, and publishes what came of it."""

import logging
import time
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from vitrine.errors import VitrineError
from vitrine.indexer.control import RunControl
from vitrine.indexer.display import Display, followed
from vitrine.indexer.kept import EmbeddingKeeper
from vitrine.indexer.ledger import Ledger, RunNote
from vitrine.indexer.metrics import IndexMetrics
from vitrine.indexer.outcomes import Outcomes
from vitrine.indexer.pruning import Pruner, PruneRule, Shelf
from vitrine.indexer.rejections import RejectsFile
from vitrine.indexer.report import IndexStage, StageTimes, Summary, Tally
from vitrine.indexer.retry import Backoff
from vitrine.indexer.shards.redivision import go_on_from_others
from vitrine.indexer.shards.sharding import WHOLE, Shard
from vitrine.indexer.sink import Sink
from vitrine.indexer.sources import RunParts, Source
from vitrine.indexer.states import Mark
from vitrine.indexer.target import Target, publish
from vitrine.settings import Settings
from vitrine.telemetry.spans import span
from vitrine.vectorstore.admin import CollectionAdmin
from vitrine.vectorstore.lineage import now
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


@dataclass(frozen=True, slots=True)
class RunRules:
    """How a run treats what it finds.

    Args:
        reindex: write everything again, whatever the ledger says.
        rewrite: write these products again, whatever the ledger says of them.
        limited: only the first records are read, so that the source's end is not seen.
        max_rejects: more than this many fail the run; None: any number is fine.
        prune: what to delete at the end; None: nothing.
        shard: the part of the source that the run answers for.
        note: what the ledger records the run with.
    """

    reindex: bool = False
    rewrite: frozenset[str] = frozenset()
    limited: bool = False
    max_rejects: int | None = None
    prune: PruneRule | None = None
    shard: Shard = WHOLE
    note: RunNote = field(default_factory=lambda: RunNote("", ""))


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
        rules: RunRules,
        pruner: Pruner,
        parts: RunParts,
    ) -> None:
        self._alias = alias
        self._source = source
        self._target = target
        self._admin = admin
        self._writer = writer
        self._ledger = ledger
        self._files = files
        self._rules = rules
        self._pruner = pruner
        self._parts = parts

    async def go(self, display: Display) -> Summary:
        """Runs to the end, to an orderly stop or to a failure; the summary says which. Publishes after an end."""
        began = time.monotonic()
        self._ledger.begin_run(self._rules.note)
        failure: VitrineError | None = None
        complete = False
        try:
            await self._pruner.finish_decided(display.waiting)
            async with followed(display, self._parts.tally, self._source.total):
                try:
                    with span("pipeline"):
                        await self._source.runner(self._parts).run()
                finally:
                    self._parts.tally.add_elsewhere(self._source.elsewhere)
            self._parts.tally.check()
            complete = not (self._parts.control.reason or self._rules.limited)
            if complete and self._rules.prune is not None:
                with span("prune"):
                    await self._pruner.prune(self._rules.prune, display.waiting)
        except VitrineError as error:
            failure = error
        summary = self._summary(time.monotonic() - began, failure)
        if failure is None and not summary.interrupted and not self._shard:
            summary = await self._publish(display, summary, indexed_at=now() if complete else None)
        self._ledger.end_run(summary.how, summary.counts(), complete=complete)
        return summary

    @property
    def _shard(self) -> str:
        return self._rules.shard.name

    async def _publish(self, display: Display, summary: Summary, *, indexed_at: datetime | None) -> Summary:
        """Waits until everything is searchable from its index, counts it, and lets readers see it."""
        began = time.monotonic()
        name, expected = self._target.info.name, self._ledger.in_collection()
        try:
            if summary.tally.written or summary.deleted or not self._target.live:
                display.waiting("Flushing", 0.0)
                with span("flush"):
                    await WRITE_BACKOFF.run("Flushing", self._writer.flush, self._parts.control.stopping)
                display.waiting("Flushing", 1.0)
                with span("build index"):
                    await self._admin.wait_index_built(name, on_progress=display.waiting)
            with span("publish"):
                rows = await publish(self._admin, self._target, self._alias, expected=expected, indexed_at=indexed_at)
        except VitrineError as error:
            return replace(summary, failure=error, finishing_s=time.monotonic() - began)
        if rows > expected:
            _log.warning(
                "%s holds %d products more than this ledger knows of: others write into it, a ledger was lost, or "
                "Milvus came back a moment ago and still shows what was replaced.",
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
            deleted=self._pruner.deleted,
            shard=self._shard,
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
    rules: RunRules,
    shelf: Shelf,
    metrics: IndexMetrics,
) -> AsyncIterator[Run]:
    """Opens what a run writes, and closes it in an order that loses nothing.

    Raises:
        LedgerBusy, LedgerInvalid, KeptEmbeddingsInvalid, ContractMismatch: a file belongs to somebody else.
    """
    with (
        Ledger(
            files.ledger,
            build_id=target.info.build_id,
            fingerprint=source.header.fingerprint,
            on_shared_volume=rules.shard.count > 1,
        ) as ledger,
        RejectsFile(files.rejects) as rejects,
        # Left first: the ledger is closed only when nothing uses it any more.
        ThreadPoolExecutor(1, thread_name_prefix="bookkeeping") as bookkeeping,
    ):
        if ledger.started_over:
            _log.warning("The ledger %s described a collection that is gone; it starts over.", files.ledger)
        info = target.info
        go_on_from_others(ledger, info.name, rules.shard, build_id=info.build_id, fingerprint=info.fingerprint)
        keeper = EmbeddingKeeper(files.embeddings, source.header) if files.embeddings is not None else None
        tally, times = Tally(), _stage_times(settings, metrics)
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
        outcomes = Outcomes(tally, control, bookkeeping, rejects=rejects, ledger=ledger, max_rejects=rules.max_rejects)
        pruner = Pruner(
            ledger,
            shelf,
            owns=rules.shard.owns,
            backoff=WRITE_BACKOFF,
            bookkeeping=bookkeeping,
            stop=control.stopping,
        )
        metrics.follow(tally, times, lambda: pruner.deleted, info.fingerprint)

        def lookup(ids: Sequence[str]) -> dict[str, Mark]:
            if rules.reindex:
                return {}
            known = ledger.lookup([one for one in ids if one not in rules.rewrite])
            return known if keeper is None else {key: mark for key, mark in known.items() if keeper.holds(mark)}

        parts = RunParts(lookup, outcomes, sink, tally, times, control, bookkeeping)
        yield Run(alias, source, target, admin, writer, ledger, files, rules, pruner, parts)


def _stage_times(settings: Settings, metrics: IndexMetrics) -> StageTimes:
    threads = settings.images.decode_threads
    return StageTimes(
        {
            # The rows in one thread, the pictures' bytes in the threads that decode them.
            IndexStage.READ: threads + 1,
            IndexStage.DECODE: threads,
            IndexStage.EMBED: settings.indexer.in_flight,
            IndexStage.WRITE: 1,
        },
        metrics.observe_stage,
    )
