"""What the recall canary tells Prometheus. Made only where the canary runs: elsewhere there is none of its series."""

from enum import StrEnum

from prometheus_client import CollectorRegistry, Counter, Histogram

from vitrine.telemetry.occasional import OccasionalGauge
from vitrine.telemetry.stages import BUCKETS_S


class CanaryOutcome(StrEnum):
    """What became of a run; a label's values."""

    OK = "ok"
    FAILED = "failed"


class CanaryMetrics:
    """Figures of the last run that succeeded, and counts of all.

    Args:
        registry: where the series are.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._recall = OccasionalGauge(
            "vitrine_canary_recall_ratio", "Share of the true nearest neighbours that searches found.", registry
        )
        self._neighbours = OccasionalGauge(
            "vitrine_canary_sampled_neighbours", "How many true neighbours that share rests on.", registry
        )
        self._succeeded = OccasionalGauge(
            "vitrine_canary_last_success_timestamp_seconds", "When the canary last came to an end.", registry
        )
        runs = Counter("vitrine_canary_runs", "Runs of the canary.", ("outcome",), registry=registry)
        self._runs = {outcome: runs.labels(outcome) for outcome in CanaryOutcome}
        self._duration = Histogram(
            "vitrine_canary_duration_seconds", "Time of a run of the canary.", buckets=BUCKETS_S, registry=registry
        )

    def succeeded(self, found: int, neighbours: int, *, at: float, seconds: float) -> None:
        """Records a run that came to its end.

        Args:
            found: of the neighbours, those that were in the answers.
            neighbours: true neighbours that were looked for; 0: none are known yet, and the share stays absent.
            at: Unix time, seconds.
            seconds: that it took.
        """
        self._recall.set(found / neighbours if neighbours else None)
        self._neighbours.set(neighbours)
        self._succeeded.set(at)
        self._runs[CanaryOutcome.OK].inc()
        self._duration.observe(seconds)

    def failed(self, seconds: float) -> None:
        """Records a run that did not come to its end; the figures stay those of the last that did."""
        self._runs[CanaryOutcome.FAILED].inc()
        self._duration.observe(seconds)
