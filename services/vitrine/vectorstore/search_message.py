"""One search as a message of Milvus's protocol, and its answer."""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from pymilvus.grpc_gen import common_pb2, milvus_pb2

from vitrine.domain import FieldSpec, Vectors
from vitrine.vectorstore.collection import EMBEDDING, GROUP, IMAGE_PATH, METRIC, TITLE

STRONG, BOUNDED = common_pb2.ConsistencyLevel.Strong, common_pb2.ConsistencyLevel.Bounded
# The protocol's classes look their numbers up by name each time.
_BOOLEAN_EXPRESSION, _FLOAT_VECTOR = common_pb2.DslType.BoolExprV1, common_pb2.PlaceholderType.FloatVector
GUARANTEE = {STRONG: 0, BOUNDED: 2}
"""Guarantee timestamps with a meaning of their own in Milvus: 0 waits for every write before the read, 2 for those
older than its bound."""


class Found(NamedTuple):
    """What an answer to any number of vectors holds for one of them: see `Neighbours`."""

    ids: Sequence[str]
    scores: Sequence[float]
    positions: Sequence[int]
    columns: Mapping[str, Any]


def key_values(**pairs: str | int) -> list[Any]:
    """Named values as Milvus's protocol has them."""
    return [common_pb2.KeyValuePair(key=key, value=str(value)) for key, value in pairs.items()]


def output_fields_of(fields: Sequence[FieldSpec], *, described: bool, with_vectors: bool) -> list[str]:
    """Columns to return with each hit: see `VectorSearcher.neighbours`."""
    names = [GROUP, *([TITLE, IMAGE_PATH] if described else []), *(field.name for field in fields)]
    return [*names, EMBEDDING] if with_vectors else names


def search_request(
    collection: str,
    queries: Vectors,
    limit: int,
    offset: int,
    settings: Mapping[str, int],
    output_fields: Sequence[str],
    expression: str,
) -> Any:
    """A `SearchRequest` for vectors of float32 [n, dim]; `settings` are the index's own."""
    return milvus_pb2.SearchRequest(
        collection_name=collection,
        dsl=expression,
        dsl_type=_BOOLEAN_EXPRESSION,
        placeholder_group=_placeholders(queries),
        nq=len(queries),
        output_fields=output_fields,
        search_params=_search_params(limit, offset, tuple(settings.items())),
        consistency_level=BOUNDED,
        guarantee_timestamp=GUARANTEE[BOUNDED],
    )


@lru_cache(256)
def _search_params(limit: int, offset: int, settings: tuple[tuple[str, int], ...]) -> list[Any]:
    """Kept: most searches ask for the same, and writing them down takes as long as all else of the message."""
    return key_values(
        anns_field=EMBEDDING,
        metric_type=METRIC,
        topk=limit,
        offset=offset,
        round_decimal=-1,
        params=json.dumps(dict(settings)),
    )


def by_vector(results: Any, vectors: int) -> list[Found]:
    """The answer's flat lists, with the positions in them that belong to each vector."""
    ids, scores = list(results.ids.str_id.data), [min(1.0, max(-1.0, score)) for score in results.scores]
    columns = {column.field_name: column for column in results.fields_data} if ids else {}
    found: list[Found] = []
    start = 0
    for count in [*results.topks, *([0] * (vectors - len(results.topks)))]:  # empty collections answer without counts
        found.append(Found(ids, scores, range(start, start + count), columns))
        start += count
    return found


def _placeholders(vectors: Vectors) -> bytes:
    rows = np.ascontiguousarray(vectors, dtype="<f4")
    placeholder = common_pb2.PlaceholderValue(tag="$0", type=_FLOAT_VECTOR, values=[row.tobytes() for row in rows])
    return bytes(common_pb2.PlaceholderGroup(placeholders=[placeholder]).SerializeToString())
