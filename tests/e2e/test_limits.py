"""What /v1/limits lists is enforced: the most is taken, one more is refused with the code that is told."""

import base64
import io
import json
import struct
import zlib
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import PRODUCTS
from tests.fixtures.serving import RunningGateway
from tests.fixtures.shop import jpeg

Send = Callable[[RunningGateway, int], httpx.Response]

ELSEWHERE = {
    "body_time": "tests/e2e/test_api_process.py: a body that trickles in",
    "in_flight": "tests/e2e/test_api_process.py: more than the permits",
    "keep_alive": "closes an idle connection, refuses nothing",
    "timeout_default": "refuses nothing",
    "context_length": "tests/e2e/test_api.py: a long text is cut, with a warning",
    "cursor_depth": "tests/e2e: a walk ends there, with a warning",
    "cursor_age": "tests/unit/search/test_cursor.py, on a clock of its own",
    "window": "tests/unit/vectorstore/test_searcher.py; with the default `max_limit`, `offset` ends before it",
    "facet_values": "cuts the list, refuses nothing",
    "facet_depth": "counts fewer hits, refuses nothing",
    "picture_formats": "a list; tests/unit/embedding/test_preprocess.py",
    "picture_hosts": "a list; tests/unit/gateway/remote_images",
    "pictures_by_address": "tests/unit/gateway/remote_images",
    "picture_address": "tests/unit/gateway/remote_images",
    "fetch_time": "tests/unit/gateway/remote_images",
    "fetch_redirects": "tests/unit/gateway/remote_images",
}
"""Limits that one request more does not show."""


def _post(gateway: RunningGateway, path: str, body: Any) -> httpx.Response:
    return gateway.http.post(path, json=body, headers={"X-Timeout-Ms": "10000"})


def _body(gateway: RunningGateway, size: int) -> httpx.Response:
    head = b'{"query": "dress"'
    content = head + b" " * (size - len(head) - 1) + b"}"
    return gateway.http.post(
        "/v1/collections/products/search", content=content, headers={"Content-Type": "application/json"}
    )


def _nested(gateway: RunningGateway, levels: int) -> httpx.Response:
    # The body itself is the first level.
    content = '{"query": "dress", "filter": ' + "[" * (levels - 1) + "]" * (levels - 1) + "}"
    return gateway.http.post(
        "/v1/collections/products/search", content=content, headers={"Content-Type": "application/json"}
    )


def _form(gateway: RunningGateway, fields: "list[tuple[str, str]]") -> httpx.Response:
    parts: list[Any] = [("image", ("a.jpg", jpeg(1), "image/jpeg")), *((name, (None, value)) for name, value in fields)]
    return gateway.http.post("/v1/collections/products/search/image", files=parts)


def _filter(gateway: RunningGateway, tree: Any) -> httpx.Response:
    return gateway.search("dress", filter=tree)


def _condition(value: str = "Red") -> dict[str, Any]:
    return {"field": "colour_group_name", "op": "eq", "value": value}


def _levels(count: int) -> Any:
    tree: Any = _condition()
    for _ in range(count - 1):
        tree = {"not": tree}
    return tree


def _padded_jpeg(size: int) -> bytes:
    picture = jpeg(1)
    return picture + b"\0" * (size - len(picture))


def _png(pixels: int) -> bytes:
    """A picture of so many pixels, whole, in a few kilobytes: one grey, of one bit each."""
    width = next(width for width in range(5_000, 0, -1) if pixels % width == 0)
    height = pixels // width
    rows = zlib.compress((b"\0" + b"\0" * ((width + 7) // 8)) * height, 9)
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)), (b"IDAT", rows), (b"IEND", b"")]
    png = io.BytesIO()
    png.write(b"\x89PNG\r\n\x1a\n")
    for kind, data in chunks:
        png.write(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)))
    return png.getvalue()


def _upload(gateway: RunningGateway, picture: bytes) -> httpx.Response:
    return gateway.http.post(
        "/v1/collections/products/search/image", files={"image": picture}, headers={"X-Timeout-Ms": "10000"}
    )


