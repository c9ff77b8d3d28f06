import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from vitrine.settings import TelemetrySettings
from vitrine.telemetry.stages import Stage, StageClock
from vitrine.telemetry.tracing import Tracing, current_traceparent, open_tracing, trace_id_of, tracing_to

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def tracing(exporter: InMemorySpanExporter) -> Iterator[Tracing]:
    tracing = tracing_to(exporter, 0.0, "vitrine-test", "0")
    yield tracing
    tracing.close()


def test_off_imports_nothing_of_opentelemetry() -> None:
    assert open_tracing(TelemetrySettings(), "vitrine-test", "0") is None
    program = (
        "import sys; from vitrine.settings import TelemetrySettings; from vitrine.telemetry.stages import *;"
        "from vitrine.telemetry.tracing import open_tracing; open_tracing(TelemetrySettings(), 'x', '0');"
        "StageClock().stage(Stage.EMBED).__enter__();"
        "sys.exit(any(name.startswith('opentelemetry') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=60).returncode == 0


def test_stages_are_children_of_the_callers_trace(tracing: Tracing, exporter: InMemorySpanExporter) -> None:
    with tracing.server_span("POST /x", {"traceparent": f"00-{TRACE}-{PARENT}-01"}) as span:
        assert trace_id_of(span) == TRACE
        outer = current_traceparent()
        with StageClock(tracing).stage(Stage.EMBED):
            inner = current_traceparent()
        assert current_traceparent() == outer
    assert current_traceparent() is None
    tracing.close()
    stage, server = exporter.get_finished_spans()
    assert (stage.name, server.name) == ("embed", "POST /x")
    assert server.parent is not None
    assert f"{server.parent.span_id:016x}" == PARENT
    assert stage.parent is not None
    assert stage.parent.span_id == server.context.span_id
    assert inner == f"00-{TRACE}-{stage.context.span_id:016x}-01"


def test_what_the_caller_does_not_sample_is_not_sent_but_has_an_id(
    tracing: Tracing, exporter: InMemorySpanExporter
) -> None:
    with tracing.server_span("GET /x", {}) as span:
        assert len(trace_id_of(span)) == 32
        assert int(str(current_traceparent())[-2:], 16) & 1 == 0  # the sampled flag; the one beside it says "random id"
    tracing.close()
    assert exporter.get_finished_spans() == ()


def test_a_collector_that_is_down_does_not_hold_up_the_exit() -> None:
    tracing = open_tracing(TelemetrySettings(otlp_endpoint="http://127.0.0.1:9/v1/traces", sample_ratio=1), "t", "0")
    assert tracing is not None
    with tracing.server_span("GET /x", {}):
        pass
    began = time.monotonic()
    tracing.close()
    assert time.monotonic() - began < 10
