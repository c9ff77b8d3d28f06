"""Items into and out of a collection: each is described, pictured, embedded and stored, or told why not."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from prometheus_client import Counter

from vitrine.domain import CatalogueItem, Deadline, EmbeddedItem, Pixels
from vitrine.embedding.encoder import Encoder
from vitrine.errors import (
    CollectionNotReady,
    DeadlineExceeded,
    InvalidInput,
    ItemNotFound,
    VectorStoreUnavailable,
    VitrineError,
)
from vitrine.gateway.items.checking import SentItem, checked_item
from vitrine.gateway.items.errors import ItemDuplicate, WriteUnconfirmed
from vitrine.gateway.items.pictures import ItemPictures
from vitrine.telemetry.metrics import ItemOutcome
from vitrine.telemetry.stages import Stage, StageClock
from vitrine.vectorstore.admin import CollectionAdmin
from vitrine.vectorstore.collection import CollectionInfo
from vitrine.vectorstore.searcher import VectorSearcher
from vitrine.vectorstore.writer import CollectionWriter

# Pictures turned into pixels before they are embedded and forgotten: 5 MB of them, and one full call to Triton.
_CHUNK: Final = 32

Entry: TypeAlias = SentItem | VitrineError
"""An item to be written; or why what was sent in its place is none."""


@dataclass(frozen=True, slots=True)
class Stored:
    """An item that Milvus has acknowledged.

    Args:
        item: as it is stored.
        created: nothing had its id when the request began.
    """

    item: CatalogueItem
    created: bool


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a request's entries, in their order, in the one collection that its alias named."""

    collection: CollectionInfo
    outcomes: tuple[Stored | VitrineError, ...]


@dataclass(frozen=True, slots=True)
class Deleted:
    """Which ids were there and no longer are, in the one collection that the alias named."""

    collection: CollectionInfo
    ids: frozenset[str]

    def refusal_of(self, item_id: str) -> ItemNotFound | None:
        """Why an id was not deleted, if it was not."""
        if item_id in self.ids:
            return None
        return ItemNotFound(f"Collection {self.collection.name} has no item {item_id!r}.", id=item_id)


@dataclass(frozen=True, slots=True)
class _Draft:
    """An item without a vector yet, and the place of its entry in the request."""

    place: int
    sent: SentItem
    item: CatalogueItem


