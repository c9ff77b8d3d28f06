"""What Milvus tells about collections: their make-up, rows, ids, aliases, and how far their index is."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from pymilvus.grpc_gen import common_pb2, milvus_pb2

from vitrine.domain import Deadline
from vitrine.errors import CollectionNotFound, CollectionNotReady, DeadlineExceeded, InvalidInput
from vitrine.vectorstore.collection import EMBEDDING, ID, CollectionInfo, info_from, valid_collection_name
from vitrine.vectorstore.columns import values_in
from vitrine.vectorstore.connection import MilvusConnection, vendor_errors
from vitrine.vectorstore.filters import quote

Progress = Callable[[str, float], None]
"""Called with what is waited for and the share done, from 0.0 to 1.0."""

POLL_S = 0.2
_IDS_PER_PAGE = 16_384
_DESCRIBED_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class LoadState:
    """How much of a collection is in memory.

    Args:
        loaded: all of it, so that it can be searched.
        share: from 0.0 to 1.0; None when it is neither loaded nor being loaded.
    """

    loaded: bool
    share: float | None


class CollectionReader:
    """Questions about whole collections of one Milvus; changes nothing.

    A `deadline` left out is the setting admin_timeout_s for what waits for work to be done, else search_timeout_s. All
    of them raise VectorStoreUnavailable and DeadlineExceeded; those that name a collection, CollectionNotFound.

    Args:
        connection: stays the caller's to close.
    """

    def __init__(self, connection: MilvusConnection) -> None:
        self._connection = connection
        self._client = connection.client

    async def describe(
        self, name_or_alias: str, deadline: Deadline | None = None, *, counted: bool = True
    ) -> CollectionInfo:
        """What stands behind a name or alias right now.

        Args:
            name_or_alias: whose.
            deadline: for all of it.
            counted: count the rows that a search would see; else take Milvus's estimate, which is free.

        Raises:
            CollectionNotFound: no such name, or a collection that Vitrine did not make.
        """
        until = self._until(deadline, waits=False)
        description = await self._description(name_or_alias, until)
        name = description["collection_name"]
        state, rows = await asyncio.gather(self._loaded(name, until), self._rows(name, until, counted=counted))
        return info_from(description, rows=rows, loaded=state)

    async def list(self, deadline: Deadline | None = None, *, counted: bool = True) -> list[CollectionInfo]:
        """Vitrine's collections in the order of their names, half-made ones included.

        Args:
            deadline: for all of them.
            counted: as of `describe`. One collection that cannot be counted at the moment fails the list.
        """
        until = self._until(deadline, waits=False)
        names = await self._ask("list collections", "", until, lambda t: self._client.list_collections(timeout=t))
        gate = asyncio.Semaphore(_DESCRIBED_AT_ONCE)

        async def one(name: str) -> CollectionInfo | None:
            async with gate:
                try:
                    return await self.describe(name, until, counted=counted)
                except CollectionNotFound:  # somebody else's, or dropped a moment ago
                    return None

        found = await asyncio.gather(*(one(name) for name in sorted(names)))
        return [info for info in found if info is not None]

    async def exists(self, name_or_alias: str, deadline: Deadline | None = None) -> bool:
        """Whether the name is taken, by whomever."""
        try:
            await self._description(name_or_alias, self._until(deadline, waits=False))
        except CollectionNotFound:
            return False
        return True

    async def alias_target(self, alias: str, deadline: Deadline | None = None) -> str | None:
        """The collection an alias points at; None when there is no such alias."""
        try:
            description = await self._description(alias, self._until(deadline, waits=False))
        except CollectionNotFound:
            return None
        name = str(description["collection_name"])
        return None if name == alias else name

    async def count(self, name: str, deadline: Deadline | None = None) -> int:
        """Rows, exactly: waits until every write before this call is visible.

        Raises:
            CollectionNotReady: it is not loaded.
        """
        return await self._count(name, self._until(deadline), "Strong")

    async def ids(self, name: str, deadline: Deadline | None = None) -> AsyncIterator[str]:
        """Every id once, in the order of their bytes; writes before the call are seen, later ones may be.

        Raises:
            CollectionNotReady: it is not loaded.
        """
        until = self._until(deadline)
        last = ""
        while True:
            request = milvus_pb2.QueryRequest(
                collection_name=name,
                expr=f"{ID} > {quote(last)}",
                output_fields=[ID],
                # As an iterator, Milvus returns the least ids; without these words, any.
                query_params=[
                    common_pb2.KeyValuePair(key="limit", value=str(_IDS_PER_PAGE)),
                    common_pb2.KeyValuePair(key="iterator", value="True"),
                    common_pb2.KeyValuePair(key="reduce_stop_for_best", value="True"),
                ],
                consistency_level=common_pb2.ConsistencyLevel.Strong,
            )
            answer = await self._connection.call(
                "Query", request, seconds=until.remaining(), doing="list ids", collection=name
            )
            page = sorted({item_id for column in answer.fields_data for item_id in values_in(column)}, key=str.encode)
            # A page may be short of its limit and not the last: rows are counted before repeated ids are dropped.
            if not page:
                return
            for item_id in page:
                yield item_id
            last = page[-1]

    async def load_state(self, name: str, deadline: Deadline | None = None) -> LoadState:
        """Whether a collection is in memory, or how far on its way."""
        until = self._until(deadline, waits=False)
        state = await self._ask("tell its state", name, until, lambda t: self._client.get_load_state(name, timeout=t))
        match state["state"].name:
            case "Loaded":
                return LoadState(loaded=True, share=1.0)
            case "Loading":
                return LoadState(loaded=False, share=float(state.get("progress", 0)) / 100)
            case "NotLoad":
                return LoadState(loaded=False, share=None)
        raise CollectionNotFound(f"There is no collection {name!r}.", collection=name)

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
                state = await self._ask(
                    "describe the index", name, until, lambda t: self._client.describe_index(name, EMBEDDING, timeout=t)
                )
                if state is None:
                    raise CollectionNotReady(f"Collection {name!r} has no index.", collection=name)
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

        Query nodes take a new index over some 10 s after it is built; until then they compare rows one by one, and any
        recall or latency measured is not the index's.
        """
        until = self._until(deadline)
        request = milvus_pb2.GetQuerySegmentInfoRequest(collectionName=name)
        while True:
            index = await self._ask(
                "describe the index", name, until, lambda t: self._client.describe_index(name, EMBEDDING, timeout=t)
            )
            total = int(index["total_rows"]) if index else 0
            answer = await self._connection.call(
                "GetQuerySegmentInfo", request, seconds=until.remaining(), doing="list its segments", collection=name
            )
            served = sum(info.num_rows for info in answer.infos if info.state != common_pb2.SegmentState.Growing)
            if on_progress is not None:
                on_progress(f"serving {name}", min(1.0, served / total) if total else 1.0)
            if served >= total:
                return
            await asyncio.sleep(min(POLL_S, until.remaining()))

    async def _description(self, name_or_alias: str, until: Deadline) -> dict[str, Any]:
        if not valid_collection_name(name_or_alias):  # Milvus would call it a bad parameter
            raise CollectionNotFound(f"There is no collection {name_or_alias!r:.220}.", collection=name_or_alias[:200])
        described: dict[str, Any] = await self._ask(
            "describe the collection",
            name_or_alias,
            until,
            lambda t: self._client.describe_collection(name_or_alias, timeout=t),
        )
        return described

    async def _loaded(self, name: str, until: Deadline) -> bool:
        state = await self._ask("tell its state", name, until, lambda t: self._client.get_load_state(name, timeout=t))
        return str(state["state"].name) == "Loaded"

    async def _load_share(self, name: str, until: Deadline) -> float:
        state = await self._ask("tell its state", name, until, lambda t: self._client.get_load_state(name, timeout=t))
        return float(state.get("progress", 0)) / 100

    async def _rows(self, name: str, until: Deadline, *, counted: bool) -> int:
        if counted:
            with contextlib.suppress(CollectionNotReady):
                return await self._count(name, until, "Bounded")
        stats = await self._ask(
            "count its rows", name, until, lambda t: self._client.get_collection_stats(name, timeout=t)
        )
        return int(stats["row_count"])

    async def _count(self, name: str, until: Deadline, consistency: str) -> int:
        rows = await self._ask(
            "count its rows",
            name,
            until,
            lambda t: self._client.query(name, output_fields=["count(*)"], consistency_level=consistency, timeout=t),
        )
        return int(rows[0]["count(*)"])

    async def _ask(self, doing: str, name: str, until: Deadline, call: Callable[[float], Awaitable[Any]]) -> Any:
        """One operation of the client within what is left of a deadline. Some of them poll, not all with a limit."""
        timeout = until.remaining()
        with vendor_errors(doing, collection=name, timeout=timeout):
            async with asyncio.timeout(timeout):
                return await call(timeout)

    def _until(self, deadline: Deadline | None, *, waits: bool = True) -> Deadline:
        settings = self._connection.settings
        return deadline or Deadline.after(settings.admin_timeout_s if waits else settings.search_timeout_s)
