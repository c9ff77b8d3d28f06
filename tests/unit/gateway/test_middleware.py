import asyncio
import io

import pytest
from starlette.types import Message, Receive, Scope, Send

from tests.fixtures.logs import lines_of
from tests.unit.gateway.conftest import Api, OpenApi
from vitrine.errors import DeadlineExceeded, EncoderUnavailable, ItemNotFound, QueryEmpty
from vitrine.gateway.middleware import Observe
from vitrine.search.request import Check
from vitrine.settings import Settings, TelemetrySettings
from vitrine.telemetry.metrics import GatewayMetrics


async def test_a_sane_request_id_is_kept_and_told_everywhere(api: Api) -> None:
    response = await api.client.get("/v1/nothing", headers={"x-request-id": "shop-42.a:b"})
    assert response.headers["x-request-id"] == "shop-42.a:b"
    assert response.json()["request_id"] == "shop-42.a:b"


@pytest.mark.parametrize("bad", ["", "a b", "x" * 129, "<script>", "a\tb", "ü".encode().decode("latin-1")])
async def test_any_other_request_id_is_replaced(api: Api, bad: str) -> None:
    response = await api.client.get("/livez", headers={"x-request-id": bad.encode("latin-1")})
    assert response.headers["x-request-id"] != bad
    assert len(response.headers["x-request-id"]) == 32


async def test_two_requests_have_two_ids(api: Api) -> None:
    first, second = await api.client.get("/livez"), await api.client.get("/livez")
    assert first.headers["x-request-id"] != second.headers["x-request-id"]


@pytest.mark.parametrize("path", ["/livez", "/", "/v1/collections", "/nothing", "/openapi.json"])
async def test_every_answer_carries_the_security_headers(api: Api, path: str) -> None:
    headers = (await api.client.get(path)).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers.get_list("content-security-policy", split_commas=False).__len__() == 1


async def test_an_unforeseen_failure_is_answered_500_and_leaks_nothing(api: Api, log: io.StringIO) -> None:
    api.searcher.failure = RuntimeError("secret of the house")
    response = await api.search({"query": "dress"})
    assert response.status_code == 500
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["code"] == "internal"
    assert "secret" not in response.text
    failure, request = lines_of(log)
    assert "secret of the house" in str(failure["exception"])
    assert failure["request_id"] == request["request_id"] == response.json()["request_id"]


async def test_a_request_is_one_line_with_its_stages(api: Api, log: io.StringIO) -> None:
    response = await api.search({"query": "a very private wish"})
    (line,) = lines_of(log)
    assert line["message"] == "request"
    assert line["route"] == "/v1/collections/{alias}/search"
    assert (line["method"], line["status"], line["hits"]) == ("POST", 200, 2)
    assert line["collection"] == "products_v1"
    assert set(line["stages_ms"]) == {"embed"}  # type: ignore[call-overload]
    assert line["request_id"] == response.headers["x-request-id"]
    assert "private" not in log.getvalue()


async def test_a_get_logs_no_query_text_either(api: Api, log: io.StringIO) -> None:
    await api.client.get("/v1/collections/products/search", params={"q": "private wish"})
    assert "private" not in log.getvalue()


async def test_query_texts_are_logged_when_switched_on(open_api: OpenApi, log: io.StringIO) -> None:
    api = await open_api(Settings(telemetry=TelemetrySettings(log_queries=True)))
    await api.search({"query": "red dress"})
    assert lines_of(log)[-1]["query"] == ["red dress"]


async def test_an_error_line_names_its_code(api: Api, log: io.StringIO) -> None:
    api.searcher.failure = QueryEmpty("The query is empty.")
    await api.search({"query": " "})
    assert (lines_of(log)[-1]["status"], lines_of(log)[-1]["code"]) == (422, "query_empty")


async def test_what_a_dependency_said_goes_to_the_log_and_not_to_the_caller(api: Api, log: io.StringIO) -> None:
    api.searcher.failure = EncoderUnavailable("Triton at 10.0.0.7:8001 refuses.", model="clip_text")
    response = await api.search({"query": "dress"})
    assert "10.0.0.7" not in response.text
    assert "details" not in response.json()
    line = lines_of(log)[-1]
    assert (line["error"], line["details"]) == ("Triton at 10.0.0.7:8001 refuses.", {"model": "clip_text"})


async def test_what_a_caller_sent_wrong_is_not_logged(api: Api, log: io.StringIO) -> None:
    api.searcher.failure = ItemNotFound("There is no item 'private wish'.")
    assert (await api.search({"query": "x"})).json()["detail"] == "There is no item 'private wish'."
    assert "private" not in log.getvalue()


