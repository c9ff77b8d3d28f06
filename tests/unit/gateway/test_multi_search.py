import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.unit.gateway.auth.conftest import Keys
from tests.unit.gateway.conftest import Api, OpenApi
from vitrine.domain import Deadline
from vitrine.errors import EncoderUnavailable, LimitExceeded
from vitrine.gateway.auth.keys import KeyRate
from vitrine.gateway.auth.principal import Scope
from vitrine.gateway.pictures import Pictures
from vitrine.gateway.schemas.multi_search import MultiSearchAnswer, SearchDone
from vitrine.gateway.schemas.search import SearchAnswer
from vitrine.search.request import ItemPart, SearchRequest, TextPart
from vitrine.settings import AuthSettings, Settings
from vitrine.vectorstore.filter_tree import Bare, Eq

PATH = "/v1/multi_search"
GOOD = {"collection": "products", "query": "dress"}


async def send(api: Api, *searches: Any, **more: Any) -> httpx.Response:
    return await api.client.post(PATH, json={"searches": list(searches), **more})


async def test_each_search_is_answered_in_its_place(api: Api) -> None:
    response = await send(
        api,
        {"collection": "products", "query": "dress", "limit": 3, "facets": ["colour"], "group_by": "group"},
        {"collection": "products_v1", "query": [{"id": "1", "weight": -1}, {"text": "red"}], "filter": "colour:red"},
    )
    assert response.status_code == 200
    answer = MultiSearchAnswer.model_validate_json(response.content, strict=True)
    assert [result.status for result in answer.results] == [200, 200]
    assert answer.request_id == response.headers["x-request-id"]
    assert response.json()["results"][0].keys() == SearchDone.model_fields.keys()
    assert response.json()["results"][0].keys() - {"status"} == SearchAnswer.model_fields.keys() - {
        "took_ms",
        "request_id",
    }
    took = response.json()["took_ms"]
    assert response.headers["server-timing"] == f"total;dur={took['total']}, embed;dur={took['embed']}"
    asked: dict[str, Any] = {"paged": True, "audience": "anybody"}
    assert api.searcher.asked == [
        SearchRequest("products", (TextPart("dress"),), 3, facets=("colour",), group_by="group", **asked),
        SearchRequest(
            "products_v1", (ItemPart("1", -1), TextPart("red")), 20, filter=Eq("colour", Bare("red")), **asked
        ),
    ]


@pytest.mark.parametrize(
    ("search", "status", "code"),
    [
        ({"collection": "shoes", "query": "x"}, 404, "collection_not_found"),
        ({"query": "x"}, 422, "invalid_input"),
        ({"collection": "a b", "query": "x"}, 422, "invalid_input"),
        ({"collection": "products"}, 422, "invalid_input"),
        ({"collection": "products", "query": []}, 422, "invalid_input"),
        ({"collection": "products", "query": "x", "limit": "ten"}, 422, "invalid_input"),
        ({"collection": "products", "query": "x", "limit": 251}, 422, "limit_exceeded"),
        ({"collection": "products", "query": "x", "timeout_ms": 5}, 422, "invalid_input"),
        ({"collection": "products", "query": "x", "filter": "colour"}, 422, "filter_invalid"),
        (
            {"collection": "products", "query": [{"image": "data:text/html;base64,AA=="}]},
            415,
            "image_format_unsupported",
        ),
        ({"collection": "products", "query": [{"image": "http://127.0.0.1/"}]}, 422, "image_url_refused"),
        ({}, 422, "invalid_input"),
        ({"": None}, 422, "invalid_input"),
    ],
)
async def test_one_that_fails_fails_alone(api: Api, search: Any, status: int, code: str) -> None:
    response = await send(api, GOOD, search, GOOD)
    assert response.status_code == 200, response.text
    before, problem, after = response.json()["results"]
    assert (before["status"], after["status"]) == (200, 200)
    assert (problem["status"], problem["code"]) == (status, code)
    assert problem["request_id"] == response.headers["x-request-id"]
    MultiSearchAnswer.model_validate_json(response.content, strict=True)
    assert len(api.searcher.asked) == 2


async def test_the_limits_of_a_member_are_told_in_its_place_too(api: Api) -> None:
    (problem,) = (await send(api, GOOD | {"limit": 0})).json()["results"]
    assert (problem["details"]["minimum"], problem["details"]["maximum"]) == (1, 250)


async def test_a_dependency_that_is_down_is_told_by_search(api: Api) -> None:
    api.searcher.failure = EncoderUnavailable("Triton at 10.0.0.7 is down.")
    response = await send(api, GOOD)
    (problem,) = response.json()["results"]
    assert (problem["status"], problem["code"]) == (503, "encoder_unavailable")
    assert "10.0.0.7" not in response.text


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"{", 400, "json_malformed"),
        (b'{"searches":NaN}', 422, "invalid_input"),
        (b'{"searches":[' + b"[" * 300 + b"]" * 300 + b"]}", 400, "json_malformed"),
        (b"[]", 422, "invalid_input"),
        (b"{}", 422, "invalid_input"),
        (b'{"searches":[]}', 422, "invalid_input"),
        (b'{"searches":{}}', 422, "invalid_input"),
        (b'{"searches":[{"collection":"products","query":"x"},5]}', 422, "invalid_input"),
        (b'{"searches":["dress"]}', 422, "invalid_input"),
        (b'{"searches":[null]}', 422, "invalid_input"),
        (b'{"searches":[{}],"x":1}', 422, "invalid_input"),
        (b'{"searches":[{}],"timeout_ms":0}', 422, "invalid_input"),
        (b'{"searches":[{}],"timeout_ms":10001}', 422, "limit_exceeded"),
        (b'{"searches":[' + b",".join([b"{}"] * 33) + b"]}", 422, "limit_exceeded"),
        (rb'{"searches":[{"collection":"products","query":"\ud800"}]}', 422, "text_malformed"),
    ],
)
async def test_a_malformed_envelope_is_refused_as_a_whole(api: Api, content: bytes, status: int, code: str) -> None:
    response = await api.client.post(PATH, content=content, headers={"content-type": "application/json"})
    assert (response.status_code, response.json()["code"]) == (status, code), response.text
    assert api.searcher.asked == []


