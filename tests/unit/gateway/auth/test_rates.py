import pytest

from vitrine.gateway.auth.errors import RateLimited
from vitrine.gateway.auth.principal import ANYBODY, Principal, Rate
from vitrine.gateway.auth.rates import RateLimits, TokenBucket
from vitrine.gateway.context import RequestContext
from vitrine.telemetry.stages import StageClock


class _Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def _refused(bucket: TokenBucket, cost: int = 1) -> int:
    with pytest.raises(RateLimited) as caught:
        bucket.take(cost)
    return caught.value.retry_after_s


def _caller(name: str, rate: Rate | None) -> Principal:
    return Principal(name, frozenset(), rate=rate)


def test_a_burst_passes_at_once_and_then_the_rate_holds() -> None:
    clock = _Clock()
    bucket = TokenBucket(Rate(2, 3), clock)
    for _ in range(3):
        bucket.take(1)
    assert _refused(bucket) == 1
    clock.now += 0.5
    bucket.take(1)
    assert _refused(bucket) == 1


def test_over_a_long_time_no_more_than_the_rate_and_one_burst_pass() -> None:
    clock = _Clock()
    bucket = TokenBucket(Rate(5, 10), clock)
    passed = 0
    for step in range(10_000):
        clock.now = step * 0.01
        try:
            bucket.take(1)
        except RateLimited:
            continue
        passed += 1
    assert 5 * 99 <= passed <= 5 * 100 + 10


@pytest.mark.parametrize(("rate", "cost", "seconds"), [(0.1, 1, 10), (0.3, 1, 4), (10, 1, 1), (1, 3, 3), (7, 3, 1)])
def test_who_waits_as_long_as_told_is_let_through(rate: float, cost: int, seconds: int) -> None:
    clock = _Clock()
    bucket = TokenBucket(Rate(rate, 3), clock)
    bucket.take(3)
    assert _refused(bucket, cost) == seconds
    clock.now += seconds
    bucket.take(cost)


def test_a_silence_is_saved_up_to_one_burst_only() -> None:
    clock = _Clock()
    bucket = TokenBucket(Rate(100, 2), clock)
    clock.now += 3600
    bucket.take(2)
    assert _refused(bucket) == 1


def test_a_refusal_takes_nothing() -> None:
    clock = _Clock()
    bucket = TokenBucket(Rate(1, 5), clock)
    bucket.take(4)
    for _ in range(10):
        _refused(bucket, 3)
    bucket.take(1)


def test_what_costs_more_than_a_burst_passes_with_a_full_bucket_and_is_paid_off_afterwards() -> None:
    clock = _Clock()
    bucket = TokenBucket(Rate(1, 4), clock)
    bucket.take(1)
    assert _refused(bucket, 32) == 1
    clock.now += 1
    bucket.take(32)
    assert _refused(bucket) == 29
    clock.now += 28
    assert _refused(bucket) == 1
    clock.now += 1
    bucket.take(1)


def test_a_request_of_many_pays_one_at_the_edge_and_the_rest_later() -> None:
    clock = _Clock()
    bucket = TokenBucket(Rate(1, 4), clock)
    context = RequestContext("r", StageClock(), allowance=bucket)
    bucket.take(1)
    context.charge(31)
    assert _refused(bucket) == 29
    clock.now += 31
    bucket.take(1)
    with pytest.raises(RateLimited) as caught:
        context.charge(31)
    assert caught.value.retry_after_s == 1


def test_even_a_burst_of_one_lets_a_request_of_many_through() -> None:
    bucket = TokenBucket(Rate(1, 1), _Clock())
    bucket.take(1)
    RequestContext("r", StageClock(), allowance=bucket).charge(9)
    assert _refused(bucket) == 10


@pytest.mark.parametrize("requests", [0, -1])
def test_a_request_that_stands_for_itself_costs_no_more(requests: int) -> None:
    bucket = TokenBucket(Rate(1, 2), _Clock())
    bucket.take(2)
    RequestContext("r", StageClock(), allowance=bucket).charge(requests)
    assert _refused(bucket) == 1


def test_without_a_rate_anything_passes() -> None:
    assert RateLimits().bucket_of(ANYBODY) is None
    RequestContext("r", StageClock()).charge(10**9)


def test_callers_do_not_share_a_bucket_and_keep_their_own() -> None:
    limits = RateLimits(_Clock())
    rate = Rate(1, 1)
    first, second = limits.bucket_of(_caller("a", rate)), limits.bucket_of(_caller("b", rate))
    assert first is not second
    assert limits.bucket_of(_caller("a", Rate(1, 1))) is first


def test_a_changed_rate_is_in_force_at_once() -> None:
    limits = RateLimits(_Clock())
    slow = limits.bucket_of(_caller("a", Rate(1, 1)))
    fast = limits.bucket_of(_caller("a", Rate(9, 9)))
    assert slow is not None
    assert fast is not None
    assert (slow.rate, fast.rate) == (Rate(1, 1), Rate(9, 9))


def test_the_number_of_buckets_is_bounded_and_the_longest_unused_goes_first() -> None:
    limits = RateLimits(_Clock(), max_buckets=3)
    rate = Rate(1, 1)
    kept = limits.bucket_of(_caller("kept", rate))
    forgotten = limits.bucket_of(_caller("forgotten", rate))
    for n in range(2):
        limits.bucket_of(_caller("kept", rate))
        limits.bucket_of(_caller(f"other-{n}", rate))
    assert limits.bucket_of(_caller("kept", rate)) is kept
    assert limits.bucket_of(_caller("forgotten", rate)) is not forgotten
    assert len(limits._buckets) == 3
