"""The shortest way to a search and the documented one: who takes which, and that nobody can tell them apart."""

from typing import Any

import httpx
import pytest

from tests.unit.gateway.conftest import Api
from vitrine.gateway.direct import DirectSearch
from vitrine.gateway.routes import search

VARYING = {"x-request-id", "server-timing", "date", "content-length"}


@pytest.fixture
def direct(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of collections that were searched in the direct way."""
    taken: list[str] = []
    handle = DirectSearch.handle

    async def noting(self: DirectSearch, scope: Any, receive: Any, send: Any) -> None:
        taken.append(scope["path_params"]["alias"])
        await handle(self, scope, receive, send)

    monkeypatch.setattr(DirectSearch, "handle", noting)
    return taken


def told(response: httpx.Response) -> tuple[int, dict[str, str], dict[str, Any]]:
    """All of an answer but what differs from one to the next."""
    headers = {name: value for name, value in response.headers.items() if name not in VARYING}
    body = {name: value for name, value in response.json().items() if name not in ("took_ms", "request_id", "instance")}
    return response.status_code, headers, body


async def test_a_plain_search_takes_the_direct_way(api: Api, direct: list[str]) -> None:
    assert (await api.search({"query": "dress"}, "summer_2026")).status_code == 200
    assert direct == ["summer_2026"]
    assert api.searcher.asked[-1].collection == "summer_2026"


@pytest.mark.parametrize(
    "body", [{"query": "dress"}, {"query": ""}, {"query": "dress", "limt": 3}, {"query": "dress", "limit": 10_000}]
)
async def test_answers_and_refusals_are_the_same_in_both_ways(
    api: Api, direct: list[str], body: dict[str, Any]
) -> None:
    short = await api.search(body)
    assert direct == ["products"]
    documented = await api.search(body, **{"x-timeout-ms": "5000"})
    assert direct == ["products"]
    assert told(short) == told(documented)


async def test_both_ways_are_counted_as_one_route(api: Api, direct: list[str]) -> None:
    await api.search({"query": "dress"})
    await api.search({"query": "dress"}, **{"x-timeout-ms": "5000"})
    assert len(direct) == 1
    labels = {"route": search.PATH, "method": "POST", "status": "2xx"}
    assert api.metrics.registry.get_sample_value("vitrine_http_requests_total", labels) == 2


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/v1/collections/1st/search", 422),
        ("POST", "/v1/collections/a%2Fb/search", 404),
        ("POST", "/v1/collections/products/search/", 404),
        ("PUT", "/v1/collections/products/search", 405),
        ("GET", "/v1/collections/products/search?q=dress", 200),
    ],
)
async def test_whatever_is_no_plain_search_is_left_to_the_router(
    api: Api, direct: list[str], method: str, path: str, status: int
) -> None:
    response = await api.client.request(method, path, json=None if method == "GET" else {"query": "dress"})
    assert response.status_code == status
    assert direct == []
