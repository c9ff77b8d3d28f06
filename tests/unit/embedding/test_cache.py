"""The cache's bounds, by any sequence of use, on a clock of the test's own."""

import random
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from vitrine.embedding.cache import CacheKey, EmbeddingCache
from vitrine.settings import CacheSettings
from vitrine.telemetry.metrics import EmbeddingCacheMetrics

FINGERPRINT = "f" * 64
VECTOR = np.ones(512, np.float32)


def key(text: str) -> CacheKey:
    return (FINGERPRINT, text)


class Clock:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


class Bench:
    """A cache, its clock and its figures."""

    def __init__(self, max_bytes: int = 1 << 20, ttl_s: float = 60) -> None:
        self.clock = Clock()
        self.registry = CollectorRegistry()
        self.cache = EmbeddingCache(
            CacheSettings(max_bytes=max_bytes, ttl_s=ttl_s), EmbeddingCacheMetrics(self.registry), self.clock
        )

    def figure(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"vitrine_embedding_cache_{name}", labels)


def entry_bytes() -> int:
    bench = Bench()
    bench.cache.keep(key("a"), VECTOR)
    return bench.cache.bytes


def test_what_was_kept_is_given_back_whole() -> None:
    bench = Bench()
    bench.cache.keep(key("a"), VECTOR, tokens=7, truncated=True)
    found = bench.cache.get(key("a"))
    assert found is not None
    assert (found.tokens, found.truncated) == (7, True)
    np.testing.assert_array_equal(found.vector, VECTOR)
    assert bench.cache.get(key("b")) is None
    assert bench.cache.get(("0" * 64, "a")) is None, "another model's embedding"


def test_texts_and_pictures_have_names_of_their_own() -> None:
    bench = Bench()
    bench.cache.keep((FINGERPRINT, "ab"), VECTOR)
    assert bench.cache.get((FINGERPRINT, b"ab")) is None


def test_a_vector_handed_out_cannot_be_written() -> None:
    bench = Bench()
    batch = np.ones((4, 512), np.float32)
    given_back = bench.cache.keep(key("a"), batch[0])
    batch[0] = 7
    found = bench.cache.get(key("a"))
    assert found is not None
    for vector in (given_back.vector, found.vector):
        assert vector[0] == 1
        with pytest.raises(ValueError, match="read-only"):
            vector[0] = 2
        assert vector.base is None, "it keeps a batch alive"


def test_what_was_not_used_for_the_longest_time_goes_first() -> None:
    bench = Bench(max_bytes=3 * entry_bytes())
    for name in "abc":
        bench.cache.keep(key(name), VECTOR)
    bench.cache.get(key("a"))
    bench.cache.keep(key("d"), VECTOR)
    assert [name for name in "abcd" if bench.cache.get(key(name))] == ["a", "c", "d"]
    assert bench.figure("evictions_total", reason="size") == 1


def test_what_is_kept_again_counts_once() -> None:
    bench = Bench()
    for _ in range(5):
        bench.cache.keep(key("a"), VECTOR)
    assert len(bench.cache) == 1
    assert bench.cache.bytes == entry_bytes()


def test_age_counts_from_when_it_was_embedded_however_often_it_is_used() -> None:
    bench = Bench(ttl_s=60)
    bench.cache.keep(key("a"), VECTOR)
    bench.clock.seconds += 59.9
    assert bench.cache.get(key("a")) is not None
    bench.clock.seconds += 0.1
    assert bench.cache.get(key("a")) is None
    assert (len(bench.cache), bench.cache.bytes) == (0, 0)
    assert bench.figure("evictions_total", reason="age") == 1


@pytest.mark.parametrize("max_bytes", [0, 100, entry_bytes() - 1])
def test_an_embedding_larger_than_the_room_is_given_but_not_kept(max_bytes: int) -> None:
    bench = Bench(max_bytes=max_bytes)
    np.testing.assert_array_equal(bench.cache.keep(key("a"), VECTOR).vector, VECTOR)
    assert len(bench.cache) == 0
    assert bench.figure("evictions_total", reason="size") == 0


def test_one_that_finds_no_room_leaves_none_from_before_in_its_place() -> None:
    bench = Bench(max_bytes=entry_bytes())
    bench.cache.keep(key("a"), VECTOR)
    bench.cache.keep(key("a"), np.concatenate([VECTOR, VECTOR]))
    assert bench.cache.get(key("a")) is None
    assert (len(bench.cache), bench.cache.bytes) == (0, 0)


NAMES = st.text(max_size=40) | st.binary(min_size=32, max_size=32)
STEPS = st.one_of(
    st.tuples(st.just("keep"), NAMES, st.integers(1, 600)),
    st.tuples(st.just("get"), NAMES, st.just(0)),
    st.tuples(st.just("wait"), st.just(""), st.integers(0, 40)),
)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 20_000), st.lists(STEPS, max_size=60))
def test_no_use_breaks_the_bound_or_gives_what_is_too_old(
    max_bytes: int, steps: "list[tuple[str, str | bytes, int]]"
) -> None:
    bench = Bench(max_bytes=max_bytes, ttl_s=60)
    born: dict[str | bytes, tuple[float, int]] = {}
    for action, name, number in steps:
        if action == "keep":
            bench.cache.keep((FINGERPRINT, name), np.full(number, number, np.float32))
            born[name] = (bench.clock.seconds, number)
        elif action == "wait":
            bench.clock.seconds += number
        elif (found := bench.cache.get((FINGERPRINT, name))) is not None:
            kept_at, value = born[name]
            assert bench.clock.seconds - kept_at < 60
            assert found.vector.tolist() == [value] * value
        assert bench.cache.bytes <= max_bytes
        assert (bench.figure("bytes"), bench.figure("entries")) == (bench.cache.bytes, len(bench.cache))
    for name in born:
        bench.clock.seconds += 61
        assert bench.cache.get((FINGERPRINT, name)) is None
    assert (len(bench.cache), bench.cache.bytes) == (0, 0), "an entry's bytes were not given back"


def _short(n: int) -> str:
    return f"query {n}"


def _long(n: int) -> str:
    return f"{n:06}" + "très long " * 100


@pytest.mark.parametrize("name", [_short, _long])
@pytest.mark.parametrize("max_bytes", [300_000, 3_000_000, 14_100_000])
def test_the_bound_is_one_of_real_memory(name: Callable[[int], str], max_bytes: int) -> None:
    """Filled to the brim and then some, with what else the process holds for it counted by the interpreter."""
    bench = Bench(max_bytes=max_bytes)
    order = random.Random(1).sample(range(20_000), max_bytes // 1_500)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for n in order:
            bench.cache.keep(key(name(n)), VECTOR)
        used = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert bench.figure("evictions_total", reason="size")
    assert bench.cache.bytes > 0.9 * max_bytes - 5_000
    assert 0.9 * bench.cache.bytes < used <= max_bytes
