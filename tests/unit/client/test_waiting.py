"""What is tried again, when, and for how long: by the decisions themselves, then by real connections."""

import math
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fixtures.clients import Asker
from tests.unit.client.conftest import OpenClient, Scripted, Seen, Step
from vitrine.client import ApiError, GatewayUnreachable
from vitrine.client.waiting import LONGEST_PAUSE_S, Tries, seconds_asked_for

BUSY = b'{"code": "overloaded", "detail": "Too much at once."}'
FOREVER_S = 30.0


class Clock:
    """Time that passes only when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("3", 3.0),
        ("soon", None),
        ("-1", None),
        ("", None),
        ("1.5", None),
        ("٣", None),
        ("9" * 400, math.inf),
    ],
)
def test_retry_after_is_read_where_it_can_be(value: str, seconds: float | None) -> None:
    assert seconds_asked_for({"retry-after": value}) == seconds


def test_retry_after_may_be_a_date() -> None:
    ahead = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    assert seconds_asked_for({"retry-after": ahead}) == pytest.approx(60, abs=5)
    assert seconds_asked_for({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0.0
    assert seconds_asked_for({}) is None


@given(
    retries=st.integers(0, 10),
    timeout_s=st.floats(0.05, 60),
    asked=st.lists(st.integers(0, 8), min_size=11, max_size=11),
    took=st.lists(st.floats(0, 3), min_size=11, max_size=11),
    jitter=st.floats(0, 1, exclude_max=True),
)
def test_pauses_are_as_long_as_asked_and_end_with_the_time(
    retries: int, timeout_s: float, asked: list[int], took: list[float], jitter: float
) -> None:
    clock = Clock()
    tries = Tries(retries=retries, timeout_s=timeout_s, clock=clock, jitter=lambda: jitter)
    repeats = 0
    for seconds, spent in zip(asked, took, strict=True):
        clock.now += spent
        pause = tries.pause_after_answer(503, {"retry-after": str(seconds)})
        if pause is None:
            break
        repeats += 1
        assert pause >= seconds
        assert seconds <= LONGEST_PAUSE_S
        clock.now += pause
        assert clock.now < 100 + timeout_s
    assert repeats <= retries


def test_pauses_grow_and_differ_between_callers() -> None:
    def pauses(jitter: float) -> list[float]:
        tries = Tries(retries=4, timeout_s=FOREVER_S, clock=lambda: 0.0, jitter=lambda: jitter)
        return [tries.pause_after_answer(503, {}) or 0.0 for _ in range(4)]

    assert pauses(0.0) == pytest.approx([0.05, 0.1, 0.2, 0.4])
    assert pauses(0.5) == pytest.approx([0.1, 0.2, 0.4, 0.8])


@pytest.mark.parametrize("status", [200, 204, 304, 400, 401, 404, 408, 422, 500, 502, 504])
def test_other_answers_are_final(status: int) -> None:
    assert Tries(retries=2, timeout_s=FOREVER_S).pause_after_answer(status, {"retry-after": "0"}) is None


@pytest.mark.parametrize(
    "error",
    [
        httpx.ReadTimeout(""),
        httpx.WriteTimeout(""),
        httpx.PoolTimeout(""),
        httpx.UnsupportedProtocol("no such scheme"),
        httpx.LocalProtocolError("illegal header"),
        httpx.DecodingError("no gzip"),
    ],
)
def test_failures_that_would_come_again_are_final(error: httpx.HTTPError) -> None:
    with pytest.raises(GatewayUnreachable) as caught:
        Tries(retries=2, timeout_s=FOREVER_S).pause_after_failure(error, "The gateway")
    assert caught.value.__cause__ is error


def test_a_connection_is_not_waited_for_so_long_that_no_second_try_is_left() -> None:
    limits = Tries(retries=2, timeout_s=10).limits()
    assert (limits.connect, limits.read) == (4.0, pytest.approx(10, abs=1))


async def test_a_busy_gateway_is_asked_again_with_the_same_body(server: Scripted, ask: Asker) -> None:
    server.answers(Step(503, BUSY), Step(429, BUSY), server.steps[0])
    assert (await ask("search", "products", "x", limit=3)).hits[0].id == "1"
    assert [seen.body for seen in server.seen] == [b'{"query":"x","limit":3}'] * 3


async def test_the_pause_that_the_gateway_asks_for_is_kept(server: Scripted, ask: Asker) -> None:
    server.answers(Step(503, BUSY, {"retry-after": "1"}), server.steps[0])
    await ask("search", "products", "x")
    first, second = server.seen
    assert second.at - first.at >= 1.0


async def test_after_the_last_try_the_refusal_is_the_answer(server: Scripted, ask: Asker) -> None:
    server.answers(Step(503, BUSY, {"retry-after": "0"}))
    with pytest.raises(ApiError) as caught:
        await ask("search", "products", "x")
    assert (caught.value.status, caught.value.code, caught.value.retry_after_s) == (503, "overloaded", 0.0)
    assert len(server.seen) == 3


@pytest.mark.parametrize(
    ("options", "retry_after"), [({}, "60"), ({"timeout_s": 1.0}, "1"), ({"retries": 0}, "0")], ids=str
)
async def test_what_cannot_be_waited_for_is_answered_at_once(
    server: Scripted, open_client: OpenClient, options: dict[str, float], retry_after: str
) -> None:
    server.answers(Step(429, BUSY, {"retry-after": retry_after}))
    ask = await open_client(**options)
    with pytest.raises(ApiError):
        await ask("search", "products", "x")
    assert len(server.seen) == 1


@pytest.mark.parametrize("status", [401, 422, 500, 502, 504])
async def test_other_refusals_are_not_repeated(server: Scripted, ask: Asker, status: int) -> None:
    server.answers(Step(status, BUSY, {"retry-after": "0"}))
    with pytest.raises(ApiError):
        await ask("search", "products", "x")
    assert len(server.seen) == 1


@pytest.mark.parametrize("body", [b"", b'{"hits": []}'], ids=["before the answer", "in the answer's middle"])
async def test_a_connection_that_breaks_off_is_made_anew(server: Scripted, ask: Asker, body: bytes) -> None:
    server.answers(Step(body=body, breaks=True), server.steps[0])
    assert (await ask("search", "products", "x")).hits[0].id == "1"
    assert len(server.seen) == 2


async def test_connections_that_break_off_again_and_again_are_given_up(server: Scripted, ask: Asker) -> None:
    server.answers(Step(body=b"", breaks=True))
    with pytest.raises(GatewayUnreachable, match="does not answer"):
        await ask("search", "products", "x")
    assert len(server.seen) == 3


async def test_a_kept_connection_that_the_server_closed_costs_nothing(server: Scripted, ask: Asker) -> None:
    good = server.steps[0]
    server.answers(good, Step(body=b"", breaks=True), good)
    for _ in range(2):
        assert (await ask("search", "products", "x")).hits
    assert len(server.seen) == 3


async def test_no_server_is_said_so(open_client: OpenClient) -> None:
    ask = await open_client("http://127.0.0.1:9")
    with pytest.raises(GatewayUnreachable, match=r"The gateway at http://127\.0\.0\.1:9 does not answer"):
        await ask("search", "products", "x")


@pytest.mark.parametrize("step", [Step(hangs=True), Step(drips=True)], ids=["silent", "dripping"])
async def test_the_time_of_a_call_is_its_whole_time(server: Scripted, open_client: OpenClient, step: Step) -> None:
    server.answers(step)
    ask = await open_client(timeout_s=0.4)
    began = time.monotonic()
    with pytest.raises(GatewayUnreachable, match=r"not within 0\.4 s"):
        await ask("search", "products", "x")
    assert 0.4 <= time.monotonic() - began < FOREVER_S / 2
    assert len(server.seen) == 1


async def test_further_tries_share_the_time(server: Scripted, open_client: OpenClient) -> None:
    server.answers(Step(503, BUSY), Step(hangs=True))
    ask = await open_client(timeout_s=0.8)
    began = time.monotonic()
    with pytest.raises(GatewayUnreachable, match=r"not within 0\.8 s"):
        await ask("search", "products", "x")
    assert time.monotonic() - began < FOREVER_S / 2
    assert len(server.seen) == 2


async def test_a_gateway_that_is_not_ready_is_an_answer_and_is_not_asked_again(server: Scripted, ask: Asker) -> None:
    checks = b'[{"name": "triton", "ok": false, "code": "encoder_unavailable", "detail": "Down."}]'
    body = b'{"code": "not_ready", "detail": "Not now.", "fingerprint": "f", "checks": ' + checks + b"}"
    server.answers(Step(503, body, {"retry-after": "0"}))
    readiness = await ask("ready")
    assert (readiness.ready, readiness.code) == (False, "not_ready")
    assert [(check.name, check.ok, check.code) for check in readiness.checks] == [
        ("triton", False, "encoder_unavailable")
    ]
    assert len(server.seen) == 1


async def test_a_proxy_in_front_of_nothing_is_not_ready_either(server: Scripted, ask: Asker) -> None:
    server.answers(Step(503, b"<html>no upstream</html>"))
    with pytest.raises(ApiError) as caught:
        await ask("ready")
    assert (caught.value.status, caught.value.code) == (503, "unexpected_answer")


def _paths(seen: list[Seen]) -> list[str]:
    return [f"{one.method} {one.path}" for one in seen]


async def test_writes_are_repeated_since_they_name_what_they_write(server: Scripted, ask: Asker) -> None:
    busy, done = Step(503, BUSY), Step(204, b"")
    server.answers(busy, done)
    assert await ask("delete_item", "products", "1") is True
    assert _paths(server.seen) == ["DELETE /v1/collections/products/items/1"] * 2