async def test_a_name_in_the_path_is_not_logged_when_nobody_knows_it(api: Api, log: io.StringIO) -> None:
    api.searcher.failure = DeadlineExceeded(
        "Milvus did not say in time what 'private_wish' is.", collection="private_wish", reason="no answer"
    )
    assert (await api.search({"query": "x"}, "private_wish")).status_code == 504
    line = lines_of(log)[-1]
    assert line["error"] == "Milvus did not say in time what {alias} is."
    assert line["details"] == {"reason": "no answer"}
    assert "private" not in log.getvalue()


async def test_a_readiness_check_is_logged_when_it_changes_and_not_in_between(
    open_api: OpenApi, log: io.StringIO
) -> None:
    api = await open_api(readiness_cache_s=0)
    down = (Check("triton", EncoderUnavailable("Triton is gone.")), Check("collection", None))
    well = (Check("triton", None), Check("collection", None))
    for checks in (well, well, down, down, down, well, well):
        api.searcher.checks = checks
        await api.client.get("/livez")
        await api.services.readiness.checks()
    fails, passes = lines_of(log)
    assert (fails["level"], fails["code"], fails["error"]) == ("warning", "encoder_unavailable", "Triton is gone.")
    assert passes["message"] == "Readiness check triton passes again."


async def test_probes_that_are_well_write_no_line(api: Api, log: io.StringIO) -> None:
    for path in ("/livez", "/readyz", "/metrics"):
        await api.client.get(path)
    assert log.getvalue() == ""


async def test_metrics_count_by_route_template_and_nothing_else(api: Api) -> None:
    await api.search({"query": "dress"})
    await api.search({"query": "dress"}, alias="products_v1")
    await api.search({"query": ""}, alias="9")
    await api.client.get("/v1/collections/products/items/x/y/z")
    for invented in ("/a", "/b", "/.env", "/v1/collections/products/nothing/of/it"):
        await api.client.get(invented)
    value = api.metrics.registry.get_sample_value
    search = "/v1/collections/{alias}/search"
    assert value("vitrine_http_requests_total", {"route": search, "method": "POST", "status": "2xx"}) == 2
    assert value("vitrine_http_requests_total", {"route": search, "method": "POST", "status": "4xx"}) == 1
    assert value("vitrine_http_requests_total", {"route": "unmatched", "method": "GET", "status": "4xx"}) == 4
    assert value("vitrine_http_errors_total", {"code": "route_not_found"}) == 4
    assert value("vitrine_http_errors_total", {"code": "item_not_found"}) == 1
    assert (
        value("vitrine_http_request_duration_seconds_count", {"route": search, "method": "POST", "status": "2xx"}) == 2
    )
    assert value("vitrine_stage_duration_seconds_count", {"stage": "embed"}) == 2


async def test_invented_methods_share_one_label(api: Api) -> None:
    for method in ("BREW", "PROPFIND", "XYZZY"):
        assert (await api.client.request(method, "/livez")).status_code == 405
    labels = {
        sample.labels["method"]
        for metric in api.metrics.registry.collect()
        for sample in metric.samples
        if "method" in sample.labels and sample.value
    }
    assert labels == {"OTHER"}


async def test_a_wrong_method_names_the_right_ones(api: Api) -> None:
    response = await api.client.delete("/v1/collections")
    assert (response.status_code, response.json()["code"]) == (405, "method_not_allowed")
    assert response.headers["allow"] == "GET"


async def test_a_failure_after_the_answer_began_is_not_answered_twice() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        raise AssertionError

    metrics = GatewayMetrics("0", (), {"internal"}, ())
    await Observe(app, metrics, None)({"type": "http", "method": "GET", "path": "/", "headers": []}, receive, send)
    assert [message["type"] for message in sent] == ["http.response.start"]
    assert metrics.registry.get_sample_value("vitrine_http_errors_total", {"code": "internal"}) == 1


async def test_a_request_cut_off_by_a_shutdown_is_counted() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.Event().wait()

    async def nothing(*_: object) -> Message:
        raise AssertionError

    metrics = GatewayMetrics("0", (), (), ())
    observe = Observe(app, metrics, None)
    task = asyncio.create_task(observe({"type": "http", "method": "GET", "path": "/", "headers": []}, nothing, nothing))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    labels = {"route": "unmatched", "method": "GET", "status": "5xx"}
    assert metrics.registry.get_sample_value("vitrine_http_requests_total", labels) == 1
