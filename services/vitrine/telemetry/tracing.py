"""OpenTelemetry spans: set up only when an endpoint is configured; otherwise nothing of OpenTelemetry is imported."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from vitrine.settings import TelemetrySettings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span

# Spans that wait for a slow collector are dropped above this many, so that tracing never grows the process.
_QUEUE_SPANS = 2048
# Longest one export may take, the last one at exit included.
_EXPORT_TIMEOUT_S = 5.0

_traceparent: ContextVar[str | None] = ContextVar("vitrine_traceparent", default=None)


def current_traceparent() -> str | None:
    """The W3C `traceparent` of the span this code runs in, to be sent along with a call; None when tracing is off."""
    return _traceparent.get()


class Tracing:
    """Opens spans. An owner that has no `Tracing` skips tracing altogether.

    Args:
        provider: where finished spans go.
    """

    def __init__(self, provider: "TracerProvider") -> None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._provider = provider
        self._tracer = provider.get_tracer("vitrine")
        self._propagator = TraceContextTextMapPropagator()

    @contextmanager
    def server_span(self, name: str, headers: Mapping[str, str]) -> Iterator["Span"]:
        """A span of one incoming request, child of the caller's when `headers` carry a W3C context."""
        from opentelemetry.trace import SpanKind

        parent = self._propagator.extract(headers)
        with self._tracer.start_as_current_span(name, context=parent, kind=SpanKind.SERVER) as span, _published(span):
            yield span

    @contextmanager
    def stage_span(self, name: str) -> Iterator[None]:
        """A span of one stage inside the current one."""
        with self._tracer.start_as_current_span(name) as span, _published(span):
            yield

    def close(self) -> None:
        """Sends what is left, for at most a few seconds."""
        self._provider.shutdown()


def open_tracing(settings: TelemetrySettings, service: str, version: str) -> Tracing | None:
    """Tracing to the configured OTLP/HTTP endpoint, or None when there is no endpoint."""
    if not settings.otlp_endpoint:
        return None
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    exporter = OTLPSpanExporter(endpoint=settings.otlp_endpoint, timeout=_EXPORT_TIMEOUT_S)
    return tracing_to(exporter, settings.sample_ratio, service, version)


def tracing_to(exporter: "SpanExporter", sample_ratio: float, service: str, version: str) -> Tracing:
    """Tracing to any exporter. A caller's sampling decision wins; `sample_ratio` is for requests that carry none."""
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

    provider = TracerProvider(
        sampler=ParentBased(TraceIdRatioBased(sample_ratio)),
        resource=Resource.create({"service.name": service, "service.version": version}),
        shutdown_on_exit=False,
    )
    provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=_QUEUE_SPANS))
    return Tracing(provider)


def trace_id_of(span: "Span") -> str:
    """The trace's id as the 32 hexadecimal digits of the W3C header."""
    return f"{span.get_span_context().trace_id:032x}"


@contextmanager
def _published(span: "Span") -> Iterator[None]:
    context = span.get_span_context()
    token = _traceparent.set(f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}")
    try:
        yield
    finally:
        _traceparent.reset(token)
