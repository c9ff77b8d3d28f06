"""Writes into one collection: upserts and deletions, acknowledged when Milvus has them in its log."""

import asyncio
import logging
from collections.abc import Iterator, Sequence

from pymilvus.grpc_gen import milvus_pb2

from vitrine.domain import Deadline, EmbeddedItem
from vitrine.errors import InvalidInput
from vitrine.settings import MIB
from vitrine.vectorstore.collection import CollectionInfo
from vitrine.vectorstore.columns import columns_of
from vitrine.vectorstore.connection import MilvusConnection, vendor_errors
from vitrine.vectorstore.filters import any_id_of
from vitrine.vectorstore.searcher import VectorSearcher

MAX_REQUEST_BYTES = 16 * MIB
"""The most one message carries; larger batches go as several. A quarter of what Milvus takes is fast enough, and short
enough to be repeated."""

_MAX_REQUEST_ROWS = 10_000
_IDS_PER_DELETE = 1_000
_ROW_OVERHEAD_BYTES = 32

_log = logging.getLogger(__name__)


def estimate_bytes(item: EmbeddedItem) -> int:
    """About what an item weighs in an upsert, for sizing batches: never less than its values."""
    catalogue = item.item
    texts = (catalogue.id, catalogue.title, catalogue.group, catalogue.image_path)
    fields = sum(len(value) * 4 if isinstance(value, str) else 10 for value in catalogue.fields.values())
    return int(item.vector.nbytes) + sum(len(text) * 4 for text in texts) + fields + _ROW_OVERHEAD_BYTES


class CollectionWriter:
    """Writes items into the collection that `info` describes.

    Safe for several calls at once, except that two calls with the same id may end in either order.

    Args:
        connection: stays the caller's to close.
        info: from `CollectionAdmin`; of a finished collection.

    Raises:
        InvalidInput: the collection is half-made.
    """

    def __init__(self, connection: MilvusConnection, info: CollectionInfo) -> None:
        if not info.complete:
            raise InvalidInput(
                f"Collection {info.name!r} is half-made: drop it and create it again.", collection=info.name
            )
        self._connection = connection
        self._info = info

    async def upsert(self, items: Sequence[EmbeddedItem], deadline: Deadline | None = None) -> int:
        """Writes items, replacing those of the same ids; texts wider than their column are cut between characters.

        Milvus would keep two rows of one id that come in one message, so of such items only the last is sent, and the
        log says so. When the call fails, any part of the items may have been written: call again with the same.

        Args:
            items: any number.
            deadline: for all of them; left out, each message has the setting write_timeout_s.

        Returns:
            Rows written: the number of different ids.

        Raises:
            InvalidInput: a vector of another dimension or not of unit length, an id or path too long, a value of
                another type than its field's; nothing was written.
            CollectionNotFound, VectorStoreUnavailable, DeadlineExceeded: see `vendor_errors`.
        """
        unique = list({embedded.item.id: embedded for embedded in items}.values())
        if len(unique) < len(items):
            _log.warning("%d of %d items share an id with a later one", len(items) - len(unique), len(items))
        requests = [self._request(batch) for batch in _batches(unique)]
        limit = self._connection.settings.write_timeout_s
        for request in requests:
            seconds = limit if deadline is None else deadline.within(limit)
            await self._connection.call(
                "Upsert", request, seconds=seconds, doing="store items", collection=self._info.name
            )
        return len(unique)

    async def delete(self, ids: Sequence[str], deadline: Deadline | None = None) -> list[str]:
        """Deletes items; ids that are not there are no error.

        Args:
            ids: any number.
            deadline: for all of them; left out, the setting write_timeout_s.

        Returns:
            Those that were there: Milvus itself only counts what it was asked for.

        Raises:
            CollectionNotFound, CollectionNotReady, VectorStoreUnavailable, DeadlineExceeded: see `vendor_errors`.
        """
        searcher = VectorSearcher(self._connection)
        deadline = deadline or Deadline.after(self._connection.settings.write_timeout_s)
        there = list(await searcher.items_of(self._info.name, ids, deadline, strong=True))
        for start in range(0, len(there), _IDS_PER_DELETE):
            expression = any_id_of(there[start : start + _IDS_PER_DELETE])
            request = milvus_pb2.DeleteRequest(collection_name=self._info.name, expr=expression)
            await self._connection.call(
                "Delete", request, seconds=deadline.remaining(), doing="delete items", collection=self._info.name
            )
        return there

    async def flush(self) -> None:
        """Waits until all that was written is in sealed segments, which is when Milvus starts to index it.

        Raises:
            CollectionNotFound, VectorStoreUnavailable, DeadlineExceeded: see `vendor_errors`.
        """
        timeout = self._connection.settings.admin_timeout_s
        with vendor_errors("flush", collection=self._info.name, timeout=timeout):
            async with asyncio.timeout(timeout):
                await self._connection.client.flush(self._info.name, timeout=timeout)

    def _request(self, items: list[EmbeddedItem]) -> milvus_pb2.UpsertRequest:
        return milvus_pb2.UpsertRequest(
            collection_name=self._info.name,
            fields_data=columns_of(items, self._info.fields, self._info.dimension),
            num_rows=len(items),
        )


def _batches(items: list[EmbeddedItem]) -> Iterator[list[EmbeddedItem]]:
    """Cuts items into runs that fit one message."""
    batch: list[EmbeddedItem] = []
    size = 0
    for item in items:
        weight = estimate_bytes(item)
        if batch and (size + weight > MAX_REQUEST_BYTES or len(batch) == _MAX_REQUEST_ROWS):
            yield batch
            batch, size = [], 0
        batch.append(item)
        size += weight
    if batch:
        yield batch
