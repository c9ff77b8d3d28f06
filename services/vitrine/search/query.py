"""Queries become one vector each. However many there are, all their texts go to the model in one call."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

from vitrine.domain import Deadline, Vectors
from vitrine.embedding.encoder import Encoder
from vitrine.errors import InvalidInput, ItemNotFound, VitrineError
from vitrine.search.composition import weighted_sum
from vitrine.search.request import QUERY_TRUNCATED, ImagePart, ItemPart, QueryPart, TextPart
from vitrine.telemetry.stages import Stage, StageClock
from vitrine.vectorstore.searcher import VectorSearcher

T = TypeVar("T")
_Encoded: TypeAlias = tuple[Vectors, bool]  # a vector, and whether the end of its text was left out
_Encode: TypeAlias = Callable[[list[T], StageClock], Awaitable[list[_Encoded]]]


@dataclass(slots=True)
class Query:
    """What one search is for, and what has become of it.

    Args:
        parts: at least one.
        collection: the own name of the one that products among the parts are in.
    """

    parts: tuple[QueryPart, ...]
    collection: str
    error: VitrineError | None = None
    truncated: bool = False
    embedded: dict[int, Vectors] = field(default_factory=dict)
    """By number of the part."""

    @property
    def warnings(self) -> tuple[str, ...]:
        return (QUERY_TRUNCATED,) if self.truncated else ()

    def of_kind(self, kind: type[T]) -> list[tuple[int, T]]:
        """Parts of one kind with their numbers; none once something went wrong."""
        if self.error is not None:
            return []
        return [(number, part) for number, part in enumerate(self.parts) if isinstance(part, kind)]

    def vector(self) -> Vectors:
        """The parts' weighted sum, float32 [dim] of unit length.

        Raises:
            QueryCancelsOut, or whatever kept a part from being embedded.
        """
        if self.error is not None:
            raise self.error
        in_order = [self.embedded[number] for number in range(len(self.parts))]
        return weighted_sum(in_order, [part.weight for part in self.parts])


class QueryEmbedder:
    """Embeds queries, many at a time; one that cannot be embedded spoils no other.

    Args:
        encoder: for texts and pictures.
        vectors: for products, which have their vectors already.
    """

    def __init__(self, encoder: Encoder, vectors: VectorSearcher) -> None:
        self._encoder = encoder
        self._vectors = vectors

    async def embed(self, queries: Sequence[Query], deadline: Deadline, clock: StageClock) -> None:
        """Fills in `embedded` of each query, or its `error`."""

        async def texts(parts: list[TextPart], clock: StageClock) -> list[_Encoded]:
            encoded = await self._encoder.encode_texts([part.text for part in parts], deadline, clock)
            return list(zip(encoded.vectors, encoded.truncated, strict=True))

        async def pictures(parts: list[ImagePart], clock: StageClock) -> list[_Encoded]:
            vectors = await self._encoder.encode_images([part.data for part in parts], deadline, clock)
            return [(vector, False) for vector in vectors]

        await _encode_all(queries, TextPart, texts, clock)
        await _encode_all(queries, ImagePart, pictures, clock)
        with_items = [query for query in queries if query.of_kind(ItemPart)]
        if with_items:
            with clock.stage(Stage.SEARCH):
                names = {query.collection for query in with_items}
                await asyncio.gather(*(self._look_up(name, with_items, deadline) for name in names))

    async def _look_up(self, collection: str, queries: Sequence[Query], deadline: Deadline) -> None:
        """Vectors of the products that queries of one collection name."""
        of_it = [query for query in queries if query.collection == collection]
        ids = [part.id for query in of_it for _, part in query.of_kind(ItemPart)]
        try:
            found = await self._vectors.vectors_of(collection, ids, deadline)
        except VitrineError as error:
            for query in of_it:
                query.error = error
            return
        for query in of_it:
            for number, part in query.of_kind(ItemPart):
                if part.id in found:
                    query.embedded[number] = found[part.id]
                else:
                    query.error = ItemNotFound(f"Collection {collection} has no item {part.id!r}.", id=part.id)


async def _encode_all(queries: Sequence[Query], kind: type[T], encode: _Encode[T], clock: StageClock) -> None:
    """Encodes the parts of one kind in one call; query by query when one of them is refused, to learn which."""
    concerned = [query for query in queries if query.of_kind(kind)]
    if not concerned:
        return
    numbered = [(query, number, part) for query in concerned for number, part in query.of_kind(kind)]
    try:
        encoded = await encode([part for _, _, part in numbered], clock)
    except InvalidInput as error:
        if len(concerned) == 1:
            concerned[0].error = error
            return
        # What the first call did for the others is in the cache; a clock counts the time of one task.
        with clock.stage(Stage.EMBED):
            await asyncio.gather(*(_encode_all([query], kind, encode, StageClock()) for query in concerned))
        return
    except VitrineError as error:
        for query in concerned:
            query.error = error
        return
    for (query, number, _), (vector, truncated) in zip(numbered, encoded, strict=True):
        query.embedded[number] = vector
        query.truncated = query.truncated or truncated
