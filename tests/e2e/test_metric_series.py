"""Whatever is sent to a gateway, the number of its series is bounded, and small."""

import itertools
import random
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import quote

import httpx
import pytest

from tests.e2e.conftest import OpenGateway
from tests.e2e.writable import Writable
from tests.fixtures.serving import RunningGateway
from tests.fixtures.stack import RunningStack
from tests.harness.series import most_series, series_of
from vitrine.gateway.auth.keys import new_key

ROUNDS: Final = 12
"""Requests of each kind; every one has a name, path, method or token of its own."""
_SYLLABLES: Final = ("red", "Kleid", "服", "%2e%2e", "a" * 60, "'", "{alias}", "\u202e", ";", "NaN", "..", "search")


def _names(rng: random.Random) -> Iterator[str]:
    for number in itertools.count():
        yield f"{rng.choice(_SYLLABLES)}{rng.choice(_SYLLABLES)}{number}"


def _strange(http: httpx.Client, alias: str, rng: random.Random) -> None:
    """One round of everything that a label could be made of."""
    names = _names(rng)
    for _ in range(ROUNDS):
        name, other = next(names), next(names)
        at = quote(name, safe="")
        http.get(f"/{at}/{other}")
        http.get(f"/v1/collections/{at}/search", params={"q": other})
        http.post(f"/v1/collections/{at}/search", json={"query": other, other: 1})
        http.post("/v1/multi_search", json={"searches": [{"collection": name[:60], "query": other}] * 2})
        http.request(f"X{rng.randrange(10**9)}", f"/v1/collections/{at}/search")
        http.request("PURGE", "/v1/limits")
        http.get(f"/v1/collections/{alias}/items/{at}")
        http.put(f"/v1/collections/{alias}/items/{at}", json={"title": other})
        http.delete(f"/v1/collections/{alias}/items/{at}")
        http.post(f"/v1/collections/{at}/load")
        http.post("/v1/embeddings", json={"model": name, "input": other})
        http.get(f"/v1/models/{at}")
        http.get(f"/media/{at}")
        http.get(f"/{at}.js")
        http.post(f"/v1/collections/{alias}/search", content=b"{", headers={"content-type": f"application/{other!a}"})
        http.get("/v1/limits", headers={"authorization": f"Bearer vtr_{rng.randrange(10**12)}"})
        http.get("/v1/limits", headers={"host": f"h{rng.randrange(10**9)}.example", "origin": f"https://{other!a}"})
        http.get("/", headers={"x-request-id": other.encode(), "traceparent": f"00-{rng.randbytes(16).hex()}-x-01"})


def _garbage(gateway: RunningGateway, rng: random.Random) -> None:
    """Bytes that are no HTTP."""
    host, port = gateway.url.removeprefix("http://").split(":")
    for _ in range(10):
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            connection.sendall(rng.randbytes(64) + b"\r\n\r\n")


@pytest.mark.usefixtures("shop")
def test_strange_requests_make_no_series(open_gateway: OpenGateway, stack: RunningStack, shop: Path) -> None:
    gateway = open_gateway(media_root=shop)
    writable = Writable(stack.settings, "metrics_fuzzed")
    rng = random.Random(11)
    _strange(gateway.http, writable.alias, rng)
    gateway.http.get("/metrics")
    known = series_of(gateway.http.get("/metrics").text)
    for _ in range(2):
        _strange(gateway.http, writable.alias, rng)
    _garbage(gateway, rng)
    series = series_of(gateway.http.get("/metrics").text)
    assert series - known == set()
    assert 300 < len(series) < 1500 < most_series(), "as docs/metrics.md says"


def test_strange_callers_make_no_series(open_gateway: OpenGateway, tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    keys.write_text('{"keys": []}')
    gateway = open_gateway({"VITRINE_AUTH__MODE": "on", "VITRINE_AUTH__KEYS_FILE": str(keys)})
    known: set[object] = set()
    for number in range(20):
        for token in (new_key(f"nobody-{number}"), f"{number}.e30.x", "vitrine_" + "x" * number, "-"):
            answer = gateway.http.get("/v1/limits", headers={"authorization": f"Bearer {token}"})
            assert answer.status_code == 401
        if number < 2:
            known = set(series_of(gateway.http.get("/metrics").text))
    series = series_of(gateway.http.get("/metrics").text)
    assert ("vitrine_http_errors_total", frozenset({("code", "unauthenticated")})) in series
    assert series - known == set()
