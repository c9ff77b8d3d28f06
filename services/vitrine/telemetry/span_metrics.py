"""What becomes of spans, as a metric."""

from prometheus_client import CollectorRegistry, Counter

from vitrine.telemetry.tracing import DROPS


class SpanMetrics:
    """Counts spans that nobody will see.

    Args:
        registry: where the series are.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        dropped = Counter(
            "vitrine_trace_spans_dropped",
            "Spans that never reached the collector: it was too slow for them, or did not take them.",
            ("reason",),
            registry=registry,
        )
        self._dropped = {reason: dropped.labels(reason) for reason in DROPS}

    def count_dropped(self, reason: str, spans: int) -> None:
        """Counts spans given up; `reason` is one of `DROPS`. From any thread."""
        self._dropped[reason].inc(spans)
