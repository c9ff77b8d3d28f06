import asyncio
import io
import json
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fixtures.logs import logged
from tests.unit.gateway.auth.conftest import AUDIENCE, ISSUER, Issuer, Keys, unsigned
from tests.unit.gateway.conftest import Api, OpenApi
from vitrine.gateway.app import _routers
from vitrine.gateway.auth.authenticator import Authenticator
from vitrine.gateway.auth.keys import KeyRate, new_key, render_keys
from vitrine.gateway.auth.principal import Scope
from vitrine.settings import AuthSettings, Settings

OPEN = ("/", "/docs", "/openapi.json", "/livez", "/readyz", "/metrics")
SEARCH = "/v1/collections/products/search"


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """Everything logged meanwhile, down to the last detail."""
    with logged("DEBUG") as stream:
        yield stream


async def _guarded(open_api: OpenApi, keys: Keys, **auth: Any) -> Api:
    keys.add("first", Scope.SEARCH)
    return await open_api(Settings(auth=AuthSettings(mode="on", keys_file=keys.path, **auth)))


def _authenticator(api: Api) -> Authenticator:
    found = next(m.kwargs["authenticator"] for m in api.app.user_middleware if "authenticator" in m.kwargs)
    assert isinstance(found, Authenticator)
    return found


async def _refresh(api: Api) -> None:
    """What the watch does every second."""
    await _authenticator(api).refresh()


def _bearer(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}


def _last(log: io.StringIO) -> dict[str, Any]:
    line: dict[str, Any] = json.loads(log.getvalue().splitlines()[-1])
    return line


async def test_a_key_is_taken_from_either_header(open_api: OpenApi, keys: Keys) -> None:
    key = keys.add("shop", Scope.SEARCH)
    api = await _guarded(open_api, keys)
    for headers in (_bearer(key), {"x-api-key": key}):
        assert (await api.search({"query": "dress"}, **headers)).status_code == 200
    assert [asked.collection for asked in api.searcher.asked] == ["products", "products"]


async def test_without_a_caller_nothing_is_done(open_api: OpenApi, keys: Keys) -> None:
    api = await _guarded(open_api, keys)
    response = await api.search({"query": "dress"})
    assert (response.status_code, response.json()["code"]) == (401, "unauthenticated")
    assert response.headers["www-authenticate"] == "Bearer"
    assert response.headers["content-type"] == "application/problem+json"
    assert api.searcher.asked == []


@pytest.mark.parametrize("path", ["/v1/", "/v1/nothing", "/v1/collections/products/nothing", "/v1/ui-config"])
async def test_paths_of_the_api_tell_strangers_nothing_not_even_whether_they_exist(
    open_api: OpenApi, keys: Keys, path: str
) -> None:
    api = await _guarded(open_api, keys)
    for method in ("GET", "POST", "DELETE", "OPTIONS", "BREW"):
        assert (await api.client.request(method, path)).status_code == 401, method


async def test_the_page_the_documentation_and_the_probes_are_open(open_api: OpenApi, keys: Keys) -> None:
    api = await _guarded(open_api, keys)
    for path in OPEN:
        assert (await api.client.get(path)).status_code == 200, path


async def test_every_wrong_credential_has_one_answer_and_a_reason_in_the_log(
    open_api: OpenApi, keys: Keys, issuer: Issuer, jwks_file: Path, log: io.StringIO
) -> None:
    key = keys.add("shop", Scope.SEARCH)
    api = await _guarded(open_api, keys, oidc_issuer=ISSUER, oidc_audience=AUDIENCE, oidc_jwks_file=jwks_file)
    wrong = {
        "no credentials": {},
        "malformed credentials": {"authorization": "Bearer "},
        "several credentials": {**_bearer(key), "x-api-key": key},
        "malformed key": {"x-api-key": issuer.token()},
        "unknown key": _bearer(new_key("other")),
        "wrong secret": _bearer(new_key("shop")),
        "malformed token": _bearer("nonsense"),
        "algorithm not accepted": _bearer(unsigned({"alg": "none", "kid": "r1"}, issuer.claims())),
        "expired token": _bearer(issuer.token(exp=1)),
        "wrong audience": _bearer(issuer.token(aud="other")),
        "wrong issuer": _bearer(issuer.token(iss="other")),
        "wrong signature": _bearer(issuer.token()[:-20] + "A" * 20),
        "unknown signing key": _bearer(issuer.token(header={"kid": "other"})),
    }
    answers = set()
    for reason, headers in wrong.items():
        response = await api.search({"query": "dress"}, **headers)
        assert response.status_code == 401, reason
        assert _last(log)["reason"] == reason
        assert "caller" not in _last(log)
        told = {**response.headers, "x-request-id": "", **response.json(), "request_id": ""}
        answers.add(json.dumps(told, sort_keys=True))
    assert len(answers) == 1
    assert api.searcher.asked == []


