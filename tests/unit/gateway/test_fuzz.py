"""Whatever is sent, the answer is one of those that are documented, and never a 5xx."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.gateway.conftest import Api
from vitrine.gateway.errors import CODES

PATH = "/v1/collections/products/search"
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=8), children, max_size=4),
    max_leaves=12,
)
members = st.sampled_from(
    [
        "query",
        "limit",
        "offset",
        "cursor",
        "filter",
        "min_score",
        "relative_cut",
        "group_by",
        "facets",
        "params",
        "timeout_ms",
        "with_vectors",
        "limt",
    ]
)
parts = st.dictionaries(st.sampled_from(["text", "image", "id", "weight"]), json_values | st.text())
queries = st.text() | st.lists(parts, max_size=3) | json_values
bodies = st.dictionaries(members, json_values, max_size=5).flatmap(
    lambda body: st.builds(lambda query: body | {"query": query}, queries)
)
quick = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.fixture
def ask(api: Api) -> Iterator[Any]:
    """Sends from a test that Hypothesis runs, which cannot be asynchronous."""
    with asyncio.Runner() as runner:

        def send(*arguments: Any, **options: Any) -> httpx.Response:
            return runner.run(api.client.request(*arguments, **options))

        yield send


def _check(response: httpx.Response) -> None:
    assert response.status_code < 500, response.text
    if response.status_code >= 400:
        problem = response.json()
        assert problem["status"] == response.status_code
        assert problem["code"] in CODES - {"internal"}
    else:
        assert response.status_code == 200


@quick
@given(body=bodies)
def test_json_of_any_shape(ask: Any, body: Any) -> None:
    content = json.dumps(body).encode()
    _check(ask("POST", PATH, content=content, headers={"content-type": "application/json"}))


@quick
@given(content=st.binary(max_size=200), kind=st.sampled_from(["application/json", "multipart/form-data; boundary=b"]))
def test_bytes_of_any_kind(ask: Any, content: bytes, kind: str) -> None:
    for path in (PATH, f"{PATH}/image"):
        _check(ask("POST", path, content=content, headers={"content-type": kind}))


@quick
@given(
    params=st.dictionaries(
        st.sampled_from(["q", "id", "limit", "offset", "cursor", "filter", "facets", "params", "min_score", "x"]),
        st.text(max_size=20),
    )
)
def test_addresses_of_any_kind(ask: Any, params: dict[str, str]) -> None:
    encodable = {name: value.encode("utf-8", "replace").decode() for name, value in params.items()}
    _check(ask("GET", PATH, params=encodable))


@quick
@given(item=st.text(min_size=1, max_size=40))
def test_ids_of_any_kind(ask: Any, item: str) -> None:
    quoted = "".join(f"%{byte:02x}" for byte in item.encode("utf-8", "replace"))
    _check(ask("GET", f"/v1/collections/products/items/{quoted}"))
    _check(ask("GET", f"/media/{quoted}"))
