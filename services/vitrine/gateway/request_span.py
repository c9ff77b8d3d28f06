"""The span of one request: begun at the edge, named when its route is known."""

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Final

from starlette.types import Scope

from vitrine.errors import VitrineError
from vitrine.gateway.context import RequestContext
from vitrine.telemetry.metrics import METHODS
from vitrine.telemetry.spans import TraceContext
from vitrine.telemetry.tracing import Tracing

_W3C: Final = frozenset({b"traceparent", b"tracestate"})


@contextmanager
def request_span(tracing: Tracing, scope: Scope, context: RequestContext) -> Iterator[None]:
    """One server span around a request, in the caller's trace when it sent one."""
    headers = {name.decode("ascii"): value.decode("latin-1") for name, value in scope["headers"] if name in _W3C}
    with tracing.server_span(scope["method"], headers) as trace:
        context.trace_id = trace.trace_id
        context.trace_sampled = trace.span is not None
        yield


def describe_request(trace: TraceContext, method: str, route: str, status: int, failure: VitrineError | None) -> None:
    """What is known at the end, by OpenTelemetry's names.

    Args:
        trace: of the request, recorded.
        method: as sent.
        route: the path's template. The path itself has names and ids that callers chose.
        status: as answered.
        failure: the error that was answered, if any.
    """
    if trace.span is None:
        return
    # By OpenTelemetry's rules, for methods that are nobody's but the caller's.
    known = method in METHODS
    trace.span.update_name(f"{method if known else 'HTTP'} {route}")
    trace.span.set_attributes(
        {
            "http.request.method": method if known else "_OTHER",
            "http.route": route,
            "http.response.status_code": status,
        }
    )
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        trace.tracing.mark_failed(trace.span, str(status) if failure is None else failure.code)
    elif failure is not None:
        # A refusal is an error of the caller's, and no failure of this span.
        trace.span.set_attribute("error.type", failure.code)