async def test_a_token_searches_what_it_may(
    open_api: OpenApi, keys: Keys, issuer: Issuer, jwks_file: Path, log: io.StringIO
) -> None:
    api = await open_api(
        Settings(auth=AuthSettings(oidc_issuer=ISSUER, oidc_audience=AUDIENCE, oidc_jwks_file=jwks_file))
    )
    assert (await api.search({"query": "dress"}, **_bearer(issuer.token()))).status_code == 200
    assert re.fullmatch("jwt:[0-9a-f]{32}", _last(log)["caller"])
    other = await api.search({"query": "dress"}, **_bearer(issuer.token(vitrine_collections=["x"])))
    assert (other.status_code, other.json()["code"]) == (404, "collection_not_found")
    assert (await api.search({"query": "dress"}, **_bearer(keys.add("shop", Scope.SEARCH)))).status_code == 401


async def test_a_caller_stands_in_the_log_and_no_secret_does(
    open_api: OpenApi, keys: Keys, issuer: Issuer, jwks_file: Path, log: io.StringIO
) -> None:
    right, wrong, unknown = keys.add("shop", Scope.SEARCH), new_key("shop"), new_key("stranger")
    api = await _guarded(open_api, keys, oidc_issuer=ISSUER, oidc_audience=AUDIENCE, oidc_jwks_file=jwks_file)
    tokens = [issuer.token(), issuer.token(aud="x"), issuer.token(exp=1)]
    for secret in (right, wrong, unknown, *tokens):
        for headers in (_bearer(secret), {"x-api-key": secret}):
            await api.search({"query": "dress"}, **headers)
            api.searcher.failure = RuntimeError("boom")
            await api.search({"query": "dress"}, **headers)
            api.searcher.failure = None
    written = log.getvalue()
    assert '"caller":"key:shop"' in written
    assert "boom" in written
    for secret in (right, wrong, unknown):
        assert secret[-43:] not in written
    for token in tokens:
        assert not any(part in written for part in token.split(".")[1:])
    assert "jane" not in written


async def test_a_removed_key_is_refused_and_a_new_one_let_in_while_it_runs(open_api: OpenApi, keys: Keys) -> None:
    old = keys.add("old", Scope.SEARCH)
    api = await _guarded(open_api, keys)
    assert (await api.search({"query": "dress"}, **_bearer(old))).status_code == 200
    keys.entries = [entry for entry in keys.entries if entry.id != "old"]
    new = keys.add("new", Scope.SEARCH)
    await _refresh(api)
    assert (await api.search({"query": "dress"}, **_bearer(old))).status_code == 401
    assert (await api.search({"query": "dress"}, **_bearer(new))).status_code == 200


async def test_the_watch_notices_by_itself_and_outlives_a_broken_file(open_api: OpenApi, keys: Keys) -> None:
    key = keys.add("shop", Scope.SEARCH)
    api = await _guarded(open_api, keys)

    async def state() -> tuple[int, float | None]:
        answer = await api.search({"query": "dress"}, **_bearer(key))
        return answer.status_code, api.metrics.registry.get_sample_value(
            "vitrine_auth_source_stale", {"source": "keys"}
        )

    async def becomes(status: int, stale: float) -> None:
        for _ in range(500):
            if await state() == (status, stale):
                return
            await asyncio.sleep(0.02)
        pytest.fail(f"not within 10 s: {status}, {stale}")

    async with _authenticator(api).kept_fresh():
        await becomes(200, 0)
        keys.path.write_bytes(b"{")
        await becomes(200, 1)
        keys.path.write_bytes(render_keys([]))
        await becomes(401, 0)


def _routes(api: Api) -> list[tuple[str, str]]:
    """Method and path template of everything below /v1/, documented or not."""
    return sorted(
        (method, route.path)  # type: ignore[attr-defined]
        for router in _routers(api.settings)
        for route in router.routes
        if route.path.startswith("/v1/")  # type: ignore[attr-defined]
        for method in route.methods  # type: ignore[attr-defined]
    )


async def _ask(api: Api, method: str, template: str, headers: dict[str, str]) -> httpx.Response:
    path = re.sub(r"\{(\w+)(:path)?\}", lambda name: "products" if name[1] != "item_id" else "0108775015", template)
    body = None if method in {"GET", "HEAD", "DELETE"} else b"{}"
    headers = headers if body is None else {**headers, "content-type": "application/json"}
    return await api.client.request(method, path, content=body, headers=headers)