def _data_url(picture: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(picture).decode()


def _embed(gateway: RunningGateway, inputs: "list[str]") -> httpx.Response:
    return _post(gateway, "/v1/embeddings", {"model": "default", "input": inputs})


def _bulk(gateway: RunningGateway, count: int) -> httpx.Response:
    # None of them can be stored, so nothing is.
    return _post(gateway, "/v1/collections/products/items", {"items": [{"id": f"x{n}"} for n in range(count)]})


def _item(gateway: RunningGateway, item_id: str = "x", **members: str) -> httpx.Response:
    # What is sent as a picture is none, so nothing is stored.
    body = {"image": "data:image/png;base64,AAAA", **members}
    return gateway.http.put(f"/v1/collections/products/items/{item_id}", json=body)


def _wide(size: int) -> str:
    """A text of so many bytes and half as many characters."""
    return "é" * (size // 2) + "e" * (size % 2)


PROBES: "dict[str, Send]" = {
    "body": _body,
    "json_depth": _nested,
    "form_fields": lambda gateway, n: _form(gateway, [("limit", "1")] + [(f"f{i}", "") for i in range(n - 1)]),
    "form_field": lambda gateway, n: _form(gateway, [("query", json.dumps([{"id": PRODUCTS[0]}]).ljust(n))]),
    "timeout": lambda gateway, n: gateway.search("dress", timeout_ms=n),
    "query_parts": lambda gateway, n: gateway.search([{"text": "dress"}] * n),
    "part_weight": lambda gateway, n: gateway.search([{"text": "dress", "weight": n}]),
    "query_text": lambda gateway, n: gateway.search(_wide(n)),
    "params": lambda gateway, n: gateway.search("dress", params={"a" * (i + 1): 1 for i in range(n)}),
    "searches": lambda gateway, n: _post(
        gateway, "/v1/multi_search", {"searches": [{"collection": "products", "query": "dress"}] * n}
    ),
    "embedding_inputs": lambda gateway, n: _embed(gateway, ["dress"] * n),
    "embedding_pictures": lambda gateway, n: _embed(gateway, [_data_url(jpeg(1))] * n),
    "limit": lambda gateway, n: gateway.search("dress", limit=n),
    "offset": lambda gateway, n: gateway.search("dress", offset=n, limit=1),
    "cursor": lambda gateway, n: gateway.search("dress", cursor="a" * n),
    "facets": lambda gateway, n: gateway.search("dress", facets=_facets(gateway, n)),
    "filter_depth": lambda gateway, n: _filter(gateway, _levels(n)),
    "filter_conditions": lambda gateway, n: _filter(gateway, {"any": [_condition()] * n}),
    "filter_values": lambda gateway, n: _filter(
        gateway, {"field": "colour_group_name", "op": "in", "value": [str(i) for i in range(n)]}
    ),
    "filter_value": lambda gateway, n: _filter(gateway, _condition(_wide(n))),
    "filter_text": lambda gateway, n: _filter(gateway, "colour_group_name:Red".ljust(n)),
    "picture": lambda gateway, n: _upload(gateway, _padded_jpeg(n)),
    "picture_pixels": lambda gateway, n: _upload(gateway, _png(n)),
    "bulk_items": _bulk,
    "item_id": lambda gateway, n: _item(gateway, _wide(n)),
    "item_title": lambda gateway, n: _item(gateway, title=_wide(n)),
    "item_group": lambda gateway, n: _item(gateway, group=_wide(n)),
    "item_image_path": lambda gateway, n: _item(gateway, image_path=_wide(n)),
}
ALSO_REFUSED = {
    "json_depth": "filter_invalid",  # deep enough for JSON is too deep for a filter
    "form_fields": "invalid_input",  # fields that mean nothing
    "params": "invalid_input",  # the index knows no such setting
    "cursor": "cursor_invalid",
    "item_id": "image_unrecognised",
    "item_title": "image_unrecognised",
    "item_group": "image_unrecognised",
    "item_image_path": "image_unrecognised",
}
"""Where a request within the limit is refused for another reason; for all others it is answered 200."""


def _facets(gateway: RunningGateway, count: int) -> list[str]:
    fields = gateway.http.get("/v1/collections/products").json()["fields"]
    names = [field["name"] for field in fields if field["facetable"]]
    assert len(names) > count - 1, "the catalogue has too few fields to tell"
    return names[:count]


@pytest.fixture(scope="module")
def limits(gateway: RunningGateway) -> dict[str, Any]:
    return {limit["name"]: limit for limit in gateway.http.get("/v1/limits").json()["limits"]}


def test_every_limit_is_shown_here_or_elsewhere(limits: dict[str, Any]) -> None:
    assert limits.keys() == PROBES.keys() | ELSEWHERE.keys()
    assert not PROBES.keys() & ELSEWHERE.keys()


@pytest.mark.parametrize("name", PROBES)
def test_the_most_is_taken_and_one_more_is_refused_as_told(
    gateway: RunningGateway, limits: dict[str, Any], name: str
) -> None:
    most, code = limits[name]["value"], limits[name]["code"]
    within = PROBES[name](gateway, int(most))
    if name in ALSO_REFUSED:
        assert within.json()["code"] == ALSO_REFUSED[name], within.text[:500]
    else:
        assert within.status_code == 200, within.text[:500]
    beyond = PROBES[name](gateway, int(most) + 1)
    assert beyond.status_code in {400, 413, 422}, beyond.text[:500]
    assert beyond.json()["code"] == code, beyond.text[:500]
    if ALSO_REFUSED.get(name) == code:
        assert str(int(most)) in beyond.json()["detail"].replace(",", ""), "the refusal must be about the limit"
        assert str(int(most)) not in within.json()["detail"].replace(",", "")
