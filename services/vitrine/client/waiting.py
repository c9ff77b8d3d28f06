"""When a call is tried again, and how long it waits before: decided here, slept through by the clients."""

import random
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Final

import httpx

from vitrine.client.errors import GatewayUnreachable

LONGEST_PAUSE_S: Final = 5.0
"""A gateway that asks for a longer pause is not waited for: its refusal is the answer."""
_FIRST_PAUSE_S: Final = 0.1
# Long enough for a lost first packet (sent again after 1 and 3 s), short enough to leave time for another try.
_LONGEST_CONNECT_S: Final = 4.0
_TOO_BUSY: Final = frozenset({429, 503})
# A time that is used up is not among them: there is none left for another try.
_PASSING: Final = (httpx.NetworkError, httpx.ConnectTimeout, httpx.RemoteProtocolError)


def seconds_asked_for(headers: Mapping[str, str]) -> float | None:
    """`Retry-After` in seconds from now, given as such or as a date; None when absent or unreadable."""
    value = headers.get("retry-after")
    if value is None:
        return None
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None


class Tries:
    """The tries of one call: at most `retries` after the first, all within `timeout_s`.

    Every call of this API can be sent twice: searches and embeddings only read, writes name the ids they write, and a
    collection that is loaded twice is loaded. So a connection that broke off in the middle is no reason to give up.

    Args:
        patient: whether 429 and 503 are waited for; to some calls they are the answer.
        clock: seconds that only rise.
        jitter: a number of [0, 1), by which callers who were refused together come back apart.
    """

    def __init__(
        self,
        *,
        retries: int,
        timeout_s: float,
        patient: bool = True,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._left = retries
        self._done = 0
        self._timeout_s = timeout_s
        self._clock = clock
        self._deadline = clock() + timeout_s
        self._patient = patient
        self._jitter = jitter

    def remaining(self) -> float:
        """Seconds left for the whole call.

        Raises:
            httpx.ReadTimeout: none are left.
        """
        left = self._deadline - self._clock()
        if left <= 0:
            raise httpx.ReadTimeout(f"not within {self._timeout_s:g} s")
        return left

    def limits(self) -> httpx.Timeout:
        """How long the next try may wait for the network."""
        left = self.remaining()
        return httpx.Timeout(left, connect=min(left, _LONGEST_CONNECT_S))

    def pause_after_answer(self, status: int, headers: Mapping[str, str]) -> float | None:
        """Seconds to wait before the same is sent again; None when this answer is the last."""
        if status not in _TOO_BUSY or not self._patient:
            return None
        asked = seconds_asked_for(headers) or 0.0
        return self._next_pause(asked) if asked <= LONGEST_PAUSE_S else None

    def pause_after_failure(self, error: httpx.HTTPError, server: str) -> float:
        """Seconds to wait before the same is sent again.

        Args:
            server: what does not answer, for the message.

        Raises:
            GatewayUnreachable: it is not sent again.
        """
        pause = self._next_pause(0.0) if isinstance(error, _PASSING) else None
        if pause is None:
            raise GatewayUnreachable(f"{server} does not answer: {self._reason(error)}.") from error
        return pause

    def _next_pause(self, least_s: float) -> float | None:
        backoff = _FIRST_PAUSE_S * (1 << self._done)
        pause = max(least_s, backoff / 2) + backoff * self._jitter()
        if self._left == 0 or self._clock() + pause >= self._deadline:
            return None
        self._left -= 1
        self._done += 1
        return pause

    def _reason(self, error: httpx.HTTPError) -> str:
        # httpx itself says nothing at all about most of its timeouts.
        match error:
            case httpx.PoolTimeout():
                return f"all connections were in use for {self._timeout_s:g} s"
            case httpx.ConnectTimeout():
                return "no connection in time"
            case httpx.TimeoutException():
                return f"not within {self._timeout_s:g} s"
            case _:
                return str(error).rstrip(".") or type(error).__name__
