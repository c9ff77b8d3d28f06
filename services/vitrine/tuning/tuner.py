"""Finds the least search settings that reach a recall within a latency, and checks the choice with other queries."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from vitrine.domain import Deadline
from vitrine.errors import InvalidInput, LimitExceeded
from vitrine.tuning.frontier import Point, least_mean
from vitrine.tuning.knobs import knob_of, variants_of
from vitrine.tuning.least_setting import least_setting
from vitrine.tuning.measure import Measurement, Numbers, Trial, measure, percentile_of
from vitrine.tuning.queries import QuerySet
from vitrine.tuning.truth import ExactNeighbours
from vitrine.vectorstore.collection import CollectionInfo
from vitrine.vectorstore.index_params import IndexParams
from vitrine.vectorstore.searcher import VectorSearcher

MAX_K: Final = 100
TIMED_SEARCHES: Final = 600
"""Timed searches of each setting at least: six of them are slower than their 99th percentile."""

# Around the least setting that reaches the recall: what shows the frontier, and what may hold where that one does not.
_SPREAD: Final = (0.25, 0.5, 1.0, 1.25, 1.6, 2.5)

OnProgress = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class Target:
    """What a setting must reach.

    Args:
        recall: mean recall@k, as its lower 95% bound tells it.
        p99_ms: of one search at a time.
        k: hits of each search.

    Raises:
        LimitExceeded: a figure out of bounds.
    """

    recall: float
    p99_ms: float
    k: int = 10

    def __post_init__(self) -> None:
        for name, value, least, most in (
            ("recall", self.recall, 0.01, 1.0),
            ("p99-ms", self.p99_ms, 0.1, 60_000.0),
            ("k", self.k, 1, MAX_K),
        ):
            if not least <= value <= most:
                raise LimitExceeded(
                    f"{name} must be from {least:g} to {most:g}, not {value:g}.", minimum=least, maximum=most
                )


@dataclass(frozen=True, slots=True)
class Questions:
    """Queries with their exact answers.

    Args:
        tuning: to choose a setting with.
        held_out: others, to check the choice with.
    """

    tuning: QuerySet
    tuning_truth: ExactNeighbours
    held_out: QuerySet
    held_out_truth: ExactNeighbours


@dataclass(frozen=True, slots=True)
class Checked:
    """A setting that met the target, and what queries that had no part in its choice say.

    Args:
        point: as it was chosen.
        recall: mean over the held-out queries.
        least_recall: its lower 95% bound.
        p99_ms: over the timed searches of both sets; latencies, unlike recalls, are not fitted to queries.
        holds: whether these meet the target, the recall by its mean.
    """

    point: Point
    recall: float
    least_recall: float
    p99_ms: float
    holds: bool


class Tuner:
    """Measures settings of one collection, and of trial builds beside it.

    Args:
        searcher: of their Milvus.
        questions: see `Questions`.
        target: see `Target`.
        deadline: for all of it.
        on_progress: told what is under way, and the share done.
    """

    def __init__(
        self,
        searcher: VectorSearcher,
        questions: Questions,
        target: Target,
        deadline: Deadline,
        on_progress: OnProgress,
    ) -> None:
        self._searcher = searcher
        self._questions = questions
        self._target = target
        self._deadline = deadline
        self._on_progress = on_progress
        self._latencies: dict[Point, Numbers] = {}
        self._collections: dict[Point, CollectionInfo] = {}

    async def explore(self, info: CollectionInfo, *, own: bool) -> list[Point]:
        """Points around the least settings of a collection that reach the recall, its present ones among them.

        First each worthwhile setting's recall is told, beginning with the present one; then all that may be worth it
        are timed side by side.

        Raises:
            VectorStoreUnavailable, CollectionNotReady, DeadlineExceeded
        """
        indexes = [info.index]
        for variant in variants_of(info.index):
            indexes += await self._worth_timing(info, variant)
        unique = list(dict.fromkeys(indexes))
        measured = await self._timed(info, unique, self._questions.tuning, self._questions.tuning_truth)
        points = []
        for index, one in zip(unique, measured, strict=True):
            point = self._point(index, one, own=own)
            self._latencies[point], self._collections[point] = one.latencies_ms, info
            points.append(point)
        return points

    async def check(self, points: Sequence[Point]) -> list[Checked]:
        """The first of the points that meets the target with the held-out queries too, after those that did not.

        Points that do not meet it with the tuning queries are passed over; the quickest come first.
        """
        tried: list[Checked] = []
        meeting = [point for point in points if point.meets(self._target.recall, self._target.p99_ms)]
        for point in sorted(meeting, key=lambda one: one.p50_ms):
            tried.append(await self._checked(point))
            if tried[-1].holds:
                break
        return tried

    async def _checked(self, point: Point) -> Checked:
        held_out, truth = self._questions.held_out, self._questions.held_out_truth
        (measured,) = await self._timed(self._collections[point], [point.index], held_out, truth)
        recalls = measured.recalls[self._target.k]
        pooled = percentile_of(np.concatenate([self._latencies[point], measured.latencies_ms]), 99)
        recall = float(recalls.mean())
        holds = recall >= self._target.recall and pooled <= self._target.p99_ms
        return Checked(point, recall, least_mean(recalls), pooled, holds)

    async def _worth_timing(self, info: CollectionInfo, index: IndexParams) -> list[IndexParams]:
        """Settings around the least that reaches the recall; the far end where none does."""
        knob = knob_of(index, self._target.k)
        if knob is None:
            return [index]

        async def passes(value: int) -> bool:
            tried = index.with_search({knob.name: value})
            self._on_progress(f"recall of {_settings(tried)}", 0.0)
            trial = Trial(_settings(tried), info.name, tried)
            questions = self._questions
            (measured,) = await measure(
                self._searcher,
                [trial],
                questions.tuning,
                questions.tuning_truth,
                ks=(self._target.k,),
                warm_up=0,
                deadline=self._deadline,
                on_progress=lambda share: self._on_progress(f"recall of {trial.label}", share),
            )
            return least_mean(measured.recalls[self._target.k]) >= self._target.recall

        least = await least_setting(passes, index.search_settings()[knob.name], knob.least, knob.most)
        values = [knob.most // 4, knob.most] if least is None else [round(least * share) for share in _SPREAD]
        within = dict.fromkeys(min(max(value, knob.least), knob.most) for value in values)
        return [index.with_search({knob.name: value}) for value in within]

    async def _timed(
        self, info: CollectionInfo, indexes: Sequence[IndexParams], queries: QuerySet, truth: ExactNeighbours
    ) -> list[Measurement]:
        return await measure(
            self._searcher,
            [Trial(_settings(index), info.name, index, fields=info.fields) for index in indexes],
            queries,
            truth,
            ks=(self._target.k,),
            rounds=max(1, -(-TIMED_SEARCHES // len(queries))),
            deadline=self._deadline,
            on_progress=lambda share: self._on_progress(f"timing {len(indexes)} settings of {info.name}", share),
        )

    def _point(self, index: IndexParams, measured: Measurement, *, own: bool) -> Point:
        recalls = measured.recalls[self._target.k]
        return Point(
            index=index,
            own=own,
            recall=float(recalls.mean()),
            least_recall=least_mean(recalls),
            p50_ms=measured.latency_ms(50),
            p99_ms=measured.latency_ms(99),
        )


def require_enough(queries: QuerySet) -> None:
    """Raises InvalidInput: too few queries to tell a recall by."""
    if len(queries) < _LEAST_QUERIES:
        raise InvalidInput(
            f"{len(queries)} queries are too few to choose a setting by: {_LEAST_QUERIES} at least, 400 are better.",
            minimum=_LEAST_QUERIES,
        )


_LEAST_QUERIES: Final = 40


def _settings(index: IndexParams) -> str:
    told = ", ".join(f"{name} {value}" for name, value in index.search_settings().items())
    return told or index.index_type
