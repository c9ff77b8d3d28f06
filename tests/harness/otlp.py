"""A real receiver of traces: OTLP over HTTP and over gRPC, on loopback. It keeps what it gets.

Run as a program it prints its two ports, then every span as a line of JSON until it is ended.
"""

import argparse
import base64
import gzip
import json
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Condition, Thread
from types import TracebackType
from typing import Any, Final, Self

import grpc
from google.protobuf.json_format import Parse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)

_LOOPBACK: Final = "127.0.0.1"
_TRACES_PATH: Final = "/v1/traces"
_IDS: Final = frozenset({"traceId", "spanId", "parentSpanId"})
KINDS: Final = ("unspecified", "internal", "server", "client", "producer", "consumer")
STATUSES: Final = ("unset", "ok", "error")


@dataclass(frozen=True, slots=True)
class ReceivedSpan:
    """One span as it came over the wire. Ids are hexadecimal; `parent_id` is empty for a root; times are unix ns."""

    service: str
    scope: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    kind: str
    start_ns: int
    end_ns: int
    status: str = "unset"
    message: str = ""
    attributes: dict[str, Any] = field(default_factory=dict)
    events: tuple[tuple[str, dict[str, Any]], ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    """(trace id, span id) of each."""


class OtlpReceiver:
    """Serves both protocols while it is entered.

    Args:
        on_span: called for each span, from a thread of the receiver.
        http_port: 0: any free one.
        grpc_port: 0: any free one.
    """

    def __init__(
        self, on_span: Callable[[ReceivedSpan], None] | None = None, *, http_port: int = 0, grpc_port: int = 0
    ) -> None:
        self._on_span = on_span
        self._spans: list[ReceivedSpan] = []
        self._arrived = Condition()
        self._http = ThreadingHTTPServer((_LOOPBACK, http_port), _http_handler(self._take))
        self._http.daemon_threads = True
        self._thread = Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._grpc = grpc.server(ThreadPoolExecutor(2), options=(("grpc.so_reuseport", 0),))
        add_TraceServiceServicer_to_server(_Servicer(self._take), self._grpc)  # type: ignore[no-untyped-call]
        self.http_port = self._http.server_port
        self.grpc_port = self._grpc.add_insecure_port(f"{_LOOPBACK}:{grpc_port}")

    @property
    def http_endpoint(self) -> str:
        """For exporters that speak HTTP, as a whole URL."""
        return f"http://{_LOOPBACK}:{self.http_port}{_TRACES_PATH}"

    @property
    def grpc_endpoint(self) -> str:
        """For exporters that speak gRPC: host and port."""
        return f"{_LOOPBACK}:{self.grpc_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        self._grpc.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join(timeout=10)
        self._grpc.stop(grace=0.2).wait(timeout=10)

    def spans(self, trace_id: str | None = None) -> list[ReceivedSpan]:
        """What has come so far, of one trace or of all, in the order of their beginnings."""
        with self._arrived:
            chosen = [span for span in self._spans if trace_id in {None, span.trace_id}]
        return sorted(chosen, key=lambda span: (span.start_ns, -span.end_ns))

    def wait(
        self, complete: Callable[[list[ReceivedSpan]], bool], trace_id: str | None = None, within_s: float = 60.0
    ) -> list[ReceivedSpan]:
        """The spans as soon as `complete` says so of them; exporters send theirs every few seconds.

        Raises:
            AssertionError: not in time; names those that came.
        """
        until = time.monotonic() + within_s
        while True:
            spans = self.spans(trace_id)
            if complete(spans):
                return spans
            if time.monotonic() > until:
                raise AssertionError(f"not within {within_s} s: " + ", ".join(f"{s.service}:{s.name}" for s in spans))
            with self._arrived:
                self._arrived.wait(0.1)

    def _take(self, request: ExportTraceServiceRequest) -> None:
        spans = list(spans_of(request))
        with self._arrived:
            self._spans.extend(spans)
            self._arrived.notify_all()
        if self._on_span is not None:
            for span in spans:
                self._on_span(span)


def spans_of(request: ExportTraceServiceRequest) -> Iterable[ReceivedSpan]:
    """The spans of one message of the protocol."""
    for resource in request.resource_spans:
        service = str(_attributes(resource.resource.attributes).get("service.name", ""))
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield ReceivedSpan(
                    service,
                    scope.scope.name,
                    span.name,
                    span.trace_id.hex(),
                    span.span_id.hex(),
                    span.parent_span_id.hex(),
                    KINDS[span.kind],
                    span.start_time_unix_nano,
                    span.end_time_unix_nano,
                    STATUSES[span.status.code],
                    span.status.message,
                    _attributes(span.attributes),
                    tuple((event.name, _attributes(event.attributes)) for event in span.events),
                    tuple((link.trace_id.hex(), link.span_id.hex()) for link in span.links),
                )


class _Servicer(TraceServiceServicer):
    """OTLP over gRPC."""

    def __init__(self, take: Callable[[ExportTraceServiceRequest], None]) -> None:
        self._take = take

    def Export(  # noqa: N802 - the protocol's own name
        self, request: ExportTraceServiceRequest, context: grpc.ServicerContext
    ) -> ExportTraceServiceResponse:
        self._take(request)
        return ExportTraceServiceResponse()


def _http_handler(take: Callable[[ExportTraceServiceRequest], None]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """OTLP over HTTP, in protobuf or JSON, as it comes or compressed."""

        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            known = self.path == _TRACES_PATH
            if known:
                take(_message(body, str(self.headers.get("content-type"))))
            self.send_response(200 if known else 404)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's own name
            """Keeps the output of tests clean."""

    return Handler


def _message(body: bytes, content_type: str) -> ExportTraceServiceRequest:
    """Triton's exporter writes JSON, in which ids are hexadecimal where protobuf's own JSON has base64."""
    if not content_type.startswith("application/json"):
        return ExportTraceServiceRequest.FromString(body)
    document = json.loads(body)
    for resource in document["resourceSpans"]:
        for scope in resource["scopeSpans"]:
            for one in (part for span in scope["spans"] for part in (span, *span.get("links", ()))):
                for name in _IDS & one.keys():
                    one[name] = base64.b64encode(bytes.fromhex(one[name])).decode()
    return Parse(json.dumps(document), ExportTraceServiceRequest(), ignore_unknown_fields=True)


def _attributes(pairs: Iterable[Any]) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(one) for one in value.array_value.values]
    return None if kind is None else getattr(value, kind)


def main() -> None:
    """Prints what arrives."""
    parser = argparse.ArgumentParser(description="Receives traces over OTLP and prints each span as a line of JSON.")
    parser.add_argument("--http-port", type=int, default=4318)
    parser.add_argument("--grpc-port", type=int, default=4317)
    arguments = parser.parse_args()

    def show(span: ReceivedSpan) -> None:
        sys.stdout.write(json.dumps(asdict(span), default=str) + "\n")
        sys.stdout.flush()

    with OtlpReceiver(show, http_port=arguments.http_port, grpc_port=arguments.grpc_port) as receiver:
        sys.stderr.write(f"OTLP: {receiver.http_endpoint} (HTTP), {receiver.grpc_endpoint} (gRPC)\n")
        try:
            receiver._thread.join()
        except KeyboardInterrupt:
            return


if __name__ == "__main__":
    main()
