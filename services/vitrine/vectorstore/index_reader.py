"""How far the index of a collection is: built, and then served."""

import asyncio
from collections.abc import Callable
from typing import Any

from pymilvus.grpc_gen import common_pb2, milvus_pb2

from vitrine.domain import Deadline
from vitrine.errors import CollectionNotReady, DeadlineExceeded, InvalidInput
from vitrine.vectorstore.collection import EMBEDDING
from vitrine.vectorstore.reader import CollectionReader

Progress = Callable[[str, float], None]
"""Called with what is waited for and the share done, from 0.0 to 1.0."""

POLL_S = 0.2
_LEAST_INDEXED_ROWS = 1_024  # Milvus builds no index of a smaller segment, and calls it indexed


class IndexReader(CollectionReader):
    """Questions about the indexes of one Milvus, beside every one that `CollectionReader` answers."""

    async def indexed_rows(self, name: str, deadline: Deadline | None = None) -> int:
        """Rows that the index covers: flushed ones alone, replaced ones too until Milvus compacts them.

        Raises:
            CollectionNotReady: there is no index.
        """
        state = await self._required_index(name, self._until(deadline, waits=False))
        return int(state["total_rows"]) - int(state["pending_index_rows"])

    async def wait_index_built(
        self, name: str, *, deadline: Deadline | None = None, on_progress: Progress | None = None
    ) -> None:
        """Waits until every flushed row is indexed. Call `CollectionWriter.flush` before.

        Raises:
            DeadlineExceeded: some kinds never finish on some servers.
            CollectionNotReady: the index is missing.
        """
        until = self._until(deadline)
        total, pending = 0, 0
        try:
            while True:
                state = await self._required_index(name, until)
                total, pending = int(state["total_rows"]), int(state["pending_index_rows"])
                if on_progress is not None:
                    on_progress(f"indexing {name}", 1.0 if total == 0 else max(0.0, 1.0 - pending / total))
                if state["state"] == "Failed":
                    raise InvalidInput(f"Milvus cannot build the index of {name!r}: its log says why.", collection=name)
                if state["state"] == "Finished" and pending == 0:
                    return
                await asyncio.sleep(min(POLL_S, until.remaining()))
        except DeadlineExceeded as error:
            raise DeadlineExceeded(
                f"The index of {name!r} was not built in time: {pending} of {total} rows are not in it yet.",
                collection=name,
                pending=pending,
                rows=total,
            ) from error

    async def wait_index_served(
        self, name: str, *, deadline: Deadline | None = None, on_progress: Progress | None = None
    ) -> None:
        """Waits until searches use the index for every flushed row. Call `wait_index_built` before.

        Query nodes take a new index over some 10 s after it is built; until then they compare rows one by one, or use a
        coarse index of their own, and any recall or latency measured is not the index's. Loading the collection anew
        is quicker, where nobody searches it.
        """
        until = self._until(deadline)
        request = milvus_pb2.GetQuerySegmentInfoRequest(collectionName=name)
        while True:
            index = await self._index(name, until)
            total = int(index["total_rows"]) if index else 0
            answer = await self._connection.call(
                "GetQuerySegmentInfo", request, seconds=until.remaining(), doing="list its segments", collection=name
            )
            built = index is not None and index.get("index_type") != "FLAT"
            served = sum(segment.num_rows for segment in answer.infos if _searched_by_index(segment, built=built))
            if on_progress is not None:
                on_progress(f"serving {name}", min(1.0, served / total) if total else 1.0)
            if served >= total:
                return
            await asyncio.sleep(min(POLL_S, until.remaining()))

    async def _index(self, name: str, until: Deadline) -> dict[str, Any] | None:
        described: dict[str, Any] | None = await self._ask(
            "describe the index", name, until, lambda t: self._client.describe_index(name, EMBEDDING, timeout=t)
        )
        return described

    async def _required_index(self, name: str, until: Deadline) -> dict[str, Any]:
        if (described := await self._index(name, until)) is None:
            raise CollectionNotReady(f"Collection {name!r} has no index.", collection=name)
        return described


def _searched_by_index(segment: Any, *, built: bool) -> bool:
    """Whether a query node searches a segment as its index says.

    A segment that was loaded before its index was built is sealed too, and has no index id until it is loaded again. Of
    FLAT nothing is built, nor of small segments: they are as they shall be.
    """
    if segment.state != common_pb2.SegmentState.Sealed:
        return False
    return bool(segment.indexID) or not built or segment.num_rows < _LEAST_INDEXED_ROWS
