import asyncio
import time
from typing import Any

import pytest

from tests.unit.gateway.conftest import Api

SEARCH = "/v1/collections/products/search"


class Caller:
    """One connection, spoken to as the HTTP server does."""

    def __init__(self, api: Api, method: str, path: str, body: bytes = b"") -> None:
        self.gone = asyncio.Event()
        self.sent: list[dict[str, Any]] = []
        self._api = api
        self._body = body
        self._asked = 0
        host, _, query = path.partition("?")
        headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
        if body:
            headers.append((b"content-length", str(len(body)).encode()))
        self._scope = {
            "type": "http",
            "method": method,
            "path": host,
            "raw_path": host.encode(),
            "query_string": query.encode(),
            "headers": headers,
        }

    async def _receive(self) -> dict[str, Any]:
        self._asked += 1
        if self._asked == 1:
            return {"type": "http.request", "body": self._body, "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        self.sent.append(message)

    async def ask(self) -> int:
        """The status of the answer, whether anybody reads it or not."""
        await self._api.app(dict(self._scope), self._receive, self._send)
        status: int = self.sent[0]["status"]
        return status


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", f"{SEARCH}?q=dress&timeout_ms=10000", b""),
        ("POST", SEARCH, b'{"query":"dress","timeout_ms":10000}'),
        ("POST", "/v1/multi_search", b'{"searches":[{"collection":"products","query":"x"}],"timeout_ms":10000}'),
    ],
)
async def test_a_search_ends_when_its_caller_leaves(api: Api, method: str, path: str, body: bytes) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def hang() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    api.searcher.before = hang
    caller = Caller(api, method, path, body)
    began = time.monotonic()
    asking = asyncio.create_task(caller.ask())
    await begun.wait()
    caller.gone.set()
    async with asyncio.timeout(5):
        assert await asking == 400
    assert ended.is_set()
    assert time.monotonic() - began < 5
    exposed = api.metrics.exposition("")[0].decode()
    assert 'vitrine_http_errors_total{code="client_gone"} 1.0' in exposed


async def test_a_caller_who_stays_is_answered_after_a_long_search_too(api: Api) -> None:
    async def work() -> None:
        await asyncio.sleep(0.2)

    api.searcher.before = work
    assert await Caller(api, "GET", f"{SEARCH}?q=dress").ask() == 200


async def test_the_deadline_still_ends_a_search_that_is_watched(api: Api) -> None:
    async def hang() -> None:
        await asyncio.Event().wait()

    api.searcher.before = hang
    assert await Caller(api, "GET", f"{SEARCH}?q=dress&timeout_ms=200").ask() == 504


async def test_a_shutdown_that_cancels_is_no_departure(api: Api) -> None:
    begun = asyncio.Event()

    async def hang() -> None:
        begun.set()
        await asyncio.Event().wait()

    api.searcher.before = hang
    asking = asyncio.create_task(Caller(api, "GET", f"{SEARCH}?q=dress&timeout_ms=10000").ask())
    await begun.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_nothing_is_left_running(api: Api) -> None:
    async def work() -> None:
        await asyncio.sleep(0.1)

    api.searcher.before = work
    await Caller(api, "GET", f"{SEARCH}?q=dress").ask()
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}