async def test_how_many_is_a_setting_and_told(open_api: OpenApi) -> None:
    api = await open_api(Settings.model_validate({"search": {"max_searches": 2}}))
    assert (await send(api, GOOD, GOOD)).status_code == 200
    problem = (await send(api, GOOD, GOOD, GOOD)).json()
    assert problem["details"] == {"field": "searches", "minimum": 1, "maximum": 2}


async def test_one_deadline_holds_for_all(api: Api) -> None:
    await send(api, GOOD, GOOD, timeout_ms=400)
    assert all(0 < seconds <= 0.4 for seconds in api.searcher.deadlines)

    async def hang() -> None:
        await asyncio.Event().wait()

    api.searcher.before = hang
    response = await send(api, GOOD, timeout_ms=100)
    assert (response.status_code, response.json()["code"]) == (504, "deadline_exceeded")


async def test_all_pictures_of_a_request_are_counted_together(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[list[str]] = []

    async def bytes_of(_: Pictures, sent: str, deadline: Deadline) -> bytes:
        return sent.encode()

    def check_count(_: Pictures, sent: Any) -> None:
        counted.append(list(sent))
        if len(counted[-1]) > 2:
            raise LimitExceeded("Too many.", maximum=2)

    monkeypatch.setattr(Pictures, "bytes_of", bytes_of)
    monkeypatch.setattr(Pictures, "check_count", check_count)
    one, two = GOOD | {"query": [{"image": "a"}]}, GOOD | {"query": [{"image": "b"}, {"image": "c"}]}
    assert (await send(api, one, one, GOOD, {})).status_code == 200
    assert (await send(api, one, two)).json()["code"] == "limit_exceeded"
    assert counted == [["a", "a"], ["a", "b", "c"]]


async def test_failures_inside_are_counted_by_their_code(api: Api) -> None:
    await send(api, GOOD, GOOD | {"limit": 0}, GOOD | {"collection": "shoes"})
    exposed = api.metrics.exposition("")[0].decode()
    assert 'vitrine_http_errors_total{code="invalid_input"} 1.0' in exposed
    assert 'vitrine_http_errors_total{code="collection_not_found"} 1.0' in exposed


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path / "keys.json")


async def _guarded(open_api: OpenApi, keys: Keys) -> Api:
    return await open_api(Settings(auth=AuthSettings(mode="on", keys_file=keys.path)))


async def test_somebody_elses_collection_does_not_exist(open_api: OpenApi, keys: Keys) -> None:
    key = keys.add("shop", Scope.SEARCH, collections=["products"])
    api = await _guarded(open_api, keys)
    api.client.headers["authorization"] = f"Bearer {key}"
    response = await send(api, GOOD, GOOD | {"collection": "products_v1"}, GOOD | {"collection": "nowhere"})
    seen, hidden, missing = response.json()["results"]
    assert seen["status"] == 200
    assert (hidden["status"], hidden["code"]) == (404, "collection_not_found")
    assert hidden.keys() == missing.keys()
    assert [asked.audience for asked in api.searcher.asked] == ["key:shop"]


async def test_without_the_scope_nothing_is_read(open_api: OpenApi, keys: Keys) -> None:
    key = keys.add("writer", Scope.WRITE)
    api = await _guarded(open_api, keys)
    response = await api.client.post(PATH, content=b"{", headers={"authorization": f"Bearer {key}"})
    assert (response.status_code, response.json()["code"]) == (403, "scope_missing")


async def test_a_request_counts_as_its_searches(open_api: OpenApi, keys: Keys) -> None:
    key = keys.add("shop", Scope.SEARCH, rate=KeyRate(per_second=0.01, burst=5))
    api = await _guarded(open_api, keys)
    api.client.headers["authorization"] = f"Bearer {key}"
    assert (await send(api, *[GOOD] * 4)).status_code == 200
    # One is left: a request of two costs too much, and one of one does not.
    refused = await send(api, GOOD, GOOD)
    assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
    assert len(api.searcher.asked) == 4


async def test_too_many_searches_cost_one_request(open_api: OpenApi, keys: Keys) -> None:
    key = keys.add("shop", Scope.SEARCH, rate=KeyRate(per_second=0.01, burst=2))
    api = await _guarded(open_api, keys)
    api.client.headers["authorization"] = f"Bearer {key}"
    assert (await send(api, *[GOOD] * 33)).status_code == 422
    assert (await send(api, GOOD)).status_code == 200