async def test_no_route_forgets_to_ask_for_a_scope(open_api: OpenApi, keys: Keys) -> None:
    powerless = keys.add("powerless")
    api = await _guarded(open_api, keys)
    routes = _routes(api)
    assert ("POST", "/v1/collections/{alias}/search") in routes
    assert len(routes) >= 10
    for method, template in routes:
        assert (await _ask(api, method, template, {})).status_code == 401, (method, template)
        refused = await _ask(api, method, template, _bearer(powerless))
        assert refused.status_code == 403, (method, template, refused.text)
        if method != "HEAD":
            assert refused.json()["code"] == "scope_missing", (method, template)


async def test_no_route_shows_another_tenants_collection(open_api: OpenApi, keys: Keys) -> None:
    stranger = keys.add("stranger", *Scope, collections=["elsewhere"])
    api = await _guarded(open_api, keys)
    routes = [(method, path) for method, path in _routes(api) if path.startswith("/v1/collections/{")]
    assert len(routes) >= 5
    for method, template in routes:
        refused = await _ask(api, method, template, _bearer(stranger))
        assert refused.status_code == 404, (method, template, refused.text)
        if method != "HEAD":
            assert refused.json()["code"] == "collection_not_found", (method, template)
    assert api.searcher.asked == []


@pytest.mark.parametrize(("scope", "route"), [(Scope.WRITE, "search"), (Scope.ADMIN, "search")])
async def test_no_scope_includes_another(open_api: OpenApi, keys: Keys, scope: Scope, route: str) -> None:
    key = keys.add("shop", scope)
    api = await _guarded(open_api, keys)
    refused = await api.search({"query": "dress"}, **_bearer(key))
    assert (refused.status_code, refused.json()["details"]) == (403, {"scope": route})


async def test_more_than_the_rate_is_answered_429_with_the_time_to_wait(open_api: OpenApi, keys: Keys) -> None:
    slow = keys.add("slow", Scope.SEARCH, rate=KeyRate(per_second=0.1, burst=2))
    free = keys.add("free", Scope.SEARCH)
    api = await _guarded(open_api, keys)
    answers = [await api.search({"query": "dress"}, **_bearer(slow)) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[2].json()["code"] == "rate_limited"
    assert answers[2].headers["retry-after"] == "10"
    assert answers[2].json()["details"] == {"per_second": 0.1, "burst": 2, "retry_after_s": 10}
    assert len(api.searcher.asked) == 2
    assert (await api.search({"query": "dress"}, **_bearer(free))).status_code == 200
    assert (await api.client.get("/livez", headers=_bearer(slow))).status_code == 200
    assert api.metrics.registry.get_sample_value("vitrine_http_shed_total", {"reason": "rate_limit"}) == 1
    count = api.metrics.registry.get_sample_value("vitrine_http_errors_total", {"code": "rate_limited"})
    assert count == 1


async def test_strangers_and_the_limited_hold_no_permit(open_api: OpenApi, keys: Keys) -> None:
    slow = keys.add("slow", Scope.SEARCH, rate=KeyRate(per_second=0.1, burst=1))
    api = await open_api(
        Settings.model_validate({"gateway": {"max_in_flight": 2}, "auth": {"mode": "on", "keys_file": str(keys.path)}})
    )
    in_flight = partial(api.metrics.registry.get_sample_value, "vitrine_http_in_flight")
    async with api.searching(**_bearer(slow)):
        assert (await api.search({"query": "dress"})).status_code == 401
        assert (await api.search({"query": "dress"}, **_bearer(slow))).status_code == 429
        assert in_flight() == 1


async def test_a_full_house_refuses_whoever_asks_and_charges_nobody(open_api: OpenApi, keys: Keys) -> None:
    slow = keys.add("slow", Scope.SEARCH, rate=KeyRate(per_second=0.1, burst=2))
    api = await open_api(
        Settings.model_validate({"gateway": {"max_in_flight": 1}, "auth": {"mode": "on", "keys_file": str(keys.path)}})
    )
    async with api.searching(**_bearer(slow)):
        for headers in ({}, _bearer("nobody's"), _bearer(slow), _bearer(slow)):
            assert (await api.search({"query": "dress"}, **headers)).json()["code"] == "overloaded"
    assert (await api.search({"query": "dress"}, **_bearer(slow))).status_code == 200, "the second of its burst of two"


async def test_the_document_says_how_to_authenticate_where_it_is_needed(open_api: OpenApi, keys: Keys) -> None:
    api = await _guarded(open_api, keys)
    document = (await api.client.get("/openapi.json")).json()
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    assert document["components"]["securitySchemes"]["apiKey"]["name"] == "X-API-Key"
    for path, operations in document["paths"].items():
        for operation in operations.values():
            if not path.startswith("/v1/"):
                assert "security" not in operation
                continue
            assert operation["security"] == [{"bearer": []}, {"apiKey": []}]
            responses = operation["responses"]
            for status, code in (("401", "unauthenticated"), ("403", "scope_missing"), ("429", "rate_limited")):
                assert f"`{code}`" in responses[status]["description"]
                assert list(responses[status]["content"]) == ["application/problem+json"]
            assert "`issuer_unavailable`" in responses["503"]["description"]
            assert "cross_site" not in json.dumps(responses)
    assert (
        "`vector_store_unavailable`" in document["paths"]["/v1/collections"]["get"]["responses"]["503"]["description"]
    )


async def test_the_document_asks_for_nothing_where_all_are_let_in(api: Api) -> None:
    document = (await api.client.get("/openapi.json")).json()
    assert "securitySchemes" not in document["components"]
    post = document["paths"]["/v1/collections/{alias}/search"]["post"]
    get = document["paths"]["/v1/collections/{alias}/search"]["get"]
    assert "security" not in post
    assert "`cross_site`" in post["responses"]["403"]["description"]
    assert not {"401", "403", "429"} & get["responses"].keys()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"sec-fetch-site": "same-origin"}, 200),
        ({"sec-fetch-site": "none"}, 200),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"sec-fetch-site": "cross-site", "origin": "http://localhost"}, 403),
        ({"sec-fetch-site": "same-origin", "origin": "https://shop.example"}, 200),
        ({"origin": "http://localhost"}, 200),
        ({"origin": "https://LOCALHOST"}, 200),
        ({"origin": "http://localhost:3000"}, 403),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": ""}, 403),
        ({"origin": "http://[::1"}, 403),
        ({"origin": "http://lócalhost"}, 403),
    ],
)
async def test_without_authentication_pages_of_other_sites_change_nothing(
    api: Api, headers: dict[str, str], status: int
) -> None:
    encoded = {name: value.encode() for name, value in headers.items()}
    response = await api.client.post(SEARCH, json={"query": "dress"}, headers=encoded)
    assert response.status_code == status, response.text
    assert len(api.searcher.asked) == (status == 200)
    if status == 403:
        assert response.json()["code"] == "cross_site"


