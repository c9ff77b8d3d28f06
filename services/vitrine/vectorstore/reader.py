"""What Milvus tells about collections: their make-up, rows, ids, vectors, aliases."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from pymilvus.grpc_gen import common_pb2, milvus_pb2

from vitrine.domain import Deadline, Vectors
from vitrine.errors import CollectionNotFound, CollectionNotReady
from vitrine.settings import MIB
from vitrine.vectorstore.collection import EMBEDDING, ID, CollectionInfo, info_from, valid_collection_name
from vitrine.vectorstore.columns import values_in, vectors_in
from vitrine.vectorstore.connection import MilvusConnection, vendor_errors
from vitrine.vectorstore.filters import quote

VectorPage: TypeAlias = tuple[list[str], Vectors]
"""Ids, and their vectors as float32 [n, dim]."""

_IDS_PER_PAGE = 16_384
_DESCRIBED_AT_ONCE = 8
# Of the 64 MiB that one answer may have. Each segment finds a page of its own before they are joined.
_VECTOR_BYTES_PER_PAGE = 4 * MIB


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
        pages = self._pages(name, [ID], _IDS_PER_PAGE, self._until(deadline), doing="list ids", strong=True)
        async for columns in pages:
            for item_id in sorted(set(values_in(columns[ID])), key=str.encode):
                yield item_id

    async def vectors(self, name: str, dimension: int, deadline: Deadline | None = None) -> AsyncIterator[VectorPage]:
        """Every id once with its vector, in pages: the ids, and float32 [n, dim] beside them, 4 MiB at most.

        For measurements: what was written in the last seconds before the call, or is written meanwhile, may be missing.

        Args:
            name: the collection's own.
            dimension: of its vectors.
            deadline: for all of them.

        Raises:
            CollectionNotReady: it is not loaded.
        """
        until = self._until(deadline)
        rows = min(max(1, _VECTOR_BYTES_PER_PAGE // (4 * dimension)), _IDS_PER_PAGE)
        # A strong read waits up to 0.3 s for the clock, and a million vectors are 500 pages.
        pages = self._pages(name, [ID, EMBEDDING], rows, until, doing="read vectors", strong=False)
        async for columns in pages:
            position = {item_id: row for row, item_id in enumerate(values_in(columns[ID]))}
            yield list(position), vectors_in(columns[EMBEDDING])[list(position.values())]

    async def _pages(
        self,
        name: str,
        fields: Sequence[str],
        rows: int,
        until: Deadline,
        *,
        doing: str,
        strong: bool,
        after: str = "",
        up_to: str | None = None,
    ) -> AsyncIterator[dict[str, Any]]:
        """Columns by name of all rows, `rows` at a time, in the order of their ids' bytes.

        Ids begin behind `after` and end with `up_to`; None: with the last.
        """
        last = after
        end = "" if up_to is None else f" and {ID} <= {quote(up_to)}"
        level = common_pb2.ConsistencyLevel.Strong if strong else common_pb2.ConsistencyLevel.Bounded
        while True:
            request = milvus_pb2.QueryRequest(
                collection_name=name,
                expr=f"{ID} > {quote(last)}{end}",
                output_fields=fields,
                # As an iterator, Milvus returns the least ids; without these words, any.
                query_params=[
                    common_pb2.KeyValuePair(key="limit", value=str(rows)),
                    common_pb2.KeyValuePair(key="iterator", value="True"),
                    common_pb2.KeyValuePair(key="reduce_stop_for_best", value="True"),
                ],
                consistency_level=level,
                guarantee_timestamp=0 if strong else 2,  # 2: as old as Milvus's bound allows
            )
            answer = await self._connection.call(
                "Query", request, seconds=until.remaining(), doing=doing, collection=name
            )
            columns = {column.field_name: column for column in answer.fields_data}
            # A page may be short of its limit and not the last: rows are counted before repeated ids are dropped.
            ids = values_in(columns[ID]) if ID in columns else []
            if not ids:
                return
            yield columns
            last = max(ids, key=str.encode)

    async def load_state(self, name: str, deadline: Deadline | None = None) -> LoadState:
        """Whether a collection is in memory, or how far on its way."""
        state = await self._state(name, self._until(deadline, waits=False))
        match state["state"].name:
            case "Loaded":
                return LoadState(loaded=True, share=1.0)
            case "Loading":
                return LoadState(loaded=False, share=float(state.get("progress", 0)) / 100)
            case "NotLoad":
                return LoadState(loaded=False, share=None)
        raise CollectionNotFound(f"There is no collection {name!r}.", collection=name)

    async def _description(self, name_or_alias: str, until: Deadline) -> dict[str, Any]:
        if not valid_collection_name(name_or_alias):  # Milvus would call it a bad parameter
            raise CollectionNotFound(f"There is no collection {name_or_alias!r:.220}.", collection=name_or_alias[:200])
        described: dict[str, Any] = await self._ask(
            "describe the collection",
            name_or_alias,
            until,
            lambda t: self._client.describe_collection(name_or_alias, timeout=t),
        )
        if not described.get("aliases"):  # milvus-lite never tells them here
            described["aliases"] = await self._aliases(str(described["collection_name"]), until)
        return described

    async def _aliases(self, name: str, until: Deadline) -> tuple[str, ...]:
        request = milvus_pb2.ListAliasesRequest(collection_name=name)
        answer = await self._connection.call(
            "ListAliases", request, seconds=until.remaining(), doing="list its aliases", collection=name
        )
        return tuple(answer.aliases)

    async def _loaded(self, name: str, until: Deadline) -> bool:
        return str((await self._state(name, until))["state"].name) == "Loaded"

    async def _load_share(self, name: str, until: Deadline) -> float:
        return float((await self._state(name, until)).get("progress", 0)) / 100

    async def _state(self, name: str, until: Deadline) -> dict[str, Any]:
        state: dict[str, Any] = await self._ask(
            "tell its state", name, until, lambda t: self._client.get_load_state(name, timeout=t)
        )
        return state

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
