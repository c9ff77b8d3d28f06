"""What a full gateway answers before it has looked at who asks."""

import asyncio
import io

import httpx
import pytest

from tests.fixtures.logs import lines_of
from tests.unit.gateway.conftest import OpenApi
from vitrine.gateway.admission import Admission, Permits
from vitrine.gateway.middleware import Observe
from vitrine.gateway.shedding import TOLD_EVERY_S, Refusals, Shedding
from vitrine.telemetry.metrics import GatewayMetrics

REFUSED = "Requests were refused, as all permits were in use."


async def _refusal_by(way: type[Shedding] | type[Admission], sent: dict[str, str]) -> httpx.Response:
    """One without any permit, by either of the two who can refuse it."""
    metrics = GatewayMetrics("0", (), ("overloaded",), ())
    permits = Permits(0, metrics)

    async def never(*_: object) -> None:
        raise AssertionError("it was let in")

    app = (
        Shedding(never, Refusals(permits, metrics))
        if way is Shedding
        else Observe(Admission(never, permits), metrics, None)
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        return await client.post("/v1/collections/products/search", json={}, headers=sent)


@pytest.mark.parametrize("sent", ["shop-1", "x" * 128, "a:the-request-id:b"])
async def test_a_refusal_is_the_one_that_everybody_else_would_have_written(sent: str) -> None:
    early, late = [await _refusal_by(way, {"x-request-id": sent}) for way in (Shedding, Admission)]
    assert early.status_code == late.status_code == 503
    assert early.json() == late.json()
    assert early.json()["request_id"] == early.headers["x-request-id"] == sent
    assert sorted(early.headers.raw) == sorted(late.headers.raw)


async def test_without_an_id_each_has_a_new_one() -> None:
    ids = {(await _refusal_by(Shedding, {})).json()["request_id"] for _ in range(2)}
    assert len(ids) == 2
    assert {len(one) for one in ids} == {32}


async def test_each_is_counted_and_none_of_them_is_a_search(open_api: OpenApi) -> None:
    api = await open_api(max_in_flight=1)
    async with api.searching():
        refused = [await api.search({"query": "dress"}) for _ in range(3)]
        assert (await api.client.get("/livez")).status_code == 200
    assert {answer.status_code for answer in refused} == {503}
    value = api.metrics.registry.get_sample_value
    assert value("vitrine_http_shed_total", {"reason": "in_flight"}) == 3
    assert value("vitrine_http_errors_total", {"code": "overloaded"}) == 3
    labels = {"route": "unmatched", "method": "POST", "status": "5xx"}
    assert value("vitrine_http_requests_total", labels) == 3
    assert value("vitrine_http_request_duration_seconds_count", labels) == 3
    assert len(api.searcher.asked) == 1


async def test_the_first_is_told_at_once_and_further_ones_together(open_api: OpenApi, log: io.StringIO) -> None:
    api = await open_api(max_in_flight=1)

    def told() -> list[int]:
        return [line["refused"] for line in lines_of(log) if line["message"] == REFUSED]

    async with api.searching():
        await api.search({"query": "dress"})
        assert told() == [1]
        for _ in range(5):
            await api.search({"query": "dress"})
        assert told() == [1]
        await asyncio.sleep(TOLD_EVERY_S + 0.2)
        assert told() == [1, 5]
        # There is nothing to tell in a third line.
        await asyncio.sleep(TOLD_EVERY_S + 0.2)
        assert told() == [1, 5]
        await api.search({"query": "dress"})
        assert told() == [1, 5, 1]
    line = next(line for line in lines_of(log) if line["message"] == REFUSED)
    assert (line["level"], line["code"], line["permits"]) == ("warning", "overloaded", 1)


async def test_a_large_body_that_is_refused_is_not_read(open_api: OpenApi) -> None:
    api = await open_api(max_in_flight=1)
    async with api.searching():
        refused = await api.search({"query": "x" * 100_000})
    assert refused.status_code == 503
    assert refused.headers["connection"] == "close"
