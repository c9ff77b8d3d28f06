"""OpenTelemetry: set up only when an endpoint is configured; otherwise nothing of it is imported."""

import random
import socket
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from threading import Thread
from typing import TYPE_CHECKING, Final

from vitrine.settings import TelemetrySettings
from vitrine.telemetry.spans import Attributes, Kind, TraceContext, end, resumed

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span, TraceState

    from vitrine.telemetry.exporting import OnDropped

# Longest one export may take; and longest a process waits at its end for the last one, whatever the collector does.
_EXPORT_TIMEOUT_S: Final = 5.0
_CLOSE_TIMEOUT_S: Final = 3.0
# Steps of one name. A trace of a run over millions of products must stay one that can be looked at, also when all of it
# is sampled.
_MOST_CHOSEN: Final = 1_000
# What W3C lets a sender of `tracestate` rely on; longer ones may be cut by anybody.
_TRACESTATE_CHARACTERS: Final = 512
_SAMPLED: Final = 1


DROPS: Final = ("queue_full", "export_failed")
"""Why spans are given up."""


class Tracing:
    """Begins traces. An owner that has no `Tracing` skips tracing altogether.

    Requests are recorded by chance, and not by their trace's id: a caller chooses that, and could choose one that is
    always recorded. What is not recorded never comes as far as OpenTelemetry, where it would cost several times as
    much.

    Args:
        provider: where finished spans go; samples all that it gets.
        ratio: share of requests, and of equal steps of a run, that are recorded.
        trust_callers: a caller that sends a W3C context has decided; `ratio` is for those that send none.
    """

    def __init__(self, provider: "TracerProvider", ratio: float, *, trust_callers: bool = False) -> None:
        from opentelemetry.trace import Link, SpanKind, Status, StatusCode, get_current_span, set_span_in_context
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._provider = provider
        self._ratio = ratio
        self._trust_callers = trust_callers
        self._chosen: Counter[str] = Counter()
        self._tracer = provider.get_tracer("vitrine")
        self._extract = TraceContextTextMapPropagator().extract
        self._inside = set_span_in_context
        self._span_of = get_current_span
        self._link = Link
        self._kinds = {"internal": SpanKind.INTERNAL, "server": SpanKind.SERVER, "client": SpanKind.CLIENT}
        self._failed = Status(StatusCode.ERROR)

    @contextmanager
    def server_span(self, name: str, headers: Mapping[str, str]) -> Iterator[TraceContext]:
        """A span of one incoming request, child of the caller's when `headers` carry a W3C context."""
        context = self._begin_request(name, headers)
        with resumed(context):
            try:
                yield context
            finally:
                end(context)

    @contextmanager
    def run_span(self, name: str, attributes: Attributes | None = None) -> Iterator[TraceContext]:
        """The span of a run of a batch process, in a trace of its own. Always recorded: runs are few."""
        from opentelemetry.context import Context

        self._chosen.clear()
        context = self._begin(name, "internal", Context(), attributes, ())
        with resumed(context):
            try:
                yield context
            except BaseException as error:
                end(context, error)
                raise
            end(context)

    def begin(
        self, name: str, kind: Kind, parent: "Span", attributes: Attributes | None, links: Sequence[TraceContext]
    ) -> TraceContext:
        """A new span inside `parent`; whoever begins it ends it."""
        return self._begin(name, kind, self._inside(parent), attributes, links)

    def chooses(self, name: str) -> bool:
        """Whether the next of many equal steps shall be recorded: the first of its name, and a share of the others."""
        chosen = self._chosen[name]
        if chosen and (chosen >= _MOST_CHOSEN or random.random() >= self._ratio):
            return False
        self._chosen[name] += 1
        return True

    def unsampled(self, context: TraceContext) -> TraceContext:
        """The same place in a trace, for work of which nothing is recorded."""
        if context.span is None:
            return context
        here = context.span.get_span_context()
        return replace(context, headers=_headers(here.trace_id, here.span_id, 0, here.trace_state), span=None)

    def mark_failed(self, span: "Span", error_type: str) -> None:
        """Gives a span the state of an error, and its type by OpenTelemetry's name for that."""
        span.set_attribute("error.type", error_type)
        span.set_status(self._failed)

    def close(self) -> None:
        """Sends what is left, for at most a few seconds."""
        # The SDK would wait half a minute for a collector that does not answer. Its thread does not hold up the exit.
        closing = Thread(target=self._provider.shutdown, name="last-spans", daemon=True)
        closing.start()
        closing.join(_CLOSE_TIMEOUT_S)

    def _begin_request(self, name: str, headers: Mapping[str, str]) -> TraceContext:
        parent = self._extract(headers) if headers else None
        caller = None if parent is None else self._span_of(parent).get_span_context()
        if caller is not None and not caller.is_valid:
            caller = None
        if caller is not None and self._trust_callers:
            chosen = caller.trace_flags.sampled
        else:
            chosen = random.random() < self._ratio
        if chosen:
            return self._begin(name, "server", parent, None, ())
        trace_id, state = (_new_id(128), None) if caller is None else (caller.trace_id, caller.trace_state)
        return TraceContext(f"{trace_id:032x}", _headers(trace_id, _new_id(64), 0, state), self, None)

    def _begin(
        self,
        name: str,
        kind: Kind,
        parent: "Context | None",
        attributes: Attributes | None,
        links: Sequence[TraceContext],
    ) -> TraceContext:
        span = self._tracer.start_span(
            name,
            parent,
            self._kinds[kind],
            attributes,
            [self._link(other.span.get_span_context()) for other in links if other.span is not None],
        )
        here = span.get_span_context()
        headers = _headers(here.trace_id, here.span_id, _SAMPLED, here.trace_state)
        return TraceContext(f"{here.trace_id:032x}", headers, self, span)