class ItemStore:
    """Writes and deletes items of collections.

    Safe for any number of requests at once. Of two that write one id at the same time, either may be the one whose item
    is there afterwards, whole.

    Args:
        admin: says what stands behind an alias. It is asked anew for each request: a write that followed an alias to
            where it pointed a second ago would be lost together with the old collection.
        vectors: says which ids there are.
        encoder: of the one model whose vectors may be written.
        pictures: gets an item's picture and makes pixels of it.
        writer_of: a writer for a collection.
        counts: what became of items, as metrics.
    """

    def __init__(
        self,
        admin: CollectionAdmin,
        vectors: VectorSearcher,
        encoder: Encoder,
        pictures: ItemPictures,
        writer_of: Callable[[CollectionInfo], CollectionWriter],
        counts: Mapping[ItemOutcome, Counter],
    ) -> None:
        self._admin = admin
        self._vectors = vectors
        self._encoder = encoder
        self._pictures = pictures
        self._writer_of = writer_of
        self._counts = counts

    async def write(self, alias: str, entries: Sequence[Entry], deadline: Deadline, clock: StageClock) -> Written:
        """Stores those items that can be; an error of the request as a whole comes before any of them is written.

        Raises:
            LimitExceeded: more pictures by address than one request may name.
            CollectionNotFound, CollectionNotReady: there is nothing to write to.
            ContractMismatch: the collection, Triton and the repository here do not share one model.
            EncoderUnavailable, VectorStoreUnavailable, Overloaded, DeadlineExceeded: a dependency does not answer.
            WriteUnconfirmed: the exception: any part may have been written. Repeating is safe.
        """
        sent = [entry for entry in entries if isinstance(entry, SentItem)]
        self._pictures.check_count(sent)
        with clock.stage(Stage.SEARCH):
            collection = await self._writable(alias, deadline)
        self._encoder.contract.require(collection.fingerprint, f"Collection {collection.name}")
        drafts, refusals = _drafted(entries, collection)
        # The question waits for Milvus's clock, some 0.1 s; meanwhile there are pictures to embed.
        asking = asyncio.create_task(self._there([draft.item.id for draft in drafts], collection, deadline))
        asking.add_done_callback(lambda task: task.cancelled() or task.exception())
        embedded: dict[int, EmbeddedItem] = {}
        try:
            for start in range(0, len(drafts), _CHUNK):
                await self._embed(drafts[start : start + _CHUNK], embedded, refusals, deadline, clock)
            with clock.stage(Stage.SEARCH):
                there = await asking
        finally:
            asking.cancel()
        if embedded:
            deadline.remaining()
            with clock.stage(Stage.WRITE), self._unconfirmed(len(embedded)):
                await self._writer_of(collection).upsert(list(embedded.values()), deadline)
        stored = {place: Stored(one.item, created=one.item.id not in there) for place, one in embedded.items()}
        self._count(ItemOutcome.CREATED if one.created else ItemOutcome.REPLACED for one in stored.values())
        self._counts[ItemOutcome.REJECTED].inc(len(refusals))
        return Written(collection, tuple(stored.get(place) or refusals[place] for place in range(len(entries))))

    async def delete(self, alias: str, ids: Sequence[str], deadline: Deadline, clock: StageClock) -> Deleted:
        """Deletes those items that are there.

        Raises:
            CollectionNotFound, CollectionNotReady, VectorStoreUnavailable, DeadlineExceeded: nothing was deleted.
            WriteUnconfirmed: any part may have been deleted. Repeating is safe.
        """
        with clock.stage(Stage.SEARCH):
            collection = await self._writable(alias, deadline)
        deadline.remaining()
        wanted = frozenset(ids)
        with clock.stage(Stage.WRITE), self._unconfirmed(len(wanted)):
            gone = frozenset(await self._writer_of(collection).delete(ids, deadline))
        self._counts[ItemOutcome.DELETED].inc(len(gone))
        self._counts[ItemOutcome.MISSING].inc(len(wanted - gone))
        return Deleted(collection, gone)

    async def _writable(self, alias: str, deadline: Deadline) -> CollectionInfo:
        collection = await self._admin.describe(alias, deadline, counted=False)
        if not collection.complete:
            raise CollectionNotReady(f"Collection {collection.name!r} is half-made.", collection=collection.name)
        if not collection.loaded:
            raise CollectionNotReady(f"Collection {collection.name!r} is not loaded.", collection=collection.name)
        return collection

    async def _there(self, ids: list[str], collection: CollectionInfo, deadline: Deadline) -> frozenset[str]:
        if not ids:
            return frozenset()
        return frozenset(await self._vectors.items_of(collection.name, ids, deadline, strong=True))

    async def _embed(
        self,
        drafts: Sequence[_Draft],
        embedded: dict[int, EmbeddedItem],
        refusals: dict[int, VitrineError],
        deadline: Deadline,
        clock: StageClock,
    ) -> None:
        """Enters each draft either into `embedded` or, with what is wrong with its picture, into `refusals`."""
        with clock.stage(Stage.DECODE):
            tried = await self._pictures.pixels_of([draft.sent for draft in drafts], deadline)
        pictured: list[tuple[_Draft, Pixels]] = []
        for draft, pixels in zip(drafts, tried, strict=True):
            if isinstance(pixels, InvalidInput):
                refusals[draft.place] = pixels
            else:
                pictured.append((draft, pixels))
        if pictured:
            with clock.stage(Stage.EMBED):
                vectors = await self._encoder.encode_pixels(np.stack([pixels for _, pixels in pictured]), deadline)
            for (draft, _), vector in zip(pictured, vectors, strict=True):
                embedded[draft.place] = EmbeddedItem(draft.item, vector)

    def _count(self, outcomes: Iterable[ItemOutcome]) -> None:
        for outcome in outcomes:
            self._counts[outcome].inc()

    @contextmanager
    def _unconfirmed(self, items: int) -> Iterator[None]:
        """Tells a write that Milvus did not acknowledge from one that was never sent.

        Raises:
            WriteUnconfirmed: the block ran out of time or lost its server.
        """
        try:
            yield
        except CollectionNotReady:
            raise
        except (VectorStoreUnavailable, DeadlineExceeded) as error:
            self._counts[ItemOutcome.UNCONFIRMED].inc(items)
            raise WriteUnconfirmed(
                "Milvus did not say whether it has written: all, none or a part of it may have happened. "
                "Sending the same again is safe."
            ) from error


def _drafted(entries: Sequence[Entry], collection: CollectionInfo) -> tuple[list[_Draft], dict[int, VitrineError]]:
    """What can become an item of the collection, as far as can be told without its picture; and the rest."""
    drafts: list[_Draft] = []
    refusals: dict[int, VitrineError] = {}
    seen: set[str] = set()
    for place, entry in enumerate(entries):
        if isinstance(entry, VitrineError):
            refusals[place] = entry
        elif entry.id in seen:
            refusals[place] = ItemDuplicate(
                f"An earlier entry has the id {entry.id!r} too; that one counts.", id=entry.id
            )
        else:
            seen.add(entry.id)
            try:
                drafts.append(_Draft(place, entry, checked_item(entry, collection.fields)))
            except InvalidInput as error:
                refusals[place] = error
    return drafts, refusals
