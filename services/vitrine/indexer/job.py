"""Composition root of the batch process: opens the source, the model and Milvus, and runs."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from vitrine.errors import InvalidInput
from vitrine.indexer.candidate import open_candidate
from vitrine.indexer.catalogue import Catalogue
from vitrine.indexer.control import RunControl, stopped_by_signals
from vitrine.indexer.display import Display
from vitrine.indexer.kept import shard_folder
from vitrine.indexer.ledger import RunNote, exclusive_lock
from vitrine.indexer.ledger_files import LedgerFolder
from vitrine.indexer.mapping import load_mapping
from vitrine.indexer.metrics import IndexMetrics
from vitrine.indexer.pruning import MilvusShelf, PruneRule
from vitrine.indexer.report import Summary
from vitrine.indexer.run import Run, RunFiles, RunRules, open_run
from vitrine.indexer.scraping import metrics_served
from vitrine.indexer.shards.report import new_report, round_id
from vitrine.indexer.shards.sharding import WHOLE, Shard
from vitrine.indexer.shards.target import join_target
from vitrine.indexer.sources import FIRST_ANSWER, Source, open_catalogue_source, open_kept_source
from vitrine.indexer.target import Target, Wanted, open_target, require_alias
from vitrine.settings import Settings
from vitrine.telemetry.spans import annotate, span
from vitrine.telemetry.tracing import open_tracing
from vitrine.vectorstore.admin import CollectionAdmin, Progress
from vitrine.vectorstore.connection import MilvusConnection
from vitrine.vectorstore.index_params import IndexParams
from vitrine.vectorstore.searcher import VectorSearcher
from vitrine.vectorstore.writer import CollectionWriter


@dataclass(frozen=True, slots=True)
class IndexRequest:
    """What a run shall do. Exactly one of `catalogue` and `from_embeddings` is given.

    Args:
        collection: the alias readers use.
        mapping: name of a mapping that ships, or a file.
        index: None: the collection's own, or the default for a new one.
        reindex: write everything again, whatever the ledger says.
        rewrite: ids of products to write again.
        compare_contents: read every picture to see whether it changed, do not trust its size and time.
        limit: only this many records.
        keep_embeddings: folder for Parquet parts.
        rejects: file for rejections; None: beside the ledger.
        ledger: None: in the state folder, under the collection's name.
        max_rejects: more than this many fail the run.
        prune: what to delete once the source was read to its end; None: nothing.
        shard: the part of the source to index; the alias is then left to `vitrine index finish`.
        round: names what the shards of one round have in common; empty: derived from the source.
        new: build a candidate beside the live collection, under the alias' next version.
        into: build a candidate of this name.
    """

    collection: str
    catalogue: Path | None = None
    mapping: str = "hm"
    from_embeddings: Path | None = None
    index: IndexParams | None = None
    reindex: bool = False
    rewrite: frozenset[str] = frozenset()
    compare_contents: bool = False
    limit: int | None = None
    keep_embeddings: Path | None = None
    rejects: Path | None = None
    ledger: Path | None = None
    max_rejects: int | None = None
    prune: PruneRule | None = None
    shard: Shard = WHOLE
    round: str = ""
    new: bool = False
    into: str | None = None

    @property
    def lock(self) -> str:
        """What two runs must not have in common: a candidate may be built while the live collection is refilled."""
        if self.into is not None:
            return self.into
        return f"{self.collection}.new" if self.new else self.collection

    def check(self) -> None:
        """Raises InvalidInput: the name cannot be an alias, or parts of the request exclude each other."""
        require_alias(self.collection)
        if (self.catalogue is None) == (self.from_embeddings is None):
            raise InvalidInput("Name what to index: either --catalogue FOLDER or --from-embeddings FOLDER.")
        if self.from_embeddings is not None and self.keep_embeddings is not None:
            raise InvalidInput("--from-embeddings and --keep-embeddings exclude each other.")
        if self.into is not None:
            require_alias(self.into)
            if self.new:
                raise InvalidInput("--new and --into exclude each other.")
        if self.new and self.shard != WHOLE:
            raise InvalidInput("Shards must agree on a collection: name it with --into instead of --new.")
        if self.prune is not None and self.limit is not None:
            raise InvalidInput("--prune and --limit exclude each other: what was not read is not gone.")


async def run_index(request: IndexRequest, settings: Settings, display: Display) -> Summary:
    """Fills or refills a collection.

    A failure after the run began comes back in the summary, so that its figures are not lost.

    Raises:
        VitrineError: the run could not begin; nothing was written.
    """
    request.check()
    tracing = open_tracing(settings.telemetry, "vitrine-indexer", version("vitrine"))
    if tracing is None:
        return await _run(request, settings, display)
    try:
        with tracing.run_span(
            "index", {"vitrine.alias": request.collection, "vitrine.shard": request.shard.name}
        ) as run:
            summary = await _run(request, settings, display)
            annotate({f"vitrine.{name}": count for name, count in summary.counts().items() if isinstance(count, int)})
            if summary.failure is not None and run.span is not None:
                tracing.mark_failed(run.span, summary.failure.code)
            return summary
    finally:
        await asyncio.to_thread(tracing.close)


async def _run(request: IndexRequest, settings: Settings, display: Display) -> Summary:
    control, metrics = RunControl(), IndexMetrics(version("vitrine"))
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(metrics_served(settings.telemetry, metrics))
        stack.enter_context(stopped_by_signals(control))
        folder = LedgerFolder.of(settings, request.ledger if request.shard != WHOLE else None)
        stack.enter_context(_only_run_of(request, folder))
        source = await _open_source(request, settings, control, stack)
        connection = await stack.enter_async_context(await MilvusConnection.open(settings.milvus))
        admin = CollectionAdmin(connection)
        wanted = _wanted(request, source)
        with span("open collection"):
            target = await FIRST_ANSWER.run(
                "Opening the collection",
                lambda: _open_target(request, admin, wanted, display.waiting),
                control.stopping,
            )
        writer = CollectionWriter(connection, target.info)
        run = await stack.enter_async_context(
            open_run(
                request.collection,
                source,
                target,
                admin,
                writer,
                _files(request, folder, target.info.name),
                settings,
                control,
                _rules(request),
                MilvusShelf(target.info.name, admin, writer, VectorSearcher(connection)),
                metrics,
            )
        )
        if request.shard == WHOLE:
            return await run.go(display)
        return await _reported(request, source, target, folder, run, display)


async def _reported(
    request: IndexRequest, source: Source, target: Target, folder: LedgerFolder, run: Run, display: Display
) -> Summary:
    """Runs a shard, which says at once that it began, so that a report of an earlier round misleads nobody."""
    header = source.header
    name = request.round or await asyncio.to_thread(
        round_id,
        source.path,
        mapping_digest=header.mapping_digest,
        fingerprint=header.fingerprint,
        shards=request.shard.count,
    )
    report = new_report(request.shard, name, request.collection, target.info, candidate=target.candidate)
    path = folder.report(request.collection, request.shard)
    await asyncio.to_thread(report.write, path)
    summary = await run.go(display)
    complete = not summary.interrupted and summary.failure is None and request.limit is None
    await asyncio.to_thread(report.after(summary, complete=complete).write, path)
    return summary


async def _open_target(request: IndexRequest, admin: CollectionAdmin, wanted: Wanted, on_progress: Progress) -> Target:
    if request.shard != WHOLE:
        return await join_target(admin, wanted, request.shard, request.into, on_progress)
    if request.new or request.into is not None:
        return await open_candidate(admin, wanted, request.into or "", on_progress)
    return await open_target(admin, wanted, on_progress)


async def _open_source(request: IndexRequest, settings: Settings, control: RunControl, stack: AsyncExitStack) -> Source:
    if request.from_embeddings is not None:
        return await open_kept_source(request.from_embeddings, settings, limit=request.limit, shard=request.shard)
    catalogue = Catalogue(request.catalogue or Path(), load_mapping(request.mapping))
    return await stack.enter_async_context(
        open_catalogue_source(
            catalogue,
            settings,
            control,
            limit=request.limit,
            compare_contents=request.compare_contents,
            shard=request.shard,
        )
    )


def _wanted(request: IndexRequest, source: Source) -> Wanted:
    header = source.header
    return Wanted(
        alias=request.collection,
        dimension=header.dimension,
        fields=header.fields,
        index=request.index,
        fingerprint=header.fingerprint,
        model=header.model,
        group_name=header.group_name,
    )


def _files(request: IndexRequest, folder: LedgerFolder, collection: str) -> RunFiles:
    ledger = folder.ledger(collection, request.shard)
    if request.ledger is not None and request.shard == WHOLE:
        ledger = LedgerFolder(request.ledger).ledger(collection) if request.ledger.is_dir() else request.ledger
    kept = request.keep_embeddings
    if kept is not None and request.shard != WHOLE:
        kept = shard_folder(kept, request.shard)
    return RunFiles(ledger, request.rejects or ledger.with_suffix(".rejects.csv"), kept)


def _rules(request: IndexRequest) -> RunRules:
    return RunRules(
        reindex=request.reindex,
        rewrite=request.rewrite,
        limited=request.limit is not None,
        max_rejects=request.max_rejects,
        prune=request.prune,
        shard=request.shard,
        note=RunNote(
            str(request.catalogue or request.from_embeddings),
            "" if request.catalogue is None else request.mapping,
            request.shard.name,
        ),
    )


@contextmanager
def _only_run_of(request: IndexRequest, folder: LedgerFolder) -> Iterator[None]:
    """Two runs of one alias on this machine would both make its first collection. Shards are made for company."""
    descriptor = exclusive_lock(folder.lock(request.lock), shared=request.shard != WHOLE)
    try:
        yield
    finally:
        os.close(descriptor)
