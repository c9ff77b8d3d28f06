"""What an index is tried with: texts as shoppers type them, and vectors of pictures that are in the collection.

The two are not alike. A vector of CLIP's text tower lies outside the cloud of the pictures' vectors, where an index has
to search more widely for the same recall: measured with pictures alone, any index looks better than shoppers find it
(Jaiswal et al., OOD-DiskANN, 2022; Chen et al., RoarGraph, VLDB 2024).
"""

import hashlib
import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np

from vitrine.domain import Deadline, Vectors
from vitrine.embedding.encoder import Encoder
from vitrine.errors import InvalidInput, LimitExceeded
from vitrine.telemetry.stages import StageClock
from vitrine.vectorstore.reader import CollectionReader
from vitrine.vectorstore.searcher import VectorSearcher

MAX_QUERIES = 10_000
"""Queries of one set: their exact neighbours are kept in memory, about 5 KB each."""

_TEXTS_PER_CALL = 64
_MAX_TEXT_FILE_BYTES = 8 * 1024 * 1024


class QueryKind(StrEnum):
    """Where queries come from."""

    TEXT = "text"
    IMAGE = "image"


@dataclass(frozen=True, slots=True)
class QuerySet:
    """Queries of one kind.

    Args:
        kind: see `QueryKind`.
        vectors: float32 [n, dim], unit length.
        own_ids: the product that each vector was taken from, which is no neighbour of itself; empty for a query that
            is no product of the collection.
    """

    kind: QueryKind
    vectors: Vectors
    own_ids: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.own_ids)

    def rows(self, chosen: Sequence[int]) -> "QuerySet":
        """The queries of those numbers, in that order."""
        return QuerySet(self.kind, self.vectors[list(chosen)], tuple(self.own_ids[row] for row in chosen))


def split(queries: QuerySet, held_out: float, seed: int = 0) -> tuple[QuerySet, QuerySet]:
    """Two sets without a query in common, drawn by chance: one to choose a setting with, one to check the choice.

    Args:
        queries: two at least.
        held_out: share of the second set, between 0 and 1; each set gets one query at least.
        seed: the same gives the same sets.

    Raises:
        InvalidInput: too few queries, or no such share.
    """
    if len(queries) < 2 or not 0 < held_out < 1:
        raise InvalidInput(f"A held-out share of {held_out:g} cannot be cut from {len(queries)} queries.")
    order = np.random.default_rng(seed).permutation(len(queries)).tolist()
    second = min(max(1, round(held_out * len(queries))), len(queries) - 1)
    return queries.rows(sorted(order[second:])), queries.rows(sorted(order[:second]))


def read_texts(path: Path, most: int = MAX_QUERIES) -> list[str]:
    """The different texts of a UTF-8 file, one a line, in their order; empty lines are passed over.

    Raises:
        InvalidInput: no such file, no UTF-8, or no text in it.
        LimitExceeded: it is larger than any list of queries.
    """
    try:
        if path.stat().st_size > _MAX_TEXT_FILE_BYTES:
            raise LimitExceeded(f"{path} is larger than {_MAX_TEXT_FILE_BYTES} bytes.", maximum=_MAX_TEXT_FILE_BYTES)
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} cannot be read as texts, one a line: {error}.") from error
    texts = list(dict.fromkeys(line.strip() for line in lines if line.strip()))
    if not texts:
        raise InvalidInput(f"{path} holds no text.")
    return texts[:most]


async def text_queries(encoder: Encoder, texts: Sequence[str], deadline: Deadline) -> QuerySet:
    """Texts as the gateway would embed them, in calls of a bounded size.

    Raises:
        LimitExceeded: more than `MAX_QUERIES`.
        QueryEmpty, QueryTooLarge, TextMalformed, EncoderUnavailable, DeadlineExceeded: see `Encoder.encode_texts`.
    """
    _check_count(len(texts))
    batches = [texts[start : start + _TEXTS_PER_CALL] for start in range(0, len(texts), _TEXTS_PER_CALL)]
    encoded = [(await encoder.encode_texts(batch, deadline, StageClock())).vectors for batch in batches]
    return QuerySet(QueryKind.TEXT, np.concatenate(encoded), ("",) * len(texts))


async def sampled_ids(reader: CollectionReader, name: str, count: int, deadline: Deadline, seed: int = 0) -> list[str]:
    """Ids drawn by chance from a collection, the same for the same ids and seed in whatever order they are stored.

    All ids are read, 16,384 at a time, and `count` are kept: those whose keyed hash is least.

    Raises:
        LimitExceeded: more than `MAX_QUERIES`.
        CollectionNotFound, CollectionNotReady, VectorStoreUnavailable, DeadlineExceeded: see `CollectionReader.ids`.
    """
    _check_count(count)
    key = seed.to_bytes(8, "little", signed=True)
    least: list[tuple[int, str]] = []
    async for item_id in reader.ids(name, deadline):
        drawn = -int.from_bytes(hashlib.blake2b(item_id.encode(), digest_size=8, key=key).digest())
        if len(least) < count:
            heapq.heappush(least, (drawn, item_id))
        else:
            heapq.heappushpop(least, (drawn, item_id))
    return [item_id for _, item_id in sorted(least, reverse=True)]


async def image_queries(
    reader: CollectionReader, searcher: VectorSearcher, name: str, count: int, deadline: Deadline, seed: int = 0
) -> QuerySet:
    """Vectors of pictures that the collection holds, drawn by chance; fewer when it has fewer.

    Raises:
        InvalidInput: the collection is empty.
        LimitExceeded, CollectionNotFound, CollectionNotReady, VectorStoreUnavailable, DeadlineExceeded: as of
            `sampled_ids`.
    """
    ids = await sampled_ids(reader, name, count, deadline, seed)
    found = await searcher.vectors_of(name, ids, deadline, strong=True)
    there = [item_id for item_id in ids if item_id in found]
    if not there:
        raise InvalidInput(f"Collection {name!r} is empty: there is nothing to measure.", collection=name)
    return QuerySet(QueryKind.IMAGE, np.stack([found[item_id] for item_id in there]), tuple(there))


async def titles(
    reader: CollectionReader, searcher: VectorSearcher, name: str, count: int, deadline: Deadline, seed: int = 0
) -> list[str]:
    """Different titles of products drawn by chance: texts to search for where nobody has a list of real queries.

    Shoppers type shorter and vaguer words than a catalogue's titles; a file of real queries is better.

    Raises:
        InvalidInput: no product has a title.
        LimitExceeded, CollectionNotFound, CollectionNotReady, VectorStoreUnavailable, DeadlineExceeded: as of
            `sampled_ids`.
    """
    # Titles repeat themselves: H&M has 2.3 articles to each.
    ids = await sampled_ids(reader, name, min(4 * count, MAX_QUERIES), deadline, seed)
    found = await searcher.items_of(name, ids, deadline, strong=True)
    texts = [found[item_id].title.strip() for item_id in ids if item_id in found]
    different = list(dict.fromkeys(text for text in texts if text))[:count]
    if not different:
        raise InvalidInput(f"No product of collection {name!r} has a title; give a file of texts.", collection=name)
    return different


def _check_count(count: int) -> None:
    if not 1 <= count <= MAX_QUERIES:
        raise LimitExceeded(f"From 1 to {MAX_QUERIES} queries can be used, not {count}.", maximum=MAX_QUERIES)
