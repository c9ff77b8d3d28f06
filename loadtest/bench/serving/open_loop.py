"""Arrivals at a rate, whether or not the answers keep up: latency counts from the moment that a request was due."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from loadtest.bench.http_connection import Connection
from loadtest.bench.serving.systems import search_body

MOST_CONNECTIONS: Final = 1_024
PATIENCE_S: Final = 15.0
OK: Final = 200
REFUSALS: Final = frozenset({429, 503})
NOT_SENT: Final = 0
BROKEN: Final = -1


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one request.

    Args:
        due_s: when it was to be sent, since the first could have been.
        seconds: from then to its answer.
        status: of HTTP; `NOT_SENT` when all connections were taken, `BROKEN` when its connection failed.
        retry_after: whether the answer said when to come again.
    """

    due_s: float
    seconds: float
    status: int
    retry_after: bool


class Callers:
    """Connections to one gateway that requests take as they come, and as many as they need up to a bound.

    Args:
        url: of the gateway.
        path: of the route.
        texts: asked in turn.
    """

    def __init__(self, url: str, path: str, texts: Iterator[str]) -> None:
        self._url = url
        self._path = path
        self._texts = texts
        self._idle: list[Connection] = []
        self._open = 0

    async def ask(self) -> tuple[int, bool]:
        """Status of the answer to the next text, and whether it came with Retry-After."""
        if not self._idle and self._open >= MOST_CONNECTIONS:
            return NOT_SENT, False
        try:
            connection = await self._connection()
            request = connection.request("POST", self._path, search_body(next(self._texts)))
            answer = await connection.exchange(request)
        except OSError:
            self._open -= 1
            return BROKEN, False
        if connection.usable:
            self._idle.append(connection)
        else:
            self._open -= 1
            connection.close()
        return answer.status, b"retry-after" in answer.headers

    async def connect(self, connections: int) -> None:
        """Opens so many beforehand, as a proxy keeps them: an overload is of requests, not of handshakes."""
        for _ in range(min(connections, MOST_CONNECTIONS) - self._open):
            self._open += 1
            self._idle.append(await Connection.open(self._url))

    def close(self) -> None:
        """Ends the connections that nobody uses."""
        for connection in self._idle:
            connection.close()
        self._idle.clear()

    async def _connection(self) -> Connection:
        if self._idle:
            return self._idle.pop()
        self._open += 1
        return await Connection.open(self._url)


async def arrive(callers: Callers, rate: float, seconds: float, seed: int = 7) -> list[Outcome]:
    """Sends requests at times of a Poisson process and waits for all their answers."""
    draw = np.random.default_rng(seed)
    due = np.cumsum(draw.exponential(1 / rate, size=max(1, round(rate * seconds))))
    outcomes: list[Outcome] = []
    began = time.perf_counter()

    async def one(due_s: float) -> None:
        status, retry_after = await callers.ask()
        outcomes.append(Outcome(due_s, time.perf_counter() - began - due_s, status, retry_after))

    async with asyncio.timeout(float(due[-1]) + PATIENCE_S), asyncio.TaskGroup() as group:
        for due_s in due.tolist():
            wait = due_s - (time.perf_counter() - began)
            if wait > 0:
                await asyncio.sleep(wait)
            group.create_task(one(due_s))
    return outcomes


def percentile_ms(outcomes: list[Outcome], percent: float) -> float:
    """Milliseconds; 0 without outcomes."""
    if not outcomes:
        return 0.0
    return float(np.percentile([outcome.seconds for outcome in outcomes], percent)) * 1000
