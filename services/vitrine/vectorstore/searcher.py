"""Reads: nearest neighbours of vectors, items by their ids, and how many items share a value."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import numpy as np
from pymilvus.grpc_gen import milvus_pb2

from vitrine.domain import Deadline, FieldSpec, FieldValue, Hit, Vectors
from vitrine.errors import InvalidInput, LimitExceeded
from vitrine.vectorstore.collection import EMBEDDING, ID
from vitrine.vectorstore.columns import can_be_id, values_in, vectors_in
from vitrine.vectorstore.connection import MilvusConnection
from vitrine.vectorstore.filters import any_id_of, any_of, both
from vitrine.vectorstore.index_params import RERANK, IndexParams
from vitrine.vectorstore.neighbours import Neighbours
from vitrine.vectorstore.reranking import calls, candidates, reranked
from vitrine.vectorstore.search_message import (
    BOUNDED,
    GUARANTEE,
    STRONG,
    by_vector,
    key_values,
    output_fields_of,
    search_request,
)

MAX_NEIGHBOURS = 16_384
"""The most neighbours Milvus returns for one vector, skipped ones included."""
MAX_VECTORS = 1_024
"""The most vectors of one call."""

_IDS_PER_QUERY = 500
# Rows read to count them by value. Above half of them, each value is counted by Milvus: rows of one id that is being
# replaced count twice towards the limit and are given once, so an answer cut short may not look so.
_COUNTED_ROWS = 8_192
_COUNTS_AT_ONCE = 8
_COUNT = "count(*)"


class VectorSearcher:
    """Searches of one Milvus.

    Reads have bounded staleness: a write is usually seen 0.2 s later, and always after Milvus's bound of 5 s. Weaker,
    eventual reads cost the same, but after a restart they find nothing, without an error, until the log is replayed.

    Args:
        connection: stays the caller's to close.
    """

    def __init__(self, connection: MilvusConnection) -> None:
        self._connection = connection

    async def search(
        self,
        collection: str,
        vector: Vectors,
        *,
        limit: int,
        offset: int = 0,
        index: IndexParams,
        fields: tuple[FieldSpec, ...],
        params: Mapping[str, int] | None = None,
        expression: str = "",
        deadline: Deadline,
        with_vectors: bool = False,
    ) -> list[Hit]:
        """The nearest items, best first; equal scores in the order of their ids.

        Args:
            collection: its own name, so that one search sees one collection while an alias moves.
            vector: float32 [dim], unit length.
            limit: hits wanted.
            offset: hits skipped before them.
            index: of the collection, from `CollectionInfo`.
            fields: returned with each hit.
            params: search settings of the index for this search, such as `{"ef": 128}`.
            expression: from `compile_filter`; empty for all items.
            deadline: of the request.
            with_vectors: also return each hit's vector, float32 [dim]; costs milliseconds.

        Raises:
            InvalidInput, LimitExceeded: limit, offset or params out of bounds.
            CollectionNotFound, CollectionNotReady, VectorStoreUnavailable, DeadlineExceeded: see `vendor_errors`.
        """
        found = await self.neighbours(
            collection,
            vector[np.newaxis],
            limit=limit,
            offset=offset,
            index=index,
            fields=fields,
            params=params,
            expression=expression,
            deadline=deadline,
            with_vectors=with_vectors,
        )
        return found[0].hits(range(len(found[0])))

    async def neighbours(
        self,
        collection: str,
        vectors: Vectors,
        *,
        limit: int,
        offset: int = 0,
        wanted: int | None = None,
        index: IndexParams,
        fields: tuple[FieldSpec, ...],
        described: bool = True,
        params: Mapping[str, int] | None = None,
        expression: str = "",
        deadline: Deadline,
        with_vectors: bool = False,
    ) -> list[Neighbours]:
        """As `search` for vectors of float32 [n, dim] in one call; what was found for each, in their order.

        Args:
            wanted: what the caller of the API asked for, where `limit` is more than that: `params` must suffice for
                these, and are raised for the rest.
            described: with title and picture. Without, and with few fields, a thousand rows take half the time.

        With the search setting `rerank`, scores are those of whole vectors, and so is the order.
        """
        check_window(limit, offset, len(vectors))
        reach = limit + offset
        settings = index.search_params(params or {}, limit=reach if wanted is None else wanted, reach=reach)
        rerank = settings.pop(RERANK, 0)

        async def ask(queries: Vectors, count: int, skipped: int, *, vectored: bool) -> Any:
            output = output_fields_of(fields, described=described, with_vectors=vectored)
            request = search_request(collection, queries, count, skipped, settings, output, expression)
            seconds = deadline.within(self._connection.settings.search_timeout_s)
            answer = await self._connection.call(
                "Search",
                request,
                seconds=seconds,
                doing="search",
                collection=collection,
                attributes={"vitrine.index": index.index_type, "vitrine.k": count},
            )
            return answer.results

        if not rerank:
            results = await ask(vectors, limit, offset, vectored=with_vectors)
            return [Neighbours(*found, fields) for found in by_vector(results, len(vectors))]
        count = candidates(rerank, reach, vectors.shape[1])
        best: list[Neighbours] = []
        for queries in calls(vectors, count):
            found = by_vector(await ask(queries, count, 0, vectored=True), len(queries))
            best += [
                reranked(
                    query,
                    one.ids,
                    one.positions,
                    one.columns,
                    fields,
                    limit=limit,
                    offset=offset,
                    with_vectors=with_vectors,
                )
                for query, one in zip(queries, found, strict=True)
            ]
        return best

    async def vectors_of(
        self, collection: str, ids: Sequence[str], deadline: Deadline, *, strong: bool = False
    ) -> dict[str, Vectors]:
        """Vectors of items, float32 [dim] by id. Ids that are not there are absent from the answer.

        Args:
            collection: its own name.
            ids: any number; asked for in slices.
            deadline: for all of them.
            strong: wait until every write before this call is visible.

        Raises:
            CollectionNotFound, CollectionNotReady, VectorStoreUnavailable, DeadlineExceeded: see `vendor_errors`.
        """
        found: dict[str, Vectors] = {}
        async for columns in self._slices(collection, ids, [EMBEDDING], deadline, strong=strong):
            found.update(zip(values_in(columns[ID]), vectors_in(columns[EMBEDDING]), strict=True))
        return found

    async def items_of(
        self,
        collection: str,
        ids: Sequence[str],
        deadline: Deadline,
        *,
        fields: tuple[FieldSpec, ...] = (),
        strong: bool = False,
        with_vectors: bool = False,
    ) -> dict[str, Hit]:
        """Items by id, as hits with a score of 1. Ids that are not there are absent from the answer.

        Args and errors as of `vectors_of`; `fields`, and vectors where they are wanted, are returned with each item.
        """
        found: dict[str, Hit] = {}
        wanted = output_fields_of(fields, described=True, with_vectors=with_vectors)
        async for columns in self._slices(collection, ids, wanted, deadline, strong=strong):
            there = values_in(columns[ID])
            rows = range(len(there))
            items = Neighbours(there, [1.0] * len(there), rows, columns, fields)
            found.update((hit.id, hit) for hit in items.hits(rows))
        return found

    async def sizes(
        self, collection: str, column: str, values: Sequence[FieldValue], expression: str, deadline: Deadline
    ) -> dict[FieldValue, int]:
        """How many items have each of the values in a column and satisfy an expression; exact.

        Args:
            collection: its own name.
            column: of texts or whole numbers.
            values: different ones, as Milvus stores them.
            expression: from `compile_filter`; empty for all items.
            deadline: for all of it.

        Raises:
            CollectionNotFound, CollectionNotReady, VectorStoreUnavailable, DeadlineExceeded: see `vendor_errors`.
        """
        narrowed = both(any_of(column, values), expression)
        rows = await self._read(collection, narrowed, column, _COUNTED_ROWS, deadline)
        if len(rows) * 2 <= _COUNTED_ROWS:
            found = Counter(rows)
            return {value: found[value] for value in values}
        gate = asyncio.Semaphore(_COUNTS_AT_ONCE)

        async def size(value: FieldValue) -> int:
            async with gate:
                narrowed = both(any_of(column, [value]), expression)
                return int((await self._read(collection, narrowed, _COUNT, None, deadline))[0])

        return dict(zip(values, await asyncio.gather(*(size(value) for value in values)), strict=True))

    async def _read(
        self, collection: str, expression: str, column: str, limit: int | None, deadline: Deadline
    ) -> list[Any]:
        """One column of the items that satisfy an expression, in any order."""
        request = milvus_pb2.QueryRequest(
            collection_name=collection,
            expr=expression,
            output_fields=[column],
            query_params=[] if limit is None else key_values(limit=limit),
            consistency_level=BOUNDED,
            guarantee_timestamp=GUARANTEE[BOUNDED],
        )
        seconds = deadline.within(self._connection.settings.search_timeout_s)
        answer = await self._connection.call(
            "Query", request, seconds=seconds, doing="count items", collection=collection
        )
        return next((values_in(found) for found in answer.fields_data if found.field_name == column), [])

    async def _slices(
        self, collection: str, ids: Sequence[str], wanted: list[str], deadline: Deadline, *, strong: bool
    ) -> AsyncIterator[dict[str, Any]]:
        """Columns by name, for one slice of the ids after the other."""
        level = STRONG if strong else BOUNDED
        unique = [item_id for item_id in dict.fromkeys(ids) if can_be_id(item_id)]
        for start in range(0, len(unique), _IDS_PER_QUERY):
            request = milvus_pb2.QueryRequest(
                collection_name=collection,
                expr=any_id_of(unique[start : start + _IDS_PER_QUERY]),
                output_fields=[ID, *wanted],
                consistency_level=level,
                guarantee_timestamp=GUARANTEE[level],
            )
            seconds = deadline.within(self._connection.settings.search_timeout_s)
            answer = await self._connection.call(
                "Query", request, seconds=seconds, doing="look up items", collection=collection
            )
            yield {column.field_name: column for column in answer.fields_data}


def check_window(limit: int, offset: int, vectors: int = 1) -> None:
    """Refuses what Milvus would not return.

    Raises:
        InvalidInput, LimitExceeded
    """
    if limit < 1 or offset < 0:
        raise InvalidInput(f"limit must be at least 1 and offset at least 0, not {limit} and {offset}.")
    if limit + offset > MAX_NEIGHBOURS:
        raise LimitExceeded(
            f"offset + limit must be at most {MAX_NEIGHBOURS}, not {limit + offset}.", maximum=MAX_NEIGHBOURS
        )
    if not 1 <= vectors <= MAX_VECTORS:
        raise LimitExceeded(f"One call searches 1 to {MAX_VECTORS} vectors, not {vectors}.", maximum=MAX_VECTORS)
