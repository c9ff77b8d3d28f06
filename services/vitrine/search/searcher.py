"""A query becomes one vector, the vector becomes hits. The walk of a search reads straight down from here."""

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from vitrine.domain import Deadline, Vectors
from vitrine.embedding.encoder import Encoder
from vitrine.errors import CollectionNotFound, CollectionNotReady, CursorExpired, InternalError, VitrineError
from vitrine.search.cursor import Cursors, Position
from vitrine.search.facets import count_facets
from vitrine.search.fetching import Fetching
from vitrine.search.plan import Plan, make_plan
from vitrine.search.query import Query, QueryEmbedder
from vitrine.search.request import (
    DEPTH_REACHED,
    PREVIOUS_COLLECTION,
    Check,
    ImagePart,
    SearchRequest,
    SearchResult,
)
from vitrine.search.resolving import Resolved, Resolver
from vitrine.search.selection import Selection
from vitrine.settings import SearchSettings
from vitrine.telemetry.spans import add_event
from vitrine.telemetry.stages import Hop, Stage, StageClock
from vitrine.together import together
from vitrine.vectorstore.collection import CollectionInfo
from vitrine.vectorstore.directory import CollectionDirectory
from vitrine.vectorstore.neighbours import Neighbours
from vitrine.vectorstore.searcher import VectorSearcher

Outcome: TypeAlias = SearchResult | VitrineError

# Pictures of more bytes than this are hashed in a thread, while other requests go on.
_HASHED_HERE = 256 * 1024


@dataclass(slots=True)
class _Search:
    """One search under way."""

    request: SearchRequest
    plan: Plan
    query: Query
    previous: bool = False
    vector: Vectors | None = None
    found: Neighbours | None = None
    outcome: Outcome | None = None

    @property
    def outdated(self) -> bool:
        """Whether it failed for what was known of its collection, so that a fresh look may help."""
        return self.request.cursor is None and isinstance(self.outcome, CollectionNotFound | CollectionNotReady)


