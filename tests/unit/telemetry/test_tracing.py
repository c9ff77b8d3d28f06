import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from threading import Event
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from vitrine.errors import QueryEmpty
from vitrine.settings import TelemetrySettings
from vitrine.telemetry.spans import (
    add_event,
    annotate,
    current_trace,
    link_to,
    recording,
    resumed,
    share_span,
    span,
    trace_headers,
)
from vitrine.telemetry.stages import Stage, StageClock
from vitrine.telemetry.tracing import Tracing, open_tracing, tracing_to

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
UNSAMPLED = {"traceparent": f"00-{TRACE}-{PARENT}-00"}


class Traced:
    """Tracing into memory."""

    def __init__(self, **settings: Any) -> None:
        self._exporter = InMemorySpanExporter()
        self.tracing: Tracing = tracing_to(self._exporter, TelemetrySettings(**settings), "vitrine-test", "0")

    def spans(self) -> dict[str, ReadableSpan]:
        """What was sent, by name. Ends tracing."""
        self.tracing.close()
        return {span.name: span for span in self._exporter.get_finished_spans()}


@pytest.fixture
def traced() -> Iterator[Traced]:
    """Everything is sampled."""
    traced = Traced(sample_ratio=1.0)
    yield traced
    traced.tracing.close()


def _flags(headers: tuple[tuple[str, str], ...]) -> str:
    return dict(headers)["traceparent"].rpartition("-")[2]


