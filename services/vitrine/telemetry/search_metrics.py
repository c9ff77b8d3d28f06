"""What searches tell Prometheus beyond their duration: whether they found something, how near it is, the time left."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from prometheus_client import CollectorRegistry, Counter

from vitrine.telemetry.histogram import LoopHistogram
from vitrine.telemetry.stages import BUCKETS_S, Hop

# A text and a picture that fit have a cosine of 0.2 to 0.35 in CLIP, two pictures that are alike 0.7 and more.
SCORE_EDGES: Final = (
    *(-0.2, -0.1, 0.0, 0.05, 0.1, 0.15, 0.175, 0.2, 0.225, 0.25, 0.275),
    *(0.3, 0.325, 0.35, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0),
)


class SearchOutcome(StrEnum):
    """What a search that succeeded found; a label's values."""

    HITS = "hits"
    EMPTY = "empty"


class SearchMetrics:
    """Counts searches one by one, those inside a multi_search too.

    Args:
        registry: where the series are.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        searches = Counter(
            "vitrine_searches",
            "Searches that succeeded, by what they found. Further pages of a search are not counted.",
            ("outcome",),
            registry=registry,
        )
        self._outcomes = {outcome: searches.labels(outcome) for outcome in SearchOutcome}
        self._top_score = LoopHistogram(
            "vitrine_search_top_score", "Score of the best hit of a search that has hits.", (), SCORE_EDGES, registry
        ).labels()
        left = LoopHistogram(
            "vitrine_deadline_left_seconds",
            "Time that a request of searches had left at a point of its way.",
            ("hop",),
            BUCKETS_S,
            registry,
        )
        self._left = {hop: left.labels(hop) for hop in Hop}

    def observe_best(self, score: float | None) -> None:
        """Counts one search.

        Args:
            score: cosine similarity of its best hit, within [-1, 1]; None: it has no hit.
        """
        if score is None:
            self._outcomes[SearchOutcome.EMPTY].inc()
        else:
            self._outcomes[SearchOutcome.HITS].inc()
            self._top_score.observe(score)

    def observe_left(self, seconds: Mapping[Hop, float]) -> None:
        """Records what was left of a request's time at each hop that it came to."""
        for hop, left in seconds.items():
            self._left[hop].observe(left)
