"""The end of a sharded fill: all shards are waited for, added up, counted in Milvus, and only then shown to readers."""

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from vitrine.errors import ContractMismatch, VitrineError
from vitrine.indexer.display import Display
from vitrine.indexer.ledger_files import LedgerFolder
from vitrine.indexer.shards.report import MergedReport, ShardReport
from vitrine.indexer.shards.sharding import Shard
from vitrine.indexer.target import Target, publish, require_alias
from vitrine.settings import Settings
from vitrine.vectorstore.admin import CollectionAdmin
from vitrine.vectorstore.connection import MilvusConnection
from vitrine.vectorstore.writer import CollectionWriter

POLL_S = 1.0


class ShardsIncomplete(VitrineError):
    """A shard is missing, failed, still running, or of another round than the others; readers see nothing of them."""

    code = "shards_incomplete"


@dataclass(frozen=True, slots=True)
class FinishRequest:
    """Which fill to finish.

    Args:
        collection: the alias readers use.
        shards: how many there are.
        round: the round that is meant; empty: the one that all shards' reports are of.
        ledger: the folder that the shards share; None: the one in the state folder.
        wait_s: how long to wait for shards that have not ended well yet.
    """

    collection: str
    shards: int
    round: str = ""
    ledger: Path | None = None
    wait_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Finished:
    """A fill that readers see.

    Args:
        collection: its own name.
        rows: that Milvus holds, counted with strong consistency.
        live: the alias points at it; False for a candidate, which `vitrine promote` makes live.
    """

    collection: str
    rows: int
    live: bool
    merged: MergedReport

    def as_json(self) -> dict[str, object]:
        """For `--json`: plain types only."""
        return {"collection": self.collection, "in_collection": self.rows, "live": self.live, **self.merged.as_json()}


def read_reports(folder: LedgerFolder, alias: str, shards: int) -> MergedReport:
    """What the shards say at this moment.

    Raises:
        ShardReportInvalid: a file holds something else.
    """
    numbers = range(1, shards + 1)
    reports = [ShardReport.read(folder.report(alias, Shard(number, shards))) for number in numbers]
    return MergedReport(alias, shards, reports)


async def finish(request: FinishRequest, settings: Settings, display: Display) -> Finished:
    """Waits for the shards and publishes what they wrote. Safe to repeat, also after it was killed.

    Raises:
        InvalidInput: the name cannot be an alias.
        ShardsIncomplete: not all shards ended well in time; the alias is not touched.
        IndexIncomplete: Milvus holds fewer products than the shards' ledgers say.
        ContractMismatch: the collection was replaced by another of its name.
        VectorStoreUnavailable, DeadlineExceeded
    """
    require_alias(request.collection)
    folder = LedgerFolder.of(settings, request.ledger)
    merged = await _complete(request, folder, display)
    report = next(one for one in merged.reports if one is not None)
    async with await MilvusConnection.open(settings.milvus) as connection:
        admin = CollectionAdmin(connection)
        info = await admin.describe(report.collection)
        if info.build_id != report.build_id:
            raise ContractMismatch(
                f"{info.name} is not the collection that the shards filled: it was dropped and made again.",
                expected=report.build_id,
                found=info.build_id,
            )
        live = await admin.alias_target(request.collection) == info.name
        display.waiting("Flushing", 0.0)
        await CollectionWriter(connection, info).flush()
        display.waiting("Flushing", 1.0)
        await admin.wait_index_built(info.name, on_progress=display.waiting)
        target = Target(info, live=live, candidate=report.candidate)
        rows = await publish(
            admin, target, request.collection, expected=merged.total()["expected"], indexed_at=_up_to_date(merged)
        )
    return Finished(info.name, rows, live or not report.candidate, merged)


def _up_to_date(merged: MergedReport) -> datetime:
    """When the first shard came to its end: to finish the same shards again makes nothing newer."""
    ends = [one.ended for one in merged.reports if one is not None and one.ended is not None]
    return datetime.fromtimestamp(min(ends), UTC).replace(microsecond=0)


async def _complete(request: FinishRequest, folder: LedgerFolder, display: Display) -> MergedReport:
    """The reports, once there is nothing wrong with them."""
    until = time.monotonic() + request.wait_s
    while True:
        merged = await asyncio.to_thread(read_reports, folder, request.collection, request.shards)
        problems = merged.problems(request.round)
        if not problems:
            return merged
        left = until - time.monotonic()
        if left <= 0:
            raise ShardsIncomplete(
                f"{request.collection} is not finished. {' '.join(problems[:10])}", problems=problems[:100]
            )
        display.waiting(f"waiting for {len(problems)} of {request.shards} shards", 0.0)
        await asyncio.sleep(min(POLL_S, left))
