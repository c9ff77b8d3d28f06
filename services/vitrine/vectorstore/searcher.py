"""Reads: nearest neighbours of vectors, and items by their ids."""

import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from pymilvus.grpc_gen import common_pb2, milvus_pb2

from vitrine.domain import Deadline, FieldSpec, FieldValue, Hit, Vectors
from vitrine.errors import InvalidInput, LimitExceeded
from vitrine.vectorstore.collection import EMBEDDING, GROUP, ID, IMAGE_PATH, METRIC, TITLE
from vitrine.vectorstore.columns import can_be_id, loaded, values_in, vectors_in
from vitrine.vectorstore.connection import MilvusConnection
from vitrine.vectorstore.filters import any_id_of
from vitrine.vectorstore.index_params import IndexParams

MAX_NEIGHBOURS = 16_384
"""The most neighbours Milvus returns for one vector, skipped ones included."""
MAX_VECTORS = 1_024
"""The most vectors of one `search_many`."""

_IDS_PER_QUERY = 500

# Guarantee timestamps with a meaning of their own in Milvus: 0 waits for every write before the read, 2 for those older
# than its bound.
_STRONG, _BOUNDED = common_pb2.ConsistencyLevel.Strong, common_pb2.ConsistencyLevel.Bounded
_GUARANTEE = {_STRONG: 0, _BOUNDED: 2}


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
        found = await self.search_many(
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
        return found[0]

    async def search_many(
        self,
        collection: str,
        vectors: Vectors,
        *,
        limit: int,
        offset: int = 0,
        index: IndexParams,
        fields: tuple[FieldSpec, ...],
        params: Mapping[str, int] | None = None,
        expression: str = "",
        deadline: Deadline,
        with_vectors: bool = False,
    ) -> list[list[Hit]]:
        """As `search` for vectors of float32 [n, dim] in one call; a list of hits for each."""
        _check_window(limit, offset, len(vectors))
        request = milvus_pb2.SearchRequest(
            collection_name=collection,
            dsl=expression,
            dsl_type=common_pb2.DslType.BoolExprV1,
            placeholder_group=_placeholders(vectors),
            nq=len(vectors),
            output_fields=_output_fields(fields, with_vectors=with_vectors),
            search_params=_key_values(
                anns_field=EMBEDDING,
                metric_type=METRIC,
                topk=limit,
                offset=offset,
                round_decimal=-1,
                params=json.dumps(index.search_params(params or {}, limit=limit + offset)),
            ),
            consistency_level=_BOUNDED,
            guarantee_timestamp=_GUARANTEE[_BOUNDED],
        )
        seconds = deadline.within(self._connection.settings.search_timeout_s)
        answer = await self._connection.call("Search", request, seconds=seconds, doing="search", collection=collection)
        results = answer.results
        ids, scores = list(results.ids.str_id.data), np.clip(results.scores, -1.0, 1.0).tolist()
        hits = list(_items(ids, scores, results.fields_data, fields))
        return list(_ranked(hits, results.topks, len(vectors)))

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
    ) -> dict[str, Hit]:
        """Items by id, as hits with a score of 1. Ids that are not there are absent from the answer.

        Args and errors as of `vectors_of`; `fields` are returned with each item.
        """
        found: dict[str, Hit] = {}
        wanted = _output_fields(fields, with_vectors=False)
        async for columns in self._slices(collection, ids, wanted, deadline, strong=strong):
            there = list(values_in(columns[ID]))
            found.update((hit.id, hit) for hit in _items(there, [1.0] * len(there), columns.values(), fields))
        return found

    async def _slices(
        self, collection: str, ids: Sequence[str], wanted: list[str], deadline: Deadline, *, strong: bool
    ) -> AsyncIterator[dict[str, Any]]:
        """Columns by name, for one slice of the ids after the other."""
        level = _STRONG if strong else _BOUNDED
        unique = [item_id for item_id in dict.fromkeys(ids) if can_be_id(item_id)]
        for start in range(0, len(unique), _IDS_PER_QUERY):
            request = milvus_pb2.QueryRequest(
                collection_name=collection,
                expr=any_id_of(unique[start : start + _IDS_PER_QUERY]),
                output_fields=[ID, *wanted],
                consistency_level=level,
                guarantee_timestamp=_GUARANTEE[level],
            )
            seconds = deadline.within(self._connection.settings.search_timeout_s)
            answer = await self._connection.call(
                "Query", request, seconds=seconds, doing="look up items", collection=collection
            )
            yield {column.field_name: column for column in answer.fields_data}


def _check_window(limit: int, offset: int, vectors: int) -> None:
    if limit < 1 or offset < 0:
        raise InvalidInput(f"limit must be at least 1 and offset at least 0, not {limit} and {offset}.")
    if limit + offset > MAX_NEIGHBOURS:
        raise LimitExceeded(
            f"offset + limit must be at most {MAX_NEIGHBOURS}, not {limit + offset}.", maximum=MAX_NEIGHBOURS
        )
    if not 1 <= vectors <= MAX_VECTORS:
        raise LimitExceeded(f"One call searches 1 to {MAX_VECTORS} vectors, not {vectors}.", maximum=MAX_VECTORS)


def _placeholders(vectors: Vectors) -> bytes:
    rows = np.ascontiguousarray(vectors, dtype="<f4")
    placeholder = common_pb2.PlaceholderValue(
        tag="$0", type=common_pb2.PlaceholderType.FloatVector, values=[row.tobytes() for row in rows]
    )
    return bytes(common_pb2.PlaceholderGroup(placeholders=[placeholder]).SerializeToString())


def _key_values(**pairs: str | int) -> list[Any]:
    return [common_pb2.KeyValuePair(key=key, value=str(value)) for key, value in pairs.items()]


def _output_fields(fields: Sequence[FieldSpec], *, with_vectors: bool) -> list[str]:
    names = [TITLE, GROUP, IMAGE_PATH, *(field.name for field in fields)]
    return [*names, EMBEDDING] if with_vectors else names


def _items(ids: list[str], scores: list[float], columns: Any, fields: Sequence[FieldSpec]) -> Iterator[Hit]:
    """Hits from an answer's columns, in the order of `ids`."""
    by_name = {column.field_name: column for column in columns} if ids else {}
    if not by_name:
        return
    titles, groups, paths = (values_in(by_name[name]) for name in (TITLE, GROUP, IMAGE_PATH))
    stored = [(field, values_in(by_name[field.name])) for field in fields]
    vectors = vectors_in(by_name[EMBEDDING]) if EMBEDDING in by_name else None
    for row, item_id in enumerate(ids):
        values: dict[str, FieldValue] = {}
        for field, column in stored:
            value = loaded(field, column[row])
            if value is not None:
                values[field.name] = value
        vector = None if vectors is None else vectors[row]
        yield Hit(item_id, scores[row], titles[row], groups[row], paths[row], values, vector)


def _ranked(hits: list[Hit], counts: Sequence[int], vectors: int) -> Iterator[list[Hit]]:
    """The answer's flat list cut by vector. Milvus promises no order among equal scores, so ids decide."""
    start = 0
    for count in counts:
        yield sorted(hits[start : start + count], key=lambda hit: (-hit.score, hit.id))
        start += count
    for _ in range(vectors - len(counts)):  # an empty collection answers without counts
        yield []