def open_tracing(
    settings: TelemetrySettings, service: str, version: str, on_dropped: "OnDropped | None" = None
) -> Tracing | None:
    """Tracing to the configured OTLP/HTTP endpoint, or None when there is no endpoint.

    Args:
        service: name of this process in traces.
        version: of the product.
        on_dropped: told of spans that never reach the collector.
    """
    if not settings.otlp_endpoint:
        return None
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    exporter = OTLPSpanExporter(endpoint=settings.otlp_endpoint, timeout=_EXPORT_TIMEOUT_S)
    return tracing_to(exporter, settings, service, version, on_dropped)


def tracing_to(
    exporter: "SpanExporter",
    settings: TelemetrySettings,
    service: str,
    version: str,
    on_dropped: "OnDropped | None" = None,
) -> Tracing:
    """Tracing to any exporter."""
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.sampling import ALWAYS_ON

    from vitrine.telemetry.exporting import BoundedExport

    provider = TracerProvider(
        sampler=ALWAYS_ON,
        resource=Resource.create(
            {"service.name": service, "service.version": version, "host.name": socket.gethostname()}
        ),
        shutdown_on_exit=False,
    )
    provider.add_span_processor(BoundedExport(exporter, on_dropped or _ignored))
    return Tracing(provider, settings.sample_ratio, trust_callers=settings.trust_caller_sampling)


def _ignored(reason: str, spans: int) -> None:
    """Nobody counts."""


def _new_id(bits: int) -> int:
    """Any but 0, which W3C forbids."""
    return random.getrandbits(bits) or 1


def _headers(trace_id: int, span_id: int, flags: int, state: "TraceState | None") -> tuple[tuple[str, str], ...]:
    """W3C's headers of a span.

    Of the flags only `sampled` is passed on: Milvus 2.3 takes a context with the newer flag "random" for malformed, and
    does not join the trace.
    """
    parent = ("traceparent", f"00-{trace_id:032x}-{span_id:016x}-{flags:02x}")
    passed = state.to_header() if state else ""
    return (parent,) if not passed or len(passed) > _TRACESTATE_CHARACTERS else (parent, ("tracestate", passed))
