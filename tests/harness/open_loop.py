"""Requests at a fixed rate, whether or not earlier ones are answered, and what became of each."""

import asyncio
import base64
import itertools
import random
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Final

import httpx

from tests.fixtures.shop import jpeg

PATH: Final = "/v1/collections/products/search"
MULTI: Final = "/v1/multi_search"
POOLED: Final = 0.8
"""Share of the requests that come over kept connections."""
PATIENCE_MS: Final = 10_000
"""As long as a caller may ask for: a machine that is slow shall show as latency, and nothing but a loss as a loss."""
_TIMEOUT_S: Final = 30.0
_WORDS: Final = (
    "red",
    "blue",
    "striped",
    "floral",
    "plain",
    "long",
    "short",
    "dress",
    "shirt",
    "coat",
    "skirt",
    "shoe",
)


@dataclass(frozen=True)
class Asked:
    """One request.

    Args:
        at: when it was due, of time.monotonic().
        form: what was asked, over which kind of connection.
        latency_ms: from then to the last byte of its answer, or to its failure.
        late_ms: of these, until it was sent; a caller that has no core to run on is late.
        outcome: the status (of several searches the worst one), or the name of the client's exception.
    """

    at: float
    form: str
    latency_ms: float
    late_ms: float
    outcome: str

    @property
    def lost(self) -> bool:
        return self.outcome != "200"


class OpenLoop:
    """Callers with pools of their own, one that opens a connection for every request, and one whose connection idles
    in its pool from the first moment to the last.

    Each pool carries so little that its connections are silent most of the time: the case in which a server that closes
    one between two requests loses requests.

    Args:
        base_url: of the Service.
        rate: requests a second.
        callers: pools.
        rng: draws callers and queries.
    """

    def __init__(self, base_url: str, rate: float, callers: int, rng: random.Random) -> None:
        self.asked: list[Asked] = []
        self.sent = 0
        self._base_url = base_url
        self._rate = rate
        self._callers = callers
        self._rng = rng
        self._numbers = itertools.count()

    async def run(self, until: asyncio.Event) -> None:
        """Asks until told, then waits for the answers that are due."""
        async with AsyncExitStack() as stack:
            opened = [await stack.enter_async_context(self._client()) for _ in range(self._callers)]
            fresh = await stack.enter_async_context(self._client(httpx.Limits(max_keepalive_connections=0)))
            idle = await stack.enter_async_context(self._client())
            await self._ask(idle, time.monotonic(), "idle")
            async with asyncio.TaskGroup() as group:
                began = time.monotonic()
                for number in itertools.count():
                    due = began + number / self._rate
                    await asyncio.sleep(max(0.0, due - time.monotonic()))
                    if until.is_set():
                        break
                    pooled = self._rng.random() < POOLED
                    client = self._rng.choice(opened) if pooled else fresh
                    group.create_task(self._ask(client, due, "pooled" if pooled else "fresh"))
            await self._ask(idle, time.monotonic(), "idle")

    def _client(self, limits: httpx.Limits | None = None) -> httpx.AsyncClient:
        # As most pools are set: a connection is kept for as long as the server keeps it.
        limits = limits or httpx.Limits(keepalive_expiry=None)
        return httpx.AsyncClient(base_url=self._base_url, timeout=_TIMEOUT_S, trust_env=False, limits=limits)

    async def _ask(self, client: httpx.AsyncClient, due: float, connection: str) -> None:
        form, method, path, body = self._request()
        self.sent += 1
        late_ms = (time.monotonic() - due) * 1000
        try:
            outcome = _worst(await client.request(method, path, json=body))
        except httpx.HTTPError as error:
            outcome = type(error).__name__
        latency_ms = (time.monotonic() - due) * 1000
        self.asked.append(Asked(due, f"{form}, {connection}", latency_ms, late_ms, outcome))

    def _request(self) -> tuple[str, str, str, Any]:
        """Form, method, path and body of a query that nobody has asked before."""
        number, draw = next(self._numbers), self._rng.random()
        text = f"{' '.join(self._rng.sample(_WORDS, 3))} {number}"
        if draw < 0.84:
            return "text", "POST", PATH, {"query": text, "timeout_ms": PATIENCE_MS}
        if draw < 0.94:
            return "text", "GET", f"{PATH}?q={text.replace(' ', '+')}&timeout_ms={PATIENCE_MS}", None
        if draw < 0.97:
            searches = [{"collection": "products", "query": f"{text} {part}"} for part in range(3)]
            return "multi_search", "POST", MULTI, {"searches": searches, "timeout_ms": PATIENCE_MS}
        return "image", "POST", PATH, {"query": image_query(number), "timeout_ms": PATIENCE_MS}


def image_query(seed: int) -> list[dict[str, str]]:
    """A picture as the query."""
    return [{"image": f"data:image/jpeg;base64,{base64.b64encode(jpeg(seed)).decode()}"}]


def _worst(response: httpx.Response) -> str:
    """The status, or that of the worst of several searches."""
    inner = response.json()["results"] if response.is_success and response.request.url.path == MULTI else ()
    return str(max([response.status_code, *(one["status"] for one in inner)]))


def lost(asked: Iterable[Asked]) -> Counter[str]:
    """Requests without a 200, by what was asked and what came instead."""
    return Counter(f"{one.form}: {one.outcome}" for one in asked if one.lost)


def percentile(asked: Sequence[Asked], share: float) -> float:
    """Milliseconds within which so large a share of the requests was over; 0 for none."""
    latencies = sorted(one.latency_ms for one in asked)
    return latencies[min(len(latencies) - 1, int(share * len(latencies)))] if latencies else 0.0
