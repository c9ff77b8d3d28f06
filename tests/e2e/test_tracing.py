"""Traces on the real stack: one search from the edge into Triton and Milvus, at a real OTLP receiver."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.indexing import Indexing
from tests.fixtures.serving import RunningGateway, eventually
from tests.fixtures.shop import Shop
from tests.fixtures.stack import RunningStack, settings_on_free_ports
from tests.harness.otlp import OtlpReceiver, ReceivedSpan

SEARCH = "POST /v1/collections/{alias}/search"
MOST_TRACES = 60
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture(scope="module")
def receiver() -> Iterator[OtlpReceiver]:
    with OtlpReceiver() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def traced_stack(
    receiver: OtlpReceiver, tmp_path_factory: pytest.TempPathFactory, model_repository: Path
) -> Iterator[RunningStack]:
    """Engines of its own: those of the session send no spans."""
    state = tmp_path_factory.mktemp("traced")
    settings = settings_on_free_ports(state, model_repository)
    local = settings.local.model_copy(update={"milvus_otlp_endpoint": receiver.grpc_endpoint})
    telemetry = settings.telemetry.model_copy(update={"otlp_endpoint": receiver.http_endpoint})
    stack = RunningStack(settings.model_copy(update={"local": local, "telemetry": telemetry}), state)
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()


@pytest.fixture(scope="module")
def traced_shop(
    traced_stack: RunningStack, receiver: OtlpReceiver, tmp_path_factory: pytest.TempPathFactory
) -> list[ReceivedSpan]:
    """A small collection behind `products`, and the spans of the run that filled it."""
    shop = Shop(tmp_path_factory.mktemp("traced_shop"))
    for n in range(40):
        shop.add(f"{108775000 + n:010d}")
    stack = traced_stack.settings
    settings = stack.model_copy(
        update={
            "telemetry": stack.telemetry.model_copy(update={"sample_ratio": 1.0}),
            # Twenty calls: of some Triton exports nothing, and of one of them is enough.
            "indexer": stack.indexer.model_copy(update={"batch_size": 2}),
        }
    )
    Indexing(settings, tmp_path_factory.mktemp("traced_indexing")).index(shop.write(), "products")
    spans = receiver.wait(lambda spans: any(span.name == "index" for span in spans))
    trace = next(span.trace_id for span in spans if span.name == "index")
    late = {"index", "InferRequest", "milvus.proto.milvus.MilvusService/Upsert"}
    return receiver.wait(lambda spans: late <= {span.name for span in spans}, trace)


def _open(stack: RunningStack, log: Path, ratio: float, **telemetry: Any) -> RunningGateway:
    changed = stack.settings.telemetry.model_copy(update={"sample_ratio": ratio, **telemetry})
    gateway = RunningGateway(stack.settings.model_copy(update={"telemetry": changed}), log)
    gateway.wait_alive()
    return gateway


@pytest.fixture(scope="module")
def sampling_gateway(
    traced_stack: RunningStack, traced_shop: object, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningGateway]:
    """Every request is sampled."""
    gateway = _open(traced_stack, tmp_path_factory.mktemp("sampling") / "log", 1.0)
    yield gateway
    gateway.stop()


def _services(spans: list[ReceivedSpan]) -> set[str]:
    return {span.service for span in spans}


def _whole(
    spans: list[ReceivedSpan], services: AbstractSet[str] = frozenset({"vitrine-gateway", "standalone"})
) -> bool:
    """Each process has sent its part, and every parent that should be here is.

    Triton is asked for where it matters: of some requests its exporter loses all spans.
    """
    ids = {span.span_id for span in spans}
    return _services(spans) >= services and all(
        span.parent_id in ids for span in spans if span.parent_id not in {"", PARENT}
    )


def _only(spans: list[ReceivedSpan], pattern: str) -> ReceivedSpan:
    (found,) = [span for span in spans if re.fullmatch(pattern, span.name)]
    return found


def test_one_search_is_one_trace_through_all_processes(
    sampling_gateway: RunningGateway, receiver: OtlpReceiver
) -> None:
    traces: list[str] = []

    def ask() -> None:
        traces.append(f"{TRACE[:-3]}{len(traces):03x}")
        response = sampling_gateway.http.post(
            "/v1/collections/products/search",
            json={"query": f"one trace please {traces[-1]}", "limit": 7, "timeout_ms": 10_000},
            headers={"traceparent": f"00-{traces[-1]}-{PARENT}-01", "tracestate": "shop=1"},
        )
        assert response.status_code == 200
        assert response.headers["x-trace-id"] == traces[-1]

    def whole() -> list[list[ReceivedSpan]]:
        every = frozenset({"vitrine-gateway", "vitrine-triton", "standalone"})
        return [spans for spans in map(receiver.spans, traces) if _whole(spans, every)]

    # Of some requests Triton exports nothing, so there is another one each second until one is whole.
    while len(traces) < MOST_TRACES and not whole():
        ask()
        with suppress(AssertionError):
            receiver.wait(lambda _: bool(whole()), within_s=1.0)
    receiver.wait(lambda _: bool(whole()), within_s=10.0)
    spans = whole()[0]

    server = _only(spans, re.escape(SEARCH))
    assert (server.parent_id, server.kind, server.status) == (PARENT, "server", "unset")
    assert server.attributes["http.response.status_code"] == 200
    embed = _only(spans, "embed")
    assert {span.parent_id for span in spans if span.name in {"tokenize", "embed", "search"}} == {server.span_id}

    infer = _only(spans, "POST /v2/models/{model}/infer")
    assert (infer.parent_id, infer.kind) == (embed.span_id, "client")
    assert infer.attributes["vitrine.model"] == "clip_text"
    triton = _only(spans, "InferRequest")
    assert (triton.service, triton.parent_id) == ("vitrine-triton", infer.span_id)
    assert _only(spans, "compute").parent_id == _only(spans, "clip_text").span_id

    search = _only(spans, "Search products_v.*")
    assert search.kind == "client"
    assert search.attributes["db.system.name"] == "milvus"
    assert search.attributes["vitrine.k"] >= 7
    assert search.attributes["db.response.returned_rows"] >= 7
    milvus = _only(spans, "milvus.proto.milvus.MilvusService/Search")
    assert (milvus.service, milvus.parent_id) == ("standalone", search.span_id)
    assert any(span.parent_id == milvus.span_id for span in spans), "Milvus's own stages are inside"


def test_the_trace_id_is_in_the_answer_the_problem_and_every_log_line(sampling_gateway: RunningGateway) -> None:
    refused = sampling_gateway.search("   ")
    trace = refused.json()["trace_id"]
    assert refused.headers["x-trace-id"] == trace
    request_id = refused.json()["request_id"]

    def lines() -> list[str]:
        return [line for line in sampling_gateway.log.read_text().splitlines() if request_id in line]

    eventually("the request's own line is written, which is after its answer", lambda: bool(lines()))
    assert all(f'"trace_id":"{trace}"' in line for line in lines())


def test_no_span_has_a_word_of_the_caller(sampling_gateway: RunningGateway, receiver: OtlpReceiver) -> None:
    canary = "kanarienvogel"
    sampling_gateway.search(f"{canary} text", filter={"all": [{"field": "title", "op": "eq", "value": canary}]})
    sampling_gateway.search([{"id": canary}])
    sampling_gateway.search(
        f"{canary}\ud800".encode("utf-8", "surrogatepass").decode("utf-8", "replace"), cursor=canary
    )
    headers = {"user-agent": canary}
    last = sampling_gateway.http.get("/v1/collections/products/search", params={"q": canary}, headers=headers)
    receiver.wait(_whole, last.headers["x-trace-id"])
    ours = [span for span in receiver.spans() if span.service.startswith("vitrine-gateway")]
    assert ours
    assert canary not in repr(ours)


def test_texts_that_share_a_call_lead_to_each_other(sampling_gateway: RunningGateway, receiver: OtlpReceiver) -> None:
    def joined() -> list[ReceivedSpan]:
        return [span for span in receiver.spans() if span.name == "joined texts"]

    for attempt in range(5):
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(sampling_gateway.search, (f"text {attempt} {n}" for n in range(64))))
        if joined():
            break
    batch = receiver.wait(lambda spans: any(span.name == "joined texts" for span in spans)) and joined()[0]
    assert batch.attributes["vitrine.joined"] == len(batch.links) + 1
    trace, _ = batch.links[0]

    def leads_back(spans: list[ReceivedSpan]) -> bool:
        return any((batch.trace_id, batch.span_id) in span.links for span in spans)

    receiver.wait(leads_back, trace)
    calls = [span for span in receiver.spans(batch.trace_id) if span.parent_id == batch.span_id]
    assert [call.name for call in calls] == ["POST /v2/models/{model}/infer"]


def test_requests_that_are_not_sampled_are_traced_by_no_process(
    traced_stack: RunningStack, sampling_gateway: RunningGateway, receiver: OtlpReceiver, tmp_path: Path
) -> None:
    gateway = _open(traced_stack, tmp_path / "log", 0.0)
    asked = {gateway.search(f"not sampled {n}").headers["x-trace-id"] for n in range(10)}
    claims = {"traceparent": f"00-{'c' * 32}-{PARENT}-01"}
    forced = gateway.http.get("/v1/collections/products/search", params={"q": "forced"}, headers=claims)
    assert forced.headers["x-trace-id"] == "c" * 32
    gateway.stop()  # sends what is left
    # What the engines had to say of these they send before what comes later.
    receiver.wait(_whole, sampling_gateway.search("sampled").headers["x-trace-id"])
    assert not ({span.trace_id for span in receiver.spans()} & (asked | {"c" * 32}))


def test_a_run_of_the_indexer_is_one_trace_with_its_batches(traced_shop: list[ReceivedSpan]) -> None:
    run_span = _only(traced_shop, "index")
    assert (run_span.service, run_span.parent_id, run_span.status) == ("vitrine-indexer", "", "unset")
    names = {span.name for span in traced_shop}
    assert {
        "read rows",
        "decode picture",
        "embed batch",
        "write batch",
        "InferRequest",
        "milvus.proto.milvus.MilvusService/Upsert",
    } <= names
    pipeline = _only(traced_shop, "pipeline")
    assert pipeline.parent_id == run_span.span_id
    assert {span.parent_id for span in traced_shop if span.name.endswith(" batch")} == {pipeline.span_id}
    assert run_span.attributes["vitrine.written"] == 40


def test_a_collector_that_hangs_costs_spans_and_no_search(
    traced_stack: RunningStack, traced_shop: object, tmp_path: Path
) -> None:
    collector = _Collector(tmp_path)
    gateway = _open(traced_stack, tmp_path / "log", 1.0, otlp_endpoint=collector.endpoint)
    try:
        collector.pause()
        search = partial(gateway.search, timeout_ms=10_000)  # a busy machine is no fault of the collector's
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(search, (f"lost {n}" for n in range(500))))
        assert {answer.status_code for answer in answers} == {200}
        eventually("dropped spans are counted", lambda: _dropped(gateway) > 0, 30)
        began = time.monotonic()
        gateway.terminate()
        assert gateway.wait_ended() == 0
        assert time.monotonic() - began < 20  # its own limit is 3 s; a collector waited for would make it 30
    finally:
        gateway.stop()
        collector.kill()


class _Collector:
    """The receiver as a process, for faults."""

    def __init__(self, folder: Path) -> None:
        log = folder / "collector.log"
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.harness.otlp", "--http-port", "0", "--grpc-port", "0"],
                stdout=subprocess.DEVNULL,
                stderr=output,
                cwd=Path(__file__).parents[2],
            )
        eventually("the receiver listens", lambda: "OTLP:" in log.read_text())
        found = re.search(r"http://\S+", log.read_text())
        assert found is not None
        self.endpoint = found[0]

    def pause(self) -> None:
        os.kill(self._process.pid, signal.SIGSTOP)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


def _dropped(gateway: RunningGateway) -> float:
    text = gateway.http.get("/metrics").text
    return sum(
        float(line.split()[-1]) for line in text.splitlines() if line.startswith("vitrine_trace_spans_dropped_total{")
    )


_GATEWAY = "from vitrine.gateway.app import create_app; from vitrine.settings import Settings; create_app(Settings())"


@pytest.mark.parametrize(
    ("process", "absent"),
    [
        # FastAPI brings the interface of OpenTelemetry, which does nothing by itself.
        (_GATEWAY, ("opentelemetry.sdk", "opentelemetry.exporter", "opentelemetry.proto")),
        ("import vitrine.indexer.job", ("opentelemetry",)),
    ],
    ids=["gateway", "indexer"],
)
def test_without_an_endpoint_nothing_that_traces_is_loaded(process: str, absent: tuple[str, ...]) -> None:
    program = f"import sys; {process}; print([name for name in sys.modules if name.startswith({absent!r})])"
    found = subprocess.run([sys.executable, "-c", program], check=True, timeout=60, capture_output=True, text=True)
    assert found.stdout.strip() == "[]"