class Searcher:
    """Answers searches. Holds long-lived clients only, no state of a request.

    Args:
        encoder: for texts and pictures.
        directory: for aliases.
        vectors: for everything in Milvus.
        settings: how far a search may go, and how cursors are signed.

    Raises:
        SettingsInvalid: the key for cursors can be guessed.
    """

    def __init__(
        self,
        encoder: Encoder,
        directory: CollectionDirectory,
        vectors: VectorSearcher,
        settings: SearchSettings | None = None,
    ) -> None:
        self.encoder = encoder
        self.directory = directory
        self.vectors = vectors
        self._settings = settings or SearchSettings()
        self._cursors = Cursors.of(self._settings)
        self._resolver = Resolver(directory, encoder.contract)
        self._embedder = QueryEmbedder(encoder, vectors)
        self._fetching = Fetching(vectors, self._cursors, self._settings)

    async def search(self, request: SearchRequest, deadline: Deadline, clock: StageClock) -> SearchResult:
        """Runs one search against the one collection that the alias names at this moment, or that its cursor names.

        Raises:
            InvalidInput: the query, a parameter, the filter or the cursor cannot be used; the subclass says why.
            CollectionNotFound, ItemNotFound: something named does not exist.
            CursorExpired: too old, or the collection of its walk is gone.
            ContractMismatch: the collection, Triton and the tokenizer here do not share one model.
            EncoderUnavailable, VectorStoreUnavailable, Overloaded, DeadlineExceeded: a dependency does not answer.
        """
        (outcome,) = await self.search_many([request], deadline, clock)
        if isinstance(outcome, VitrineError):
            raise outcome
        return outcome

    async def search_many(
        self, requests: Sequence[SearchRequest], deadline: Deadline, clock: StageClock
    ) -> list[Outcome]:
        """Runs searches at the same time; each succeeds or fails by itself, in the way of `search`.

        All texts are embedded in one call and all pictures in another. Searches that differ in their query alone share
        one call to Milvus.

        Returns:
            For each request, in their order, its result or what `search` would have raised.
        """
        first = await self._run(requests, deadline, clock)
        # Between two questions to the directory an alias may have moved and its collection be gone.
        stale = {row: search for row, search in enumerate(first) if isinstance(search, _Search) and search.outdated}
        if not stale:
            return [_outcome(search) for search in first]
        add_event("retry", {"searches": len(stale)})
        # After a model's upgrade the alias itself may name another collection than the one that was searched.
        names = [name for search in stale.values() for name in (search.request.collection, search.plan.collection.name)]
        for name in dict.fromkeys(names):
            self.directory.invalidate(name)
        second = await self._run([requests[row] for row in stale], deadline, clock)
        latest = dict(enumerate(first)) | dict(zip(stale, second, strict=True))
        return [_outcome(search) for search in latest.values()]

    async def resolve(self, collection: str, deadline: Deadline) -> CollectionInfo:
        """The one collection that a search of a name or alias would see at this moment.

        Raises:
            CollectionNotFound, CollectionNotReady, ContractMismatch, VectorStoreUnavailable, DeadlineExceeded
        """
        return (await self._resolver.resolve(collection, deadline)).collection

    async def check_readiness(self, collection: str, deadline: Deadline) -> tuple[Check, ...]:
        """Asks every dependency, at the same time, whether a search of `collection` would work now."""
        return tuple(
            await asyncio.gather(
                _checked("triton", self.encoder.check_contract(deadline)),
                _checked("collection", self._resolver.resolve(collection, deadline)),
            )
        )

    async def _run(
        self, requests: Sequence[SearchRequest], deadline: Deadline, clock: StageClock
    ) -> list[_Search | VitrineError]:
        """The steps of a search, one after the other, each for all searches at the same time."""
        with clock.stage(Stage.SEARCH):
            names = [request.collection for request in requests if request.cursor is None]
            resolved = await self._resolver.resolve_all(names, deadline)
            prepared = await together([self._prepare(request, resolved, deadline) for request in requests])
        searches = [search for search in prepared if isinstance(search, _Search)]
        clock.note_left(Hop.EMBED, deadline)
        await self._embedder.embed([search.query for search in searches], deadline, clock)
        clock.note_left(Hop.SEARCH, deadline)
        with clock.stage(Stage.SEARCH):
            await together([self._find(alike, deadline) for alike in _alike(searches)])
        finding = [search for search in searches if search.outcome is None]
        if len(finding) == 1:
            await self._finish(finding[0], deadline, clock)
        elif finding:
            with clock.stage(Stage.HYDRATE):  # a clock counts the time of one task
                await together([self._finish(search, deadline, StageClock()) for search in finding])
        return prepared

    async def _prepare(
        self, request: SearchRequest, resolved: Mapping[str, Resolved | VitrineError], deadline: Deadline
    ) -> _Search | VitrineError:
        previous = False
        try:
            if request.cursor is None:
                found = resolved[request.collection]
                if isinstance(found, VitrineError):
                    return found
                collection, previous, position = found.collection, found.previous, None
            else:
                position = self._cursors.read(request.cursor, await self._digest(request))
                collection = await self._walked(request, position, deadline)
            plan = make_plan(request, collection, position, self._settings)
        except VitrineError as error:
            return error
        return _Search(request, plan, Query(request.parts, collection.name), previous)

    async def _find(self, searches: list[_Search], deadline: Deadline) -> None:
        """Neighbours for searches that differ in their query alone."""
        queries = [search.vector for search in searches if search.vector is not None]
        try:
            found = await self._fetching.neighbours(searches[0].plan, queries, deadline)
        except VitrineError as error:
            for search in searches:
                search.outcome = _ended(search.request, error)
            return
        for search, neighbours in zip(searches, found, strict=True):
            search.found = neighbours

    async def _finish(self, search: _Search, deadline: Deadline, clock: StageClock) -> None:
        """From the neighbours to the answer."""
        plan = search.plan
        if search.vector is None or search.found is None:
            raise InternalError("A search without neighbours cannot be finished.")
        try:
            selection = await self._fetching.select(plan, search.vector, search.found, deadline, clock)
            hits = await self._fetching.show(plan, selection.page, deadline, clock)
        except VitrineError as error:
            search.outcome = _ended(search.request, error)
            return
        counted = min(selection.counted, self._settings.facet_depth) if plan.facets else 0
        next_cursor, deep = await self._onward(search.request, plan, selection)
        contract = self.encoder.contract
        search.outcome = SearchResult(
            hits=hits,
            collection=plan.collection.name,
            model=contract.model,
            fingerprint=contract.fingerprint,
            warnings=(
                *search.query.warnings,
                *((DEPTH_REACHED,) if deep else ()),
                *((PREVIOUS_COLLECTION,) if search.previous else ()),
            ),
            fields=plan.collection.fields,
            next_cursor=next_cursor,
            facets=count_facets(search.found, counted, plan.facets, self._settings.max_facet_values),
            facets_over=counted,
        )

    async def _onward(self, request: SearchRequest, plan: Plan, selection: Selection) -> tuple[str | None, bool]:
        """The cursor for the next page, and whether there is none because of the depth reached."""
        given = len(selection.page) + (0 if plan.position is None else len(plan.position.seen))
        if not selection.more:
            return None, plan.grouping is not None and selection.lacking > 0 and not selection.ended
        if not plan.paged or given >= self._settings.max_depth:
            return None, plan.paged
        return self._cursors.write(selection.position(await self._digest(request))), False

    async def _walked(self, request: SearchRequest, position: Position, deadline: Deadline) -> CollectionInfo:
        """The collection that a walk began with, wherever the alias points now.

        Raises:
            CursorExpired: it is gone, was built anew, or was put out of use by one of another model.
            CollectionNotReady: it is the alias's own and not loaded.
        """
        gone = CursorExpired("The collection of this walk is gone; begin with the first page.", reason="collection")
        try:
            collection = await self.directory.resolve(position.collection, deadline)
        except CollectionNotFound as error:
            raise gone from error
        same = self._cursors.build(collection) == position.build
        if not same or collection.fingerprint != self.encoder.contract.fingerprint:
            raise gone
        if not collection.loaded:
            if (await self.directory.resolve(request.collection, deadline)).name != collection.name:
                raise gone
            raise CollectionNotReady(f"Collection {collection.name} is not loaded.", collection=collection.name)
        return collection

    async def _digest(self, request: SearchRequest) -> bytes:
        if sum(len(part.data) for part in request.parts if isinstance(part, ImagePart)) > _HASHED_HERE:
            return await asyncio.to_thread(self._cursors.digest, request)
        return self._cursors.digest(request)


def _alike(searches: Sequence[_Search]) -> list[list[_Search]]:
    """Those that can share a call to Milvus, together. Searches whose query failed are over."""
    groups: dict[object, list[_Search]] = {}
    for search in searches:
        try:
            search.vector = search.query.vector()
        except VitrineError as error:
            search.outcome = error
        else:
            groups.setdefault(search.plan.shared if len(searches) > 1 else None, []).append(search)
    return list(groups.values())


def _outcome(search: _Search | VitrineError) -> Outcome:
    if isinstance(search, VitrineError):
        return search
    if search.outcome is None:
        raise InternalError("A search ended without an outcome.")
    return search.outcome


def _ended(request: SearchRequest, error: VitrineError) -> VitrineError:
    """What an error of Milvus means to the caller."""
    if request.cursor is not None and isinstance(error, CollectionNotFound):
        return CursorExpired("The collection of this walk is gone; begin with the first page.", reason="collection")
    return error


async def _checked(name: str, asking: Awaitable[object]) -> Check:
    try:
        await asking
    except VitrineError as error:
        return Check(name, error)
    return Check(name, None)
