"""Takes out of a collection what its catalogue no longer has.

A deletion is decided in the ledger first, then asked of Milvus, then confirmed in the ledger. A kill between the steps
leaves decided deletions, which the next run finishes before it does anything else; so a product that came back in the
meantime is written after its deletion, never before.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar

from vitrine.domain import Deadline
from vitrine.errors import InvalidInput, VitrineError
from vitrine.indexer.ledger import Ledger
from vitrine.indexer.retry import Backoff
from vitrine.vectorstore.admin import CollectionAdmin, Progress
from vitrine.vectorstore.searcher import VectorSearcher
from vitrine.vectorstore.writer import CollectionWriter

AT_ONCE = 1_000
"""Products deleted, and checked to be gone, at a time."""

CHECK_TIMEOUT_S = 60.0  # of one look at that many products

_T = TypeVar("_T")
_log = logging.getLogger(__name__)


class PruneRefused(InvalidInput):
    """More products would be deleted than this run may delete."""

    code = "prune_refused"


class PruneIncomplete(VitrineError):
    """Milvus acknowledged deletions and still holds the products."""

    code = "prune_incomplete"


@dataclass(frozen=True, slots=True)
class PruneRule:
    """What a run may delete once it has read its source to the end.

    Args:
        max_share: of the products the collection holds, the most that one run deletes; from 0.0 to 1.0.
        rejected: also those that were written once and are rejected now.
        unknown: also rows that the ledger knows nothing of.
    """

    max_share: float = 0.1
    rejected: bool = False
    unknown: bool = False


class Shelf(Protocol):
    """The collection being pruned: `MilvusShelf`, or rows in memory under test."""

    async def delete(self, ids: list[str]) -> None:
        """Deletes products; those that are not there are no error."""

    async def still_there(self, ids: list[str]) -> list[str]:
        """Those of the products that a search with strong consistency would find."""

    def ids(self) -> AsyncIterator[str]:
        """Every id, with strong consistency."""


class MilvusShelf:
    """A collection in Milvus.

    Args:
        name: its own name.
    """

    def __init__(self, name: str, admin: CollectionAdmin, writer: CollectionWriter, searcher: VectorSearcher) -> None:
        self._name = name
        self._admin = admin
        self._writer = writer
        self._searcher = searcher

    async def delete(self, ids: list[str]) -> None:
        await self._writer.delete(ids)

    async def still_there(self, ids: list[str]) -> list[str]:
        return list(await self._searcher.items_of(self._name, ids, Deadline.after(CHECK_TIMEOUT_S), strong=True))

    def ids(self) -> AsyncIterator[str]:
        return self._admin.ids(self._name)


class Pruner:
    """Deletes for one run.

    Args:
        owns: whether an id that the ledger does not know would be this run's; other shards answer for theirs.
        bookkeeping: the one thread that the ledger is used from.
        stop: ends waits between tries, and after the deletions under way all others.
    """

    def __init__(
        self,
        ledger: Ledger,
        shelf: Shelf,
        *,
        owns: Callable[[str], bool],
        backoff: Backoff,
        bookkeeping: Executor,
        stop: asyncio.Event,
    ) -> None:
        self._ledger = ledger
        self._shelf = shelf
        self._owns = owns
        self._backoff = backoff
        self._bookkeeping = bookkeeping
        self._stop = stop
        self.deleted = 0

    async def finish_decided(self, on_progress: Progress) -> None:
        """Finishes deletions that an earlier run decided and did not get to confirm."""
        before = self.deleted
        await self._delete_decided(on_progress)
        if self.deleted > before:
            _log.info("Finished %d deletions that an earlier run had begun.", self.deleted - before)

    async def prune(self, rule: PruneRule, on_progress: Progress) -> None:
        """Deletes what the run, now at the end of its source, did not see.

        Args:
            rule: what may go.
            on_progress: told what share of the decided deletions is done.

        Raises:
            PruneRefused: it would be too much; nothing was deleted.
            PruneIncomplete: Milvus did not delete what it said it did.
            VectorStoreUnavailable, DeadlineExceeded: Milvus stayed away; the next run goes on.
        """
        ledger = self._ledger
        held = await self._aside(ledger.in_collection)
        gone = await self._aside(lambda: ledger.gone(rejected=rule.rejected))
        unknown = await self._unknown(held, rule) if rule.unknown else []
        _require_few(gone + len(unknown), held + len(unknown), rule)
        if gone or unknown:
            await self._aside(lambda: ledger.decide_deletion(rejected=rule.rejected, unknown=unknown))
            await self._delete_decided(on_progress)

    async def _unknown(self, held: int, rule: PruneRule) -> list[str]:
        """Ids in Milvus that the ledger does not account for; stops listing them when they are too many anyway."""
        found: list[str] = []
        page: list[str] = []

        async def look() -> None:
            found.extend(await self._aside(partial(self._ledger.unknown_among, page)))
            _require_few(len(found), held + len(found), rule)

        async for product_id in self._shelf.ids():
            if self._owns(product_id):
                page.append(product_id)
            if len(page) == AT_ONCE:
                await look()
                page = []
        await look()
        return found

    async def _delete_decided(self, on_progress: Progress) -> None:
        total, done = await self._aside(self._ledger.leaving_count), 0
        # Decided deletions that a stop leaves are the next run's.
        while not self._stop.is_set() and (ids := await self._aside(lambda: self._ledger.leaving(AT_ONCE))):
            on_progress("Deleting", done / total)
            await self._delete(ids)
            await self._aside(partial(self._ledger.mark_deleted, ids))
            done += len(ids)
            self.deleted += len(ids)
        if done:
            on_progress("Deleting", 1.0)

    async def _delete(self, ids: list[str]) -> None:
        await self._backoff.run("Deleting in Milvus", lambda: self._shelf.delete(ids), self._stop)
        left = await self._backoff.run("Checking deletions", lambda: self._shelf.still_there(ids), self._stop)
        if left:
            raise PruneIncomplete(
                f"Milvus still holds {len(left)} products that it was asked to delete, {left[0]!r} among them.",
                products=len(left),
            )

    async def _aside(self, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._bookkeeping, work)


def _require_few(leaving: int, held: int, rule: PruneRule) -> None:
    if leaving > rule.max_share * held:
        raise PruneRefused(
            f"{leaving} of {held} products would be deleted, but --max-prune allows a share of {rule.max_share:g}. "
            "Nothing was deleted. Is the catalogue complete?",
            leaving=leaving,
            held=held,
            max_share=rule.max_share,
        )
