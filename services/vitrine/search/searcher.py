"""A query becomes one vector, the vector becomes hits. The walk of a search reads straight down from here."""

import asyncio
from collections.abc import Awaitable

import numpy as np

from vitrine.domain import Deadline, Vectors
from vitrine.embedding.encoder import Encoder
from vitrine.errors import CollectionNotReady, InvalidInput, ItemNotFound, VitrineError
from vitrine.search.composition import weighted_sum
from vitrine.search.request import (
    QUERY_TRUNCATED,
    Check,
    ImagePart,
    ItemPart,
    QueryPart,
    SearchRequest,
    SearchResult,
    TextPart,
)
from vitrine.telemetry.stages import Stage, StageClock
from vitrine.vectorstore.collection import CollectionInfo
from vitrine.vectorstore.directory import CollectionDirectory
from vitrine.vectorstore.filters import compile_filter, excluding_ids
from vitrine.vectorstore.searcher import VectorSearcher


class Searcher:
    """Answers searches. Holds long-lived clients only, no state of a request."""

    def __init__(self, encoder: Encoder, directory: CollectionDirectory, vectors: VectorSearcher) -> None:
        self.encoder = encoder
        self.directory = directory
        self.vectors = vectors

    async def search(self, request: SearchRequest, deadline: Deadline, clock: StageClock) -> SearchResult:
        """Runs one search against the one collection that the alias names at this moment.

        Raises:
            InvalidInput: the query, a parameter or the filter cannot be used; the subclass says why.
            CollectionNotFound, ItemNotFound: something named does not exist.
            ContractMismatch: the collection, Triton and the tokenizer here do not share one model.
            EncoderUnavailable, VectorStoreUnavailable, Overloaded, DeadlineExceeded: a dependency does not answer.
        """
        with clock.stage(Stage.SEARCH):
            collection = await self._usable(request.collection, deadline)
        vector, warnings = await self._query_vector(request.parts, collection, deadline, clock)
        with clock.stage(Stage.SEARCH):
            hits = await self.vectors.search(
                collection.name,
                vector,
                limit=request.limit,
                offset=request.offset,
                index=collection.index,
                fields=collection.fields,
                params=request.params,
                expression=_expression(request, collection),
                deadline=deadline,
                with_vectors=request.with_vectors,
            )
        if request.min_score is not None:
            hits = [hit for hit in hits if hit.score >= request.min_score]
        contract = self.encoder.contract
        return SearchResult(
            tuple(hits), collection.name, contract.model, contract.fingerprint, warnings, collection.fields
        )

    async def check_readiness(self, collection: str, deadline: Deadline) -> tuple[Check, ...]:
        """Asks every dependency, at the same time, whether a search of `collection` would work now."""
        return tuple(
            await asyncio.gather(
                _checked("triton", self.encoder.check_contract(deadline)),
                _checked("collection", self._usable(collection, deadline)),
            )
        )

    async def _usable(self, name: str, deadline: Deadline) -> CollectionInfo:
        collection = await self.directory.resolve(name, deadline)
        self.encoder.contract.require(collection.fingerprint, f"Collection {collection.name}")
        if not collection.loaded:
            raise CollectionNotReady(f"Collection {collection.name} is not loaded.", collection=collection.name)
        return collection

    async def _query_vector(
        self, parts: tuple[QueryPart, ...], collection: CollectionInfo, deadline: Deadline, clock: StageClock
    ) -> tuple[Vectors, tuple[str, ...]]:
        """Embeds every part, one call per kind, and adds them up: float32 [dim] of unit length, and warnings."""
        if not parts:
            raise InvalidInput("A query needs at least one part.")
        texts = [part for part in parts if isinstance(part, TextPart)]
        pictures = [part for part in parts if isinstance(part, ImagePart)]
        items = [part for part in parts if isinstance(part, ItemPart)]
        vectors: list[Vectors] = []
        warnings: tuple[str, ...] = ()
        if texts:
            encoded = await self.encoder.encode_texts([part.text for part in texts], deadline, clock)
            vectors.append(encoded.vectors)
            warnings = (QUERY_TRUNCATED,) if any(encoded.truncated) else ()
        if pictures:
            vectors.append(await self.encoder.encode_images([part.data for part in pictures], deadline, clock))
        if items:
            with clock.stage(Stage.SEARCH):
                vectors.append(await self._item_vectors([part.id for part in items], collection, deadline))
        in_order: list[QueryPart] = [*texts, *pictures, *items]
        return weighted_sum(np.concatenate(vectors), [part.weight for part in in_order]), warnings

    async def _item_vectors(self, ids: list[str], collection: CollectionInfo, deadline: Deadline) -> Vectors:
        found = await self.vectors.vectors_of(collection.name, ids, deadline)
        for item_id in ids:
            if item_id not in found:
                raise ItemNotFound(f"Collection {collection.name} has no item {item_id!r}.", id=item_id)
        return np.stack([found[item_id] for item_id in ids])


def _expression(request: SearchRequest, collection: CollectionInfo) -> str:
    """The Milvus expression of a request. Products used as a query are not among their own hits."""
    own_ids = [part.id for part in request.parts if isinstance(part, ItemPart)]
    tree = excluding_ids(request.filter, own_ids) if own_ids else request.filter
    return "" if tree is None else compile_filter(tree, collection.fields)


async def _checked(name: str, asking: Awaitable[object]) -> Check:
    try:
        await asking
    except VitrineError as error:
        return Check(name, error)
    return Check(name, None)