async def test_what_changes_nothing_may_be_asked_from_anywhere(api: Api) -> None:
    response = await api.client.get(SEARCH, params={"q": "dress"}, headers={"sec-fetch-site": "cross-site"})
    assert response.status_code == 200


async def test_with_authentication_other_sites_need_a_key_like_everybody(open_api: OpenApi, keys: Keys) -> None:
    key = keys.add("shop", Scope.SEARCH)
    api = await _guarded(open_api, keys)
    elsewhere = {"sec-fetch-site": "cross-site", "origin": "https://shop.example", "host": "api.example"}
    assert (await api.client.post(SEARCH, json={"query": "x"}, headers=elsewhere)).status_code == 401
    with_key = {**elsewhere, **_bearer(key)}
    assert (await api.client.post(SEARCH, json={"query": "x"}, headers=with_key)).status_code == 200


HOSTS = [
    ("localhost", 200),
    ("LocalHost.:8080", 200),
    ("demo.localhost:8080", 200),
    ("127.0.0.1:8080", 200),
    ("127.9.9.9", 200),
    ("[::1]:8080", 200),
    ("[::ffff:127.0.0.1]", 200),
    ("evil.example", 403),
    ("localhost.evil.example", 403),
    ("127.0.0.1.evil.example", 403),
    ("127.0.0.1@evil.example", 403),
    ("2130706433", 403),
    ("10.0.0.1:8080", 403),
    ("[::1", 403),
    ("", 403),
]


@pytest.mark.parametrize(("host", "status"), HOSTS)
async def test_on_loopback_only_names_of_this_machine_are_answered(api: Api, host: str, status: int) -> None:
    for method, path in (("POST", SEARCH), ("GET", "/"), ("GET", "/v1/collections"), ("GET", "/openapi.json")):
        body = {"query": "dress"} if method == "POST" else None
        response = await api.client.request(method, path, json=body, headers={"host": host})
        assert response.status_code == status, path
        if status == 403:
            assert response.json()["code"] == "cross_site"
    for path in ("/livez", "/readyz", "/metrics"):
        assert (await api.client.get(path, headers={"host": host})).status_code == 200


async def test_whoever_switches_it_off_may_use_any_name(open_api: OpenApi) -> None:
    api = await open_api(Settings(auth=AuthSettings(mode="off")))
    headers = {"host": "shop.example"}
    assert (await api.client.post(SEARCH, json={"query": "x"}, headers=headers)).status_code == 200
    evil = {**headers, "origin": "https://evil.example"}
    assert (await api.client.post(SEARCH, json={"query": "x"}, headers=evil)).status_code == 403
