"""Which traces are recorded. Imports OpenTelemetry, so it is imported only when tracing is on."""

import random
from collections.abc import Sequence

from opentelemetry.context import Context
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import Link, SpanKind, TraceState, get_current_span
from opentelemetry.util.types import Attributes


class EdgeSampler(Sampler):
    """Requests by a share, runs always, and whatever is inside either as it was decided for the whole.

    Chance decides, not the trace's id: a caller chooses that, and could choose one that is always sampled.

    Args:
        ratio: share of requests, 0 to 1.
        trust_callers: a caller that sends a W3C context has decided; `ratio` is for those that send none.
    """

    def __init__(self, ratio: float, *, trust_callers: bool) -> None:
        self._ratio = ratio
        self._trust_callers = trust_callers

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """The SDK's question about each new span."""
        parent = get_current_span(parent_context).get_span_context()
        state = parent.trace_state if parent.is_valid else trace_state
        if parent.is_valid and (self._trust_callers or not parent.is_remote):
            chosen = parent.trace_flags.sampled
        else:
            chosen = kind is not SpanKind.SERVER or random.random() < self._ratio
        if not chosen:
            return SamplingResult(Decision.DROP, trace_state=state)
        return SamplingResult(Decision.RECORD_AND_SAMPLE, attributes, state)

    def get_description(self) -> str:
        """For the SDK's own logs."""
        return f"EdgeSampler({self._ratio}, trust_callers={self._trust_callers})"
