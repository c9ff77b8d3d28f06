"""Callers of a watched gateway: they search again and again, and time what they wait for."""

import threading
import time
from collections import Counter, deque
from itertools import count
from typing import Final, Self

import httpx

from vitrine.local.objectives import GOALS, Goal

EDGES_S: Final = {"latency250": 0.25, "latency50": 0.05}
ALERTS: Final = {"latency250": "SearchLatency250BudgetBurn", "latency50": "SearchLatency50BudgetBurn"}
BURNS: Final = {"14.4": 3600.0, "6": 21_600.0, "3": 86_400.0, "1": 259_200.0}
"""Long windows (s) of docs/slo.md, by burn rate."""
LEAST: Final = 5
"""Bad searches in the long window without which no alert of burn rates fires."""
EARLIER: Final = 0.5
"""Callers' windows end with an answer, Prometheus' with a scrape: near a threshold the two may differ."""


class Waits:
    """What callers waited for searches that were answered 200, by their own clocks.

    Args:
        factor: by which the rules' time is divided.
    """

    def __init__(self, factor: float) -> None:
        self._factor = factor
        self._all: list[tuple[float, float]] = []

    def add(self, seconds: float) -> None:
        """One that is answered now. May be called from any thread."""
        self._all.append((time.time(), seconds))

    def slow(self, since: float) -> set[str]:
        """Identities of the alerts of latency that are right at some time since then (Unix s).

        A gateway cannot have taken longer than its caller waited, so no other one may fire.
        """
        return {
            f"{ALERTS[goal.name]} {burn}"
            for goal in GOALS
            if goal.name in EDGES_S
            for burn, window_s in BURNS.items()
            if self._burned(goal, float(burn), window_s / self._factor, since)
        }

    def _burned(self, goal: Goal, burn: float, window_s: float, since: float) -> bool:
        """Whether in any window that ends since then so large a share was slow as burns the budget so fast."""
        within: deque[tuple[float, bool]] = deque()
        slow = 0
        for at, seconds in sorted(self._all):
            within.append((at, seconds >= EDGES_S[goal.name]))
            slow += within[-1][1]
            while within[0][0] <= at - window_s:
                slow -= within.popleft()[1]
            share = slow / len(within)
            if at >= since and slow >= LEAST * EARLIER and share > burn * goal.budget * EARLIER:
                return True
        return False


class Load:
    """Searches by threads that each ask again and again, for as long as the context lasts.

    Args:
        url: of the gateway.
        alias: what is searched.
        waits: told of every answer.
        threads: at once.
        pause_s: of each between two searches.
        timeout_ms: what each search asks for.
    """

    _numbers = count()

    def __init__(
        self, url: str, alias: str, waits: Waits, *, threads: int = 1, pause_s: float = 0.06, timeout_ms: int = 2000
    ) -> None:
        self.statuses: Counter[int] = Counter()
        self._url = url
        self._path = f"/v1/collections/{alias}/search"
        self._waits = waits
        self._pause_s = pause_s
        self._timeout_ms = timeout_ms
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(threads)]

    def _ask(self) -> None:
        with httpx.Client(base_url=self._url, timeout=10) as http:
            while not self._over.wait(self._pause_s):
                body = {"query": f"red dress {next(self._numbers)}", "timeout_ms": self._timeout_ms}
                began = time.monotonic()
                try:
                    status = http.post(self._path, json=body).status_code
                except httpx.TransportError:
                    status = 0  # the stack is brought down at the end
                if status == 200:
                    self._waits.add(time.monotonic() - began)
                self.statuses[status] += 1

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()
