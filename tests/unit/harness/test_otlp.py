"""The receiver of traces reads one span alike in each of the protocol's forms."""

import gzip
import http.client
import json
from collections.abc import Iterator

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub

from tests.harness.otlp import OtlpReceiver, ReceivedSpan

TRACE, SPAN, PARENT, OTHER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", "00f067aa0ba902b7", "a1" * 8
DOCUMENT = {
    "resourceSpans": [
        {
            "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]},
            "scopeSpans": [
                {
                    "scope": {"name": "server"},
                    "spans": [
                        {
                            "traceId": TRACE,
                            "spanId": SPAN,
                            "parentSpanId": PARENT,
                            "name": "search",
                            "kind": 3,
                            "startTimeUnixNano": "1000",
                            "endTimeUnixNano": "3000",
                            "attributes": [{"key": "hits", "value": {"intValue": "20"}}],
                            "events": [{"name": "retry", "attributes": []}],
                            "links": [{"traceId": TRACE, "spanId": OTHER}],
                            "status": {"code": 2},
                        }
                    ],
                }
            ],
        }
    ]
}
EXPECTED = ReceivedSpan(
    "shop",
    "server",
    "search",
    TRACE,
    SPAN,
    PARENT,
    "client",
    1000,
    3000,
    "error",
    "",
    {"hits": 20},
    (("retry", {}),),
    ((TRACE, OTHER),),
)


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    with OtlpReceiver() as receiver:
        yield receiver


def _message() -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    resource.resource.attributes.add(key="service.name").value.string_value = "shop"
    scope = resource.scope_spans.add()
    scope.scope.name = "server"
    span = scope.spans.add(
        trace_id=bytes.fromhex(TRACE),
        span_id=bytes.fromhex(SPAN),
        parent_span_id=bytes.fromhex(PARENT),
        name="search",
        kind=3,
        start_time_unix_nano=1000,
        end_time_unix_nano=3000,
    )
    span.attributes.add(key="hits").value.int_value = 20
    span.events.add(name="retry")
    span.links.add(trace_id=bytes.fromhex(TRACE), span_id=bytes.fromhex(OTHER))
    span.status.code = 2
    return request


def _post(receiver: OtlpReceiver, body: bytes, path: str = "/v1/traces", **headers: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", receiver.http_port, timeout=30)
    try:
        connection.request("POST", path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        return connection.getresponse().status
    finally:
        connection.close()


def test_protobuf_over_http_as_it_is_and_compressed(receiver: OtlpReceiver) -> None:
    body = _message().SerializeToString()
    assert _post(receiver, body, content_type="application/x-protobuf") == 200
    packed = gzip.compress(body)
    assert _post(receiver, packed, content_type="application/x-protobuf", content_encoding="gzip") == 200
    assert receiver.spans(TRACE) == [EXPECTED] * 2


def test_json_over_http(receiver: OtlpReceiver) -> None:
    assert _post(receiver, json.dumps(DOCUMENT).encode(), content_type="application/json") == 200
    assert receiver.spans() == [EXPECTED]


def test_grpc(receiver: OtlpReceiver) -> None:
    with grpc.insecure_channel(receiver.grpc_endpoint) as channel:
        TraceServiceStub(channel).Export(_message(), timeout=30)  # type: ignore[no-untyped-call]
    assert receiver.spans() == [EXPECTED]
    assert receiver.spans("0" * 32) == []


def test_another_path_is_told_so(receiver: OtlpReceiver) -> None:
    assert _post(receiver, b"", "/v1/logs", content_type="application/x-protobuf") == 404


def test_what_does_not_come_is_an_error_that_names_what_came(receiver: OtlpReceiver) -> None:
    _post(receiver, _message().SerializeToString(), content_type="application/x-protobuf")
    with pytest.raises(AssertionError, match="shop:search"):
        receiver.wait(lambda spans: len(spans) > 1, within_s=0.2)
