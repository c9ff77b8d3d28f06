"""One run of the canary: read a sample, search, compare, and look again before a product counts as missed."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Final

import numpy as np

from vitrine.domain import Deadline, Vectors
from vitrine.gateway.canary.blocks import Cut, Walk
from vitrine.gateway.canary.judging import TIED, judge
from vitrine.gateway.canary.nearest import NearestSeen
from vitrine.search.request import SearchRequest, TextPart
from vitrine.search.searcher import Searcher
from vitrine.settings import CanarySettings
from vitrine.telemetry.stages import StageClock
from vitrine.vectorstore.collection import CollectionInfo
from vitrine.vectorstore.sampling import SampleReader

SPARE: Final = 64
"""Products remembered of each query beyond the depth: so many may be deleted before a walk must show more."""

_BLOCKS_PER_SAMPLE: Final = 16  # products of neighbouring ids are alike: a few large blocks would be a poor sample
_BLOCK_BYTES: Final = 1024 * 1024
_ROUNDS: Final = 3
_LOOKED_AT: Final = 1_000  # vectors in memory at once
_TEXTS_PER_CALL: Final = 64
_SEARCH_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Figure:
    """What a run came to.

    Args:
        found: true neighbours that the answers contained.
        neighbours: true neighbours that samples have shown; `found` / `neighbours` is the recall.
        seen: share of the collection that samples have shown so far.
    """

    found: int
    neighbours: int
    seen: float


@dataclass(slots=True)
class _Sampling:
    """What is known of one collection.

    Args:
        collection: whose.
        nearest: of the queries, among all samples.
        cut: while the ids are read for the first time, or anew.
        walk: None until they are.
    """

    collection: CollectionInfo
    nearest: NearestSeen
    cut: Cut | None
    walk: Walk | None = None


@dataclass(slots=True)
class _Asked:
    """One query of a run.

    Args:
        answer: exact scores of the hits, by id.
        unsure: products that are not judged this time: they changed while it was asked.
        missed: products that were looked at again, and are missed.
    """

    answer: dict[str, float]
    unsure: set[str] = field(default_factory=set)
    missed: set[str] = field(default_factory=set)


class RecallCanary:
    """Measures live recall, one run at a time.

    Args:
        searcher: takes the way of every search; without a cache of embeddings, so that Triton is asked too.
        reader: for samples.
        alias: whose collection.
        texts: the known queries.
        settings: how much of what.
        random: for the order of samples; another in each process, so that several see more.
    """

    def __init__(
        self,
        searcher: Searcher,
        reader: SampleReader,
        alias: str,
        texts: Sequence[str],
        settings: CanarySettings,
        random: Random,
    ) -> None:
        self._searcher = searcher
        self._reader = reader
        self._alias = alias
        self._texts = tuple(texts)
        self._settings = settings
        self._random = random
        self._sampling: _Sampling | None = None

    async def run(self, deadline: Deadline) -> Figure:
        """Reads the next sample and asks every query once.

        Raises:
            VitrineError: what a search or a reading raises.
        """
        sampling = await self._current(deadline)
        await self._sample(sampling, deadline)
        walk = sampling.walk
        if walk is None or walk.seen == 0:
            return Figure(0, 0, 0.0)
        # Only now: what a sample has shown, the searches after it must find.
        asked = [await self._ask(sampling, number, deadline) for number in range(len(self._texts))]
        for _ in range(_ROUNDS):
            if not await self._look_again(sampling, asked, walk.seen, deadline):
                break
        found = neighbours = 0
        for number, one in enumerate(asked):
            judgement = judge(one.answer, self._judged(sampling, number, one), walk.seen, self._settings.depth)
            found += judgement.found
            neighbours += judgement.found + len(one.missed.intersection(judgement.missed))
        return Figure(found, neighbours, walk.seen)

    async def _current(self, deadline: Deadline) -> _Sampling:
        """What is known of the collection behind the alias; nothing when it is another than last time."""
        collection = await self._searcher.resolve(self._alias, deadline)
        if self._sampling is None or self._sampling.collection.build_id != collection.build_id:
            vectors = await self._embed(deadline)
            nearest = NearestSeen(vectors, self._settings.depth + SPARE)
            self._sampling = _Sampling(collection, nearest, self._cut(collection))
        return self._sampling

    def _cut(self, collection: CollectionInfo) -> Cut:
        widest = max(1, _BLOCK_BYTES // (4 * collection.dimension))
        return Cut(collection.name, min(self._settings.sample // _BLOCKS_PER_SAMPLE, widest))

    async def _embed(self, deadline: Deadline) -> Vectors:
        parts = [
            (await self._searcher.encoder.encode_texts(texts, deadline, StageClock())).vectors
            for texts in (
                self._texts[start : start + _TEXTS_PER_CALL] for start in range(0, len(self._texts), _TEXTS_PER_CALL)
            )
        ]
        return np.concatenate(parts)

    async def _sample(self, sampling: _Sampling, deadline: Deadline) -> None:
        """Shows the next blocks to `nearest`; before that, and when the blocks fit no longer, reads on in the ids."""
        info = sampling.collection
        if sampling.cut is not None:
            blocks = await sampling.cut.go_on(self._reader, deadline)
            if blocks is not None:
                sampling.walk = Walk(blocks, sampling.cut.size, self._random, walked=sampling.walk is not None)
                sampling.cut = None
        walk = sampling.walk
        if walk is None:
            return
        for block in walk.ahead(self._settings.sample):
            page = await self._reader.vectors_between(info.name, block.after, block.up_to, walk.most, deadline)
            if page is not None:
                await asyncio.to_thread(sampling.nearest.take, *page)
            walk.visited(0 if page is None else len(page[0]))
        if walk.outdated and sampling.cut is None:
            sampling.cut = self._cut(info)

    async def _ask(self, sampling: _Sampling, number: int, deadline: Deadline) -> _Asked:
        """One search, and the exact scores of its hits: an index of codes tells scores of codes."""
        request = SearchRequest(
            collection=sampling.collection.name,
            parts=(TextPart(self._texts[number]),),
            limit=self._settings.depth,
            with_vectors=True,
        )
        within = Deadline.after(deadline.within(_SEARCH_S))
        result = await self._searcher.search(request, within, StageClock())
        query = sampling.nearest.queries[number]
        answer = {hit.id: float(query @ hit.vector) for hit in result.hits if hit.vector is not None}
        known = sampling.nearest.of(number)
        for item_id in answer.keys() & known.keys():
            sampling.nearest.correct(number, item_id, answer[item_id])
        return _Asked(answer)

    async def _look_again(self, sampling: _Sampling, asked: Sequence[_Asked], seen: float, deadline: Deadline) -> bool:
        """Reads the vectors of products that seem to be missed, as they are now.

        One that is gone is forgotten. One that changed meanwhile is judged at the next run: the search may have been
        before the change. Both may let other products rise; returns whether there may be such.
        """
        suspects: list[tuple[int, str]] = []
        for number, one in enumerate(asked):
            judgement = judge(one.answer, self._judged(sampling, number, one), seen, self._settings.depth)
            suspects += [(number, item_id) for item_id in judgement.missed if item_id not in one.missed]
        risen = False
        for start in range(0, len(suspects), _LOOKED_AT):
            for number, item_id, score in await self._scores(sampling, suspects[start : start + _LOOKED_AT], deadline):
                if score is not None and abs(score - sampling.nearest.of(number)[item_id]) < TIED:
                    asked[number].missed.add(item_id)
                    continue
                sampling.nearest.correct(number, item_id, score)
                asked[number].unsure.add(item_id)
                risen = True
        return risen

    async def _scores(
        self, sampling: _Sampling, pairs: Sequence[tuple[int, str]], deadline: Deadline
    ) -> list[tuple[int, str, float | None]]:
        """Queries and products with their exact scores at this moment; None for products that are gone."""
        ids = [item_id for _, item_id in pairs]
        now = await self._searcher.vectors.vectors_of(sampling.collection.name, ids, deadline, strong=True)
        queries = sampling.nearest.queries
        return [(query, one, float(queries[query] @ now[one]) if one in now else None) for query, one in pairs]

    def _judged(self, sampling: _Sampling, number: int, one: _Asked) -> Mapping[str, float]:
        known = sampling.nearest.of(number)
        return {item_id: score for item_id, score in known.items() if item_id not in one.unsure}
