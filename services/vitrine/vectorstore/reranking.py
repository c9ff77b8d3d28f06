"""Reranking: a compressed index names candidates, and their whole vectors decide.

Milvus's IVF_PQ and IVF_SQ8 answer with the scores of compressed vectors. With `rerank` = N, N times as many hits as are
wanted are asked for together with their vectors, compared here, and the best are kept. What the index did not find
stays unfound, and the vectors of the candidates cross the network: 2 KB each at 512 dimensions.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from vitrine.domain import FieldSpec, Vectors
from vitrine.errors import LimitExceeded
from vitrine.settings import MIB
from vitrine.vectorstore.collection import EMBEDDING
from vitrine.vectorstore.columns import vectors_in
from vitrine.vectorstore.index_params import MAX_CANDIDATES
from vitrine.vectorstore.neighbours import Neighbours

_ANSWER_BYTES = 16 * MIB  # of vectors in one answer; what else a hit carries is small beside them
_MESSAGE_BYTES = 56 * MIB  # of vectors for a single query, leaving room for the rest within Milvus's message


def candidates(rerank: int, reach: int, dimension: int) -> int:
    """How many hits to ask for so that the best `reach` of them are worth giving.

    Args:
        rerank: candidates for each hit.
        reach: hits wanted, skipped ones included. Where they alone are more than `MAX_CANDIDATES`, as for the facets
            of a deep search, just so many are put in order.
        dimension: of the vectors.

    Raises:
        LimitExceeded: the vectors of `reach` hits do not fit an answer.
    """
    most = _MESSAGE_BYTES // (4 * dimension)
    if reach > most:
        raise LimitExceeded(
            f"With `rerank`, at most {most} hits of {dimension} dimensions can be reached, not {reach}; "
            "rerank=0 switches it off.",
            parameter="rerank",
            maximum=most,
        )
    return min(max(reach, min(rerank * reach, MAX_CANDIDATES)), most)


def calls(vectors: Vectors, count: int) -> Iterator[Vectors]:
    """The queries, float32 [n, dim], cut so that the vectors of `count` candidates for each fit one answer."""
    rows = max(1, _ANSWER_BYTES // (4 * vectors.shape[1] * count))
    for start in range(0, len(vectors), rows):
        yield vectors[start : start + rows]


def reranked(
    query: Vectors,
    ids: Sequence[str],
    positions: Sequence[int],
    columns: Mapping[str, Any],
    fields: Sequence[FieldSpec],
    *,
    limit: int,
    offset: int,
    with_vectors: bool,
) -> Neighbours:
    """The best of a query's candidates by their exact scores; equal ones in the order of their ids.

    Args:
        query: float32 [dim].
        ids: of an answer to any number of queries.
        positions: which of them are this query's candidates.
        columns: of the whole answer, embeddings among them.
        fields: those of the columns that the catalogue declares.
        limit: hits to give.
        offset: hits to pass over.
        with_vectors: whether the hits shall carry their vectors.
    """
    if not len(positions):
        return Neighbours([], [], [], {}, fields)
    found = vectors_in(columns[EMBEDDING])[np.asarray(positions)]
    scores = [0.0] * len(ids)
    # Not `@`: its blocks add up equal rows in different orders, and products that share a picture would differ.
    exact = np.clip(np.einsum("ij,j->i", found, query), -1.0, 1.0)
    for position, score in zip(positions, exact.tolist(), strict=True):
        scores[position] = score
    order = sorted(positions, key=lambda position: (-scores[position], ids[position]))[offset : offset + limit]
    kept = columns if with_vectors else {name: column for name, column in columns.items() if name != EMBEDDING}
    return Neighbours(ids, scores, order, kept, fields)
