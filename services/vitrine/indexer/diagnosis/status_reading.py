"""Collects the status of a collection from Milvus and from its ledgers; changes nothing."""

import asyncio
import heapq
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from vitrine.errors import CollectionNotReady
from vitrine.indexer.diagnosis.mending import differences
from vitrine.indexer.diagnosis.status import CollectionStatus, Comparison, LedgerStatus
from vitrine.indexer.ledger_files import LedgerFolder
from vitrine.indexer.ledger_schema import LedgerInvalid
from vitrine.indexer.ledger_view import LedgerView
from vitrine.indexer.shards.finishing import read_reports
from vitrine.indexer.shards.report import MergedReport
from vitrine.settings import Settings
from vitrine.vectorstore.admin import CollectionAdmin
from vitrine.vectorstore.collection import CollectionInfo
from vitrine.vectorstore.connection import MilvusConnection

MOST_RUNS = 5
MOST_EXAMPLES = 10


async def collection_status(
    name: str, settings: Settings, *, ledger: Path | None = None, compare_ids: bool = False
) -> CollectionStatus:
    """Asks Milvus and reads the ledgers; changes nothing.

    Args:
        name: an alias, or a collection's own name.
        ledger: the ledger, or the folder with the ledgers; None: the folder in the state folder.
        compare_ids: list every id in Milvus and compare it with the ledgers.

    Raises:
        CollectionNotFound, VectorStoreUnavailable, DeadlineExceeded
    """
    async with await MilvusConnection.open(settings.milvus) as connection:
        admin = CollectionAdmin(connection)
        info = await admin.describe(name, counted=False)
        alias = name if name != info.name else info.lineage.alias or next(iter(info.aliases), "")
        indexed = await admin.indexed_rows(info.name)
        try:
            rows: int | None = await admin.count(info.name)
        except CollectionNotReady:
            rows = None
        folder, files = await asyncio.to_thread(LedgerFolder.locate, settings, ledger, info.name)
        ledgers = await asyncio.to_thread(lambda: [_read(path, info) for path in files])
        comparison = None
        if compare_ids and rows is not None:
            held = [Path(one.path) for one in ledgers if one.holdings is not None]
            comparison = await _compare(admin, info.name, held, rows)
    merged = await asyncio.to_thread(_merged, folder, alias)
    status = CollectionStatus(alias, info, alias in info.aliases, rows, indexed, ledgers, merged, comparison)
    return replace(status, differences=list(differences(status, folder)))


def _merged(folder: LedgerFolder, alias: str) -> MergedReport | None:
    shards = folder.newest_shards(alias) if alias else None
    return None if shards is None else read_reports(folder, alias, shards)


def _read(path: Path, info: CollectionInfo) -> LedgerStatus:
    try:
        with LedgerView(path) as view:
            if view.build_id != info.build_id:
                return LedgerStatus(str(path), problem="It describes a collection of this name that is gone.")
            return LedgerStatus(str(path), view.held, view.holdings(), view.runs(MOST_RUNS))
    except LedgerInvalid as error:
        return LedgerStatus(str(path), problem=error.message)


async def _compare(admin: CollectionAdmin, name: str, ledgers: Sequence[Path], rows: int) -> Comparison:
    """Walks along both lists of ids, which have one order, so that neither is ever in memory."""
    missing: list[str] = []
    unknown: list[str] = []
    counts = {"missing": 0, "unknown": 0, "listed": 0}

    def note(kind: str, product_id: str, examples: list[str]) -> None:
        counts[kind] += 1
        if len(examples) < MOST_EXAMPLES:
            examples.append(product_id)

    with ExitStack() as stack:
        # In the same thread as the loop: SQLite's connections belong to the thread that opened them.
        views = [stack.enter_context(LedgerView(path)) for path in ledgers]
        held: Iterator[str] = heapq.merge(*(view.held_ids() for view in views), key=str.encode)
        wanted = next(held, None)
        async for found in admin.ids(name):
            counts["listed"] += 1
            while wanted is not None and wanted.encode() < found.encode():
                note("missing", wanted, missing)
                wanted = next(held, None)
            if wanted == found:
                wanted = next(held, None)
            else:
                note("unknown", found, unknown)
        while wanted is not None:
            note("missing", wanted, missing)
            wanted = next(held, None)
    doubled = max(0, rows - counts["listed"])
    return Comparison(counts["missing"], counts["unknown"], doubled, {"missing": missing, "unknown": unknown})