def test_off_imports_nothing_of_opentelemetry() -> None:
    assert open_tracing(TelemetrySettings(), "vitrine-test", "0") is None
    program = (
        "import sys; from vitrine.settings import TelemetrySettings; from vitrine.telemetry.stages import *;"
        "from vitrine.telemetry.tracing import open_tracing; open_tracing(TelemetrySettings(), 'x', '0');"
        "StageClock().stage(Stage.EMBED).__enter__();"
        "sys.exit(any(name.startswith('opentelemetry') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=60).returncode == 0


def test_without_a_trace_spans_are_nothing() -> None:
    with span("x", {"a": 1}), share_span("y"):
        annotate({"b": 2})
        add_event("z")
        assert current_trace() is None
        assert trace_headers() == ()


def test_stages_are_children_of_the_callers_trace(traced: Traced) -> None:
    with traced.tracing.server_span("POST /x", SAMPLED) as trace:
        assert trace.trace_id == TRACE
        outer = trace_headers()
        with StageClock().stage(Stage.EMBED):
            inner = trace_headers()
        assert trace_headers() == outer
    assert current_trace() is None
    spans = traced.spans()
    stage, server = spans["embed"], spans["POST /x"]
    assert server.kind is SpanKind.SERVER
    assert server.parent is not None
    assert f"{server.parent.span_id:016x}" == PARENT
    assert stage.parent is not None
    assert stage.parent.span_id == server.context.span_id
    assert inner == (("traceparent", f"00-{TRACE}-{stage.context.span_id:016x}-01"),)


def test_an_untrusted_caller_names_the_trace_and_does_not_decide_whether_it_is_sampled() -> None:
    none = Traced(sample_ratio=0.0)
    with none.tracing.server_span("GET /x", SAMPLED) as trace:
        assert trace.trace_id == TRACE
        assert recording() is None
        assert _flags(trace_headers()) == "00"
        assert trace_headers(sampled_only=True) == ()
        with span("inside"):
            assert recording() is None
    assert none.spans() == {}
    every = Traced(sample_ratio=1.0)
    with every.tracing.server_span("GET /x", UNSAMPLED):
        assert _flags(trace_headers()) == "01"
    assert set(every.spans()) == {"GET /x"}


def test_no_trace_id_is_sampled_more_often_than_others() -> None:
    least = "00000000000000000000000000000001"
    traced = Traced(sample_ratio=0.5)
    sampled = 0
    for _ in range(200):
        with traced.tracing.server_span("GET /x", {"traceparent": f"00-{least}-{PARENT}-01"}):
            sampled += recording() is not None
    traced.spans()
    assert 40 < sampled < 160  # by its id it would be all 200


@pytest.mark.parametrize(("headers", "sent"), [(SAMPLED, True), (UNSAMPLED, False)])
@pytest.mark.parametrize("ratio", [0.0, 1.0])
def test_a_trusted_caller_decides(headers: dict[str, str], ratio: float, *, sent: bool) -> None:
    traced = Traced(sample_ratio=ratio, trust_caller_sampling=True)
    with traced.tracing.server_span("GET /x", headers):
        pass
    assert bool(traced.spans()) == sent


@pytest.mark.parametrize(
    "traceparent",
    ["", "nonsense", f"00-{'0' * 32}-{PARENT}-01", f"ff-{TRACE}-{PARENT}-01", f"00-{TRACE}-{PARENT}-01" + "x" * 9000],
)
def test_a_malformed_context_begins_a_new_trace(traceparent: str, traced: Traced) -> None:
    with traced.tracing.server_span("GET /x", {"traceparent": traceparent, "tracestate": "a=1"}) as trace:
        assert trace.trace_id not in {TRACE, "0" * 32}
        assert len(trace.trace_id) == 32
        assert [name for name, _ in trace_headers()] == ["traceparent"]


def test_the_callers_state_goes_on_unless_it_is_too_long(traced: Traced) -> None:
    with traced.tracing.server_span("GET /x", {**SAMPLED, "tracestate": "a=1,b=2"}), span("inside"):
        assert dict(trace_headers())["tracestate"] == "a=1,b=2"
    long = ",".join(f"k{n}={'v' * 40}" for n in range(20))
    with traced.tracing.server_span("GET /x", {**SAMPLED, "tracestate": long}):
        assert "tracestate" not in dict(trace_headers())


def test_an_error_leaves_its_type_and_none_of_its_words(traced: Traced) -> None:
    with pytest.raises(QueryEmpty), traced.tracing.server_span("GET /x", {}), span("tokenize"):
        raise QueryEmpty("secret words")
    with pytest.raises(ZeroDivisionError), traced.tracing.server_span("GET /y", {}), span("embed"):
        raise ZeroDivisionError("secret words")
    spans = traced.spans()
    for name, code in (("tokenize", "query_empty"), ("embed", "ZeroDivisionError")):
        failed = spans[name]
        assert failed.status.status_code is StatusCode.ERROR
        assert failed.attributes is not None
        assert failed.attributes["error.type"] == code
        assert "secret" not in failed.to_json()


def test_work_resumed_elsewhere_belongs_to_its_own_trace_and_links_lead_to_the_other(traced: Traced) -> None:
    with traced.tracing.server_span("GET /first", {}):
        first = current_trace()
    with traced.tracing.server_span("GET /second", {}):
        with resumed(first), span("joined"):
            joined = current_trace()
        with span("embed"):
            link_to(joined)
    spans = traced.spans()
    assert first is not None
    assert f"{spans['joined'].context.trace_id:032x}" == first.trace_id
    assert spans["embed"].links[0].context.span_id == spans["joined"].context.span_id


def test_what_outlives_its_span_says_nothing_more(traced: Traced, caplog: pytest.LogCaptureFixture) -> None:
    with traced.tracing.server_span("GET /x", {}):
        trace = current_trace()
    with resumed(trace):
        annotate({"late": True})
        add_event("late")
        link_to(trace)
    assert caplog.records == []
    assert "late" not in traced.spans()["GET /x"].to_json()


def test_runs_are_always_recorded_with_the_first_of_their_steps_and_others_by_the_ratio() -> None:
    traced = Traced(sample_ratio=0.0)
    with traced.tracing.run_span("index", {"vitrine.alias": "products"}):
        with span("flush"), share_span("embed batch"), span("first call"):
            pass
        with share_span("embed batch"), span("call"):
            assert recording() is None
            assert _flags(trace_headers()) == "00"
            assert trace_headers(sampled_only=True) == ()
        assert _flags(trace_headers()) == "01"
    assert set(traced.spans()) == {"index", "flush", "embed batch", "first call"}


def test_the_steps_of_one_run_that_are_recorded_are_bounded(traced: Traced) -> None:
    with traced.tracing.run_span("index"):
        recorded = 0
        for _ in range(1_100):
            with share_span("embed batch"):
                recorded += recording() is not None
    assert recorded == 1_000


def test_a_collector_that_is_down_does_not_hold_up_the_exit_and_what_is_lost_is_counted() -> None:
    lost: list[tuple[str, int]] = []
    settings = TelemetrySettings(otlp_endpoint="http://127.0.0.1:9/v1/traces", sample_ratio=1)
    tracing = open_tracing(settings, "t", "0", lambda reason, spans: lost.append((reason, spans)))
    assert tracing is not None
    with tracing.server_span("GET /x", {}):
        pass
    began = time.monotonic()
    tracing.close()
    assert time.monotonic() - began < 10
    while not lost and time.monotonic() - began < 20:
        time.sleep(0.05)
    assert lost == [("export_failed", 1)]


def test_a_queue_that_is_full_gives_spans_up_and_says_how_many() -> None:
    lost: list[tuple[str, int]] = []
    holding = _Holding()
    tracing = tracing_to(holding, TelemetrySettings(sample_ratio=1), "t", "0", lambda *one: lost.append(one))
    for _ in range(2_048 + 512 + 1_000):
        with tracing.server_span("GET /x", {}):
            pass
    # One batch has left the queue for the exporter, or none yet.
    assert 1_000 <= len(lost) <= 1_512
    assert set(lost) == {("queue_full", 1)}
    holding.release.set()
    tracing.close()
    assert holding.exported + len(lost) == 2_048 + 512 + 1_000


class _Holding(InMemorySpanExporter):
    """An exporter that waits."""

    def __init__(self) -> None:
        super().__init__()
        self.release = Event()
        self.exported = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        assert self.release.wait(30)
        self.exported += len(spans)
        return super().export(spans)
