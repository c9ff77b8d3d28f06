"""Spans of requests at the edge, around applications that answer as a test says."""

from collections.abc import Awaitable, Callable

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from starlette.types import Message, Receive, Scope, Send

from vitrine.errors import InvalidInput, Overloaded, VitrineError
from vitrine.gateway.middleware import Observe
from vitrine.settings import TelemetrySettings
from vitrine.telemetry.metrics import GatewayMetrics
from vitrine.telemetry.tracing import tracing_to

TRACE, PARENT = b"0af7651916cd43dd8448eb211c80319c", b"b7ad6b7169203331"
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


async def _ok(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def _raising(error: VitrineError) -> Application:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        raise error

    return application


async def _ask(
    application: Application, method: str = "GET", path: str = "/v1/x", headers: tuple[tuple[bytes, bytes], ...] = ()
) -> tuple[list[ReadableSpan], dict[bytes, bytes]]:
    """The spans of one request, and the headers of its answer."""
    exporter = InMemorySpanExporter()
    tracing = tracing_to(exporter, TelemetrySettings(sample_ratio=1), "vitrine-test", "0")
    edge = Observe(application, GatewayMetrics("0", [], ["overloaded", "invalid_input"], []), tracing)
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    await edge({"type": "http", "method": method, "path": path, "headers": list(headers)}, receive, send)
    tracing.close()
    return list(exporter.get_finished_spans()), dict(sent[0]["headers"])


async def test_a_request_is_a_span_in_the_callers_trace_and_is_answered_with_its_id() -> None:
    (span,), headers = await _ask(_ok, headers=((b"traceparent", b"00-" + TRACE + b"-" + PARENT + b"-01"),))
    assert headers[b"x-trace-id"] == TRACE
    assert span.parent is not None
    assert f"{span.parent.span_id:016x}".encode() == PARENT
    assert span.name == "GET unmatched"
    assert span.attributes is not None
    assert span.attributes["http.response.status_code"] == 200
    assert span.status.status_code is StatusCode.UNSET


async def test_a_method_that_nobody_knows_is_no_name_of_a_span() -> None:
    (span,), _ = await _ask(_ok, method="KANARIENVOGEL")
    assert "KANARIENVOGEL" not in span.to_json()
    assert span.name == "HTTP unmatched"


async def test_an_overload_is_a_failed_span_with_the_moment_of_the_refusal() -> None:
    (span,), headers = await _ask(_raising(Overloaded("All 2 permits are in use.")))
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description is None
    assert span.attributes is not None
    assert span.attributes["error.type"] == "overloaded"
    assert [(event.name, dict(event.attributes or {})) for event in span.events] == [
        ("refused", {"code": "overloaded"})
    ]
    assert headers[b"x-trace-id"] == f"{span.context.trace_id:032x}".encode()


async def test_a_callers_own_mistake_is_no_failed_span() -> None:
    (span,), _ = await _ask(_raising(InvalidInput("kanarienvogel is no filter.")))
    assert span.status.status_code is StatusCode.UNSET
    assert span.attributes is not None
    assert span.attributes["error.type"] == "invalid_input"
    assert "kanarienvogel" not in span.to_json()


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics"])
async def test_what_machines_ask_every_few_seconds_is_not_traced(path: str) -> None:
    spans, headers = await _ask(_ok, path=path)
    assert spans == []
    assert b"x-trace-id" not in headers
