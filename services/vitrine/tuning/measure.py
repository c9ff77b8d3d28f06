"""Recall and latency of several ways to search, measured side by side.

*Recall@k* is the share of a query's k exact nearest neighbours among the first k hits (see `ExactNeighbours.recall`),
averaged over queries. *Latency* is what one caller waits for one search with nothing else under way: from the call
until the answer is decoded, with title, picture and group of each hit. Its percentiles are the least sample that as
many searches do not exceed (nearest rank), so that p99 of few searches is their worst, never something between.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from vitrine.domain import Deadline, FieldSpec
from vitrine.errors import InvalidInput
from vitrine.tuning.queries import QuerySet
from vitrine.tuning.truth import ExactNeighbours
from vitrine.vectorstore.index_params import IndexParams
from vitrine.vectorstore.searcher import VectorSearcher

WARM_UP = 20
"""Searches of each way that are not counted: the first ones read pages that later ones find in memory."""

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Trial:
    """One way to search one collection.

    Args:
        label: what people call it; different from others measured beside it.
        collection: its own name.
        index: of that collection; its search-time settings are the defaults of the searches.
        params: settings of these searches, such as {"ef": 128}.
        fields: declared fields to return with each hit, as the gateway does.
    """

    label: str
    collection: str
    index: IndexParams
    params: Mapping[str, int] = field(default_factory=dict)
    fields: tuple[FieldSpec, ...] = ()


@dataclass(frozen=True, slots=True)
class Measurement:
    """What was measured of one trial with one set of queries.

    Args:
        trial: see `Trial`.
        recalls: by k, recall@k of each query, in their order.
        latencies_ms: of every counted search of the least k; as many for each query as there were rounds.
    """

    trial: Trial
    recalls: Mapping[int, Numbers]
    latencies_ms: Numbers

    def recall(self, k: int) -> float:
        """Mean recall@k."""
        return float(self.recalls[k].mean())

    def latency_ms(self, percentile: float) -> float:
        """The least latency that `percentile` percent of the searches do not exceed."""
        return percentile_of(self.latencies_ms, percentile)


def percentile_of(samples: Numbers, percentile: float) -> float:
    """The nearest-rank percentile.

    Raises:
        InvalidInput: no samples, or no percentage above 0 and up to 100.
    """
    if not samples.size or not 0 < percentile <= 100:
        raise InvalidInput(f"There is no {percentile:g}th percentile of {samples.size} samples.")
    return float(np.sort(samples)[math.ceil(percentile / 100 * samples.size) - 1])


async def measure(
    searcher: VectorSearcher,
    trials: Sequence[Trial],
    queries: QuerySet,
    truth: ExactNeighbours,
    *,
    ks: Sequence[int] = (10, 100),
    rounds: int = 1,
    warm_up: int = WARM_UP,
    deadline: Deadline,
    on_progress: Callable[[float], None] | None = None,
) -> list[Measurement]:
    """Searches with every query in every way, one search at a time.

    The ways take turns at each query, and another one begins each time, so that whatever disturbs the machine hits all
    alike. Searches of the least k are timed; deeper recall comes from searches of their own, as a deeper search makes
    an index look further (HNSW's `ef` is raised to the limit). A query that is a product of the collection asks
    for one hit more and passes over itself.

    Args:
        searcher: of the Milvus that has the collections.
        trials: at least one.
        queries: at least one.
        truth: of these queries, as deep as the greatest k.
        ks: depths at which recall is told.
        rounds: how often each query is timed.
        warm_up: searches of each way before the first that counts.
        deadline: for all of it.
        on_progress: told the share done.

    Returns:
        For each trial, in their order.

    Raises:
        InvalidInput, LimitExceeded: settings that an index does not take, or a truth that is not of these queries.
        CollectionNotFound, CollectionNotReady, VectorStoreUnavailable, DeadlineExceeded: see `VectorSearcher`.
    """
    if len(truth) != len(queries) or not len(queries):
        raise InvalidInput(f"{len(truth)} exact answers do not belong to {len(queries)} queries.")
    ordered = sorted(set(ks))
    runs = [_Run(searcher, trial, queries, ordered[0], deadline) for trial in trials]
    for number in range(warm_up):
        for run in runs:
            await run.search(number % len(queries), ordered[0])
    steps = [(ordered[0], True)] * rounds + ([(ordered[-1], False)] if len(ordered) > 1 else [])
    for done, (row, (limit, timed)) in enumerate((row, step) for row in range(len(queries)) for step in steps):
        for turn in range(len(runs)):
            run = runs[(done + turn) % len(runs)]
            began = time.perf_counter()
            found = await run.search(row, limit)
            spent = time.perf_counter() - began
            if timed:
                run.latencies_ms.append(1_000 * spent)
            for k in ordered[:1] if timed else ordered[1:]:
                run.recalls[k, row] = truth.recall(row, found, k)
        if on_progress is not None:
            on_progress((done + 1) / (len(queries) * len(steps)))
    return [run.measurement(ordered) for run in runs]


class _Run:
    """One trial under way."""

    def __init__(
        self, searcher: VectorSearcher, trial: Trial, queries: QuerySet, least: int, deadline: Deadline
    ) -> None:
        self.trial = trial
        self.latencies_ms: list[float] = []
        self.recalls: dict[tuple[int, int], float] = {}
        self._searcher = searcher
        self._queries = queries
        self._least = least
        self._deadline = deadline

    async def search(self, row: int, limit: int) -> list[str]:
        """Ids found, best first, without the query's own."""
        own, trial = self._queries.own_ids[row], self.trial
        (found,) = await self._searcher.neighbours(
            trial.collection,
            self._queries.vectors[row : row + 1],
            limit=limit + (1 if own else 0),
            wanted=self._least,  # deeper searches raise what is too small for them, as the gateway's own do
            index=trial.index,
            fields=trial.fields,
            params=trial.params,
            deadline=self._deadline,
        )
        return [item_id for item_id in found.ids if item_id != own][:limit]

    def measurement(self, ks: Sequence[int]) -> Measurement:
        recalls = {k: np.array([self.recalls[k, row] for row in range(len(self._queries))]) for k in ks}
        return Measurement(self.trial, recalls, np.array(self.latencies_ms))
