"""What callers send stays out of the log: of the whole process, at its most talkative, also when everything fails."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.e2e.conftest import OpenGateway
from tests.e2e.writable import Writable
from tests.fixtures.serving import RunningGateway
from tests.fixtures.shop import jpeg
from tests.fixtures.stack import RunningStack
from vitrine.gateway.auth.keys import new_key

MARK: Final = "zqxcanary"
"""In everything that is sent and must not be logged, in the form that its place takes."""
SEARCH: Final = "/v1/collections/{}/search"
# Nine bytes: in base64 of repetitions it is the same twelve characters over and over.
MARKS: Final = (MARK, MARK.encode().hex(), base64.b64encode(MARK.encode()).decode())
AUTHORISED: Final = {"authorization": f"Bearer {new_key(f'{MARK}-key')}"}


def _bodies() -> Iterator[dict[str, Any]]:
    """Searches: good ones, refused ones, ones that fail on the way."""
    picture = base64.b64encode(MARK.encode() * 50).decode()
    yield {"query": f"{MARK} dress"}
    yield {"query": [{"text": MARK, "weight": 1.0}, {"id": f"{MARK}-id"}]}
    yield {"query": [{"image": f"data:image/jpeg;base64,{picture}"}]}
    yield {"query": [{"image": f"https://{MARK}.example/{MARK}.jpg?token={MARK}"}]}
    yield {"query": "dress", "filter": {"field": "colour_group_name", "op": "eq", "value": MARK}}
    yield {"query": "dress", "filter": {"field": MARK, "op": "eq", "value": 1}}
    yield {"query": "dress", "filter": f'{MARK}:"{MARK}" AND ('}
    yield {"query": "dress", "cursor": f"{MARK}.{MARK}"}
    yield {"query": "dress", "group_by": MARK, "facets": [MARK]}
    yield {"query": "dress", "params": {MARK: 1}}
    yield {"query": f"{MARK} " * 1200}
    yield {"query": 7, MARK: MARK}


def _send_all(gateway: RunningGateway, alias: str) -> None:
    http = gateway.http
    for body in _bodies():
        http.post(SEARCH.format(alias), json=body, headers=AUTHORISED)
        http.post("/v1/multi_search", json={"searches": [{"collection": alias, **body}]}, headers=AUTHORISED)
    http.get(SEARCH.format(alias), params={"q": MARK, "filter": f'colour_group_name:"{MARK}"', MARK: MARK})
    http.get(SEARCH.format(MARK), params={"q": MARK})
    http.post(SEARCH.format(alias), content=f'{{"query": "{MARK}"'.encode(), headers={"content-type": f"text/{MARK}"})
    http.post(
        SEARCH.format(alias), content=f'{{"query": "{MARK}"'.encode(), headers={"content-type": "application/json"}
    )
    upload = {"image": (f"{MARK}.jpg", MARK.encode() + jpeg(1), f"image/{MARK}")}
    http.post(f"{SEARCH.format(alias)}/image", files=upload, data={"filter": MARK, MARK: MARK})
    http.post("/v1/embeddings", json={"model": MARK, "input": [MARK, f"data:image/png;base64,{MARK}"], "user": MARK})
    http.put(f"/v1/collections/{alias}/items/{MARK}", json={"title": MARK, MARK: MARK})
    http.put(f"/v1/collections/{alias}/items/{MARK}", files=upload, data={"title": MARK})
    http.get(f"/v1/collections/{alias}/items/{MARK}")
    http.delete(f"/v1/collections/{alias}/items/{MARK}")
    bulk = {"items": [{"id": MARK, "title": MARK, "image": f"https://{MARK}.example/a.jpg"}]}
    http.post(f"/v1/collections/{alias}/items", json=bulk)
    http.post(f"/v1/collections/{alias}/items:delete", json={"ids": [MARK, "a/" + MARK]})
    http.get(f"/{MARK}/{MARK}?{MARK}={MARK}", headers={"cookie": f"a={MARK}", "user-agent": MARK, "referer": MARK})
    http.get(f"/media/{MARK}.jpg")
    http.get(
        "/v1/limits", headers={"host": f"{MARK}.example", "origin": f"https://{MARK}.example", "x-forwarded-for": MARK}
    )
    http.get("/v1/limits", headers={"x-request-id": f"{MARK} spaced", "traceparent": MARK, "tracestate": f"{MARK}=1"})


def _assert_unmarked(gateway: RunningGateway, lines_at_least: int) -> None:
    gateway.stop()
    log = gateway.log.read_text()
    requests = [line for line in map(json.loads, log.splitlines()) if line["message"] == "request"]
    assert len(requests) >= lines_at_least, "the log is there to be read"
    for mark in MARKS:
        told = [line for line in log.splitlines() if mark.lower() in line.lower()]
        assert not told, told[0]


@pytest.mark.usefixtures("shop")
def test_nothing_that_was_sent_is_logged(open_gateway: OpenGateway, stack: RunningStack, shop: Path) -> None:
    gateway = open_gateway({"VITRINE_TELEMETRY__LOG_LEVEL": "DEBUG"}, media_root=shop)
    writable = Writable(stack.settings, "log_privacy")
    for alias in ("products", writable.alias):
        _send_all(gateway, alias)
    _assert_unmarked(gateway, 60)


def test_nothing_that_was_sent_is_logged_when_everything_fails(open_gateway: OpenGateway, tmp_path: Path) -> None:
    nowhere = {"VITRINE_TRITON__URL": "http://127.0.0.1:9", "VITRINE_MILVUS__URI": "http://127.0.0.1:9"}
    gateway = open_gateway({**nowhere, "VITRINE_TELEMETRY__LOG_LEVEL": "DEBUG"}, default_timeout_ms=300)
    _send_all(gateway, "products")
    _assert_unmarked(gateway, 30)


def test_neither_keys_nor_tokens_are_logged(open_gateway: OpenGateway, tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    keys.write_text('{"keys": []}')
    auth = {"VITRINE_AUTH__MODE": "on", "VITRINE_AUTH__KEYS_FILE": str(keys), "VITRINE_TELEMETRY__LOG_LEVEL": "DEBUG"}
    gateway = open_gateway(auth)
    for token in (AUTHORISED["authorization"], f"Bearer {MARK}", f"Basic {MARK}", f"Bearer {MARK}.{MARK}.{MARK}"):
        for headers in ({"authorization": token}, {"x-api-key": token}):
            assert gateway.http.get("/v1/limits", headers=headers).status_code == 401
    _assert_unmarked(gateway, 8)


@pytest.mark.usefixtures("shop")
def test_texts_are_logged_when_that_is_switched_on_and_nothing_else(open_gateway: OpenGateway) -> None:
    gateway = open_gateway({"VITRINE_TELEMETRY__LOG_QUERIES": "true"})
    gateway.search("a logged wish")
    gateway.search(
        f"data:image/png;base64,{MARK}", filter={"field": "colour_group_name", "op": "eq", "value": MARK + "2"}
    )
    gateway.stop()
    lines = [json.loads(line) for line in gateway.log.read_text().splitlines()]
    asked = [line["query"] for line in lines if "query" in line]
    assert ["a logged wish"] in asked
    assert MARK + "2" not in gateway.log.read_text()
