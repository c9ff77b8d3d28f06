"""From a vector to the page: the calls to Milvus of one plan, or of several that can share them."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import Final

import numpy as np

from vitrine.domain import Deadline, FieldSpec, FieldValue, Hit, Vectors
from vitrine.joining import Joiner
from vitrine.search.cursor import Cursors
from vitrine.search.grouping import MAX_ROUNDS
from vitrine.search.plan import DESCRIBED_ROWS, Plan
from vitrine.search.selection import Picked, Selection
from vitrine.settings import SearchSettings
from vitrine.telemetry.stages import Stage, StageClock
from vitrine.vectorstore.filters import both, none_of
from vitrine.vectorstore.index_kind import IndexParams
from vitrine.vectorstore.neighbours import Neighbours
from vitrine.vectorstore.searcher import MAX_NEIGHBOURS, VectorSearcher

JOINED_ROWS: Final = 4_096
"""The most neighbours that searches ask for together: a page of twenty for each of two hundred, or four pages of a
thousand. One call's answer stays a few megabytes, and nobody waits long for his neighbours' rows."""


@dataclass(frozen=True, slots=True)
class _Alike:
    """All that searches must have in common to share a call: everything but their vectors."""

    collection: str
    build: str
    index: IndexParams
    fields: tuple[FieldSpec, ...]
    params: tuple[tuple[str, int], ...]
    expression: str
    rows: int
    offset: int
    described: bool
    with_vectors: bool

    def __hash__(self) -> int:
        """Of what mostly tells them apart: a hash of all goes through every field of the collection each time."""
        return hash((self.collection, self.expression, self.rows, self.offset))


class Fetching:
    """What plans need of Milvus.

    Raises, in each of its methods: CollectionNotFound, CollectionNotReady, VectorStoreUnavailable, DeadlineExceeded.

    Args:
        vectors: asks Milvus.
        cursors: to recognise what earlier pages gave.
        settings: how many searches may share a call, and how many calls of like searches are under way.
    """

    def __init__(self, vectors: VectorSearcher, cursors: Cursors, settings: SearchSettings) -> None:
        self._vectors = vectors
        self._cursors = cursors
        self._joiner: Joiner[_Alike, Vectors, list[Neighbours]] = Joiner(
            self._neighbours,
            most=lambda alike: max(1, min(settings.max_joined, JOINED_ROWS // (alike.rows + alike.offset))),
            under_way=settings.calls_under_way,
            span_name="joined searches",
            doing="waiting for neighbours",
        )

    async def neighbours(self, plan: Plan, queries: Sequence[Vectors], deadline: Deadline) -> list[Neighbours]:
        """The plan's neighbours of each query, in one call."""
        return await self._ask(plan, _rows_of(queries), plan.rows, plan.expression, deadline)

    async def select(
        self, plan: Plan, query: Vectors, found: Neighbours, deadline: Deadline, clock: StageClock
    ) -> Selection:
        """Picks the page from `found`; where groups are lacking, looks for more among the rows of others."""
        selection = Selection(plan, self._cursors)
        selection.take(found, plan.rows)
        for done in range(1, MAX_ROUNDS if plan.grouping is not None else 1):
            if selection.ended or selection.lacking <= 0 or plan.grouping is None:
                break
            with clock.stage(Stage.SEARCH):
                rows = min(plan.grouping.next_rows(done, selection.lacking, selection.alone), MAX_NEIGHBOURS)
                others = none_of(plan.grouping.column, selection.values) if selection.values else ""
                narrowed = both(plan.expression, others)
                later = replace(plan, rows=rows, described=plan.described and rows <= DESCRIBED_ROWS)
                (found,) = await self._ask(later, query[np.newaxis], rows, narrowed, deadline)
            selection.take(found, rows)
        return selection

    async def show(self, plan: Plan, page: list[Picked], deadline: Deadline, clock: StageClock) -> tuple[Hit, ...]:
        """The page as hits. One that was deleted since it was found is left out."""
        if plan.grouping is None and page and page[0].found.described:
            return tuple(page[0].found.hits([picked.row for picked in page]))
        bare = [picked.id for picked in page if not picked.found.described]
        with clock.stage(Stage.HYDRATE):
            looked_up, siblings = await asyncio.gather(
                self._look_up(plan, bare, deadline), self._siblings(plan, page, deadline)
            )
        hits = {hit.id: hit for hit in _described([picked for picked in page if picked.found.described])} | looked_up
        return tuple(
            replace(hits[picked.id], score=picked.score, siblings=_count(plan, picked, siblings))
            for picked in page
            if picked.id in hits
        )

    async def _ask(
        self, plan: Plan, queries: Vectors, rows: int, expression: str, deadline: Deadline
    ) -> list[Neighbours]:
        collection = plan.collection
        alike = _Alike(
            collection=collection.name,
            build=collection.build_id,
            index=collection.index,
            fields=plan.fields,
            params=tuple(sorted(plan.request.params.items())),
            expression=expression,
            rows=rows,
            offset=plan.offset,
            described=plan.described,
            with_vectors=plan.with_vectors,
        )
        return await self._joiner.ask(alike, queries, len(queries), deadline)

    async def _neighbours(self, alike: _Alike, queries: list[Vectors], deadline: Deadline) -> list[list[Neighbours]]:
        """Neighbours for queries of float32 [n, dim] each, in one call."""
        found = await self._vectors.neighbours(
            alike.collection,
            queries[0] if len(queries) == 1 else np.concatenate(queries),
            limit=alike.rows,
            offset=alike.offset,
            wanted=1,  # the plan has checked `params` against what the caller wants
            index=alike.index,
            fields=alike.fields,
            described=alike.described,
            params=dict(alike.params),
            expression=alike.expression,
            deadline=deadline,
            with_vectors=alike.with_vectors,
        )
        ends = list(accumulate((len(one) for one in queries), initial=0))
        return [found[start:end] for start, end in pairwise(ends)]

    async def _look_up(self, plan: Plan, ids: list[str], deadline: Deadline) -> dict[str, Hit]:
        if not ids:
            return {}
        collection = plan.collection
        return await self._vectors.items_of(
            collection.name, ids, deadline, fields=collection.fields, with_vectors=plan.request.with_vectors
        )

    async def _siblings(self, plan: Plan, page: list[Picked], deadline: Deadline) -> dict[FieldValue, int]:
        groups = [picked.group for picked in page if picked.group is not None]
        if plan.grouping is None or not groups:
            return {}
        return await self._vectors.sizes(plan.collection.name, plan.grouping.column, groups, plan.expression, deadline)


def _rows_of(queries: Sequence[Vectors]) -> Vectors:
    """float32 [n, dim]; a lone one is not copied."""
    return queries[0][np.newaxis] if len(queries) == 1 else np.stack(queries)


def _described(page: list[Picked]) -> tuple[Hit, ...]:
    """Hits of rows that came with their values; rows of one answer are read together."""
    rows: dict[int, tuple[Neighbours, list[int]]] = {}
    for picked in page:
        rows.setdefault(id(picked.found), (picked.found, []))[1].append(picked.row)
    return tuple(hit for found, own in rows.values() for hit in found.hits(own))


def _count(plan: Plan, picked: Picked, sizes: dict[FieldValue, int]) -> int | None:
    """The further products of its group. Rows that were deleted meanwhile are no fewer than none."""
    if plan.grouping is None:
        return None
    return 0 if picked.group is None else max(0, sizes[picked.group] - 1)
