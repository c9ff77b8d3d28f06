import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitrine.tuning.frontier import Point, closest, frontier, least_mean
from vitrine.vectorstore.index_params import Hnsw, IvfFlat


def point(ef: int, recall: float, p99_ms: float, least_recall: float | None = None) -> Point:
    least = recall if least_recall is None else least_recall
    return Point(Hnsw(ef=ef), True, recall, least, p99_ms / 2, p99_ms)


points = st.lists(
    st.builds(
        point,
        st.integers(1, 4_096),
        # Few different values, so that ties are common.
        st.integers(0, 20).map(lambda share: share / 20),
        st.integers(1, 20).map(float),
    ),
    max_size=40,
)


def dominates(one: Point, other: Point) -> bool:
    as_good = one.recall >= other.recall and one.p99_ms <= other.p99_ms
    return as_good and (one.recall > other.recall or one.p99_ms < other.p99_ms)


@given(points)
def test_no_kept_point_is_dominated_and_every_other_is_dominated_or_equalled(given_points: list[Point]) -> None:
    kept = frontier(given_points)
    assert not any(dominates(one, other) for one in given_points for other in kept)
    for other in given_points:
        alike = [one for one in kept if (one.recall, one.p99_ms) == (other.recall, other.p99_ms)]
        assert alike or any(dominates(one, other) for one in kept)
    assert [one.p99_ms for one in kept] == sorted(one.p99_ms for one in kept)


def test_a_target_is_met_by_the_recalls_lower_bound() -> None:
    assert point(10, 0.97, 5.0, 0.951).meets(0.95, 5.0)
    assert not point(10, 0.97, 5.0, 0.949).meets(0.95, 5.0)
    assert not point(10, 0.97, 5.1, 0.951).meets(0.95, 5.0)


def test_what_is_shown_when_nothing_meets_the_target_is_the_closest() -> None:
    slow, slower, poor = point(200, 0.99, 30.0), point(400, 1.0, 60.0), point(10, 0.7, 2.0)
    assert closest([poor, slower, slow], 0.95, 20.0) == slow
    assert closest([poor, point(20, 0.8, 3.0)], 0.95, 20.0).recall == 0.8


def test_a_label_tells_what_is_in_doubt() -> None:
    assert point(64, 1.0, 1.0).label == "ef 64"
    other = Point(IvfFlat(nlist=64, nprobe=8), False, 1.0, 1.0, 1.0, 1.0)
    assert other.label == "IVF_FLAT (nlist 64) nprobe 8"


def test_the_lower_bound_covers_the_true_mean_as_often_as_it_says() -> None:
    draw = np.random.default_rng(5)
    # Recalls of queries: mostly all ten found, sometimes few; the mean of this distribution is known.
    shares = np.array([1.0, 0.9, 0.8, 0.5])
    chances = np.array([0.7, 0.15, 0.1, 0.05])
    mean = float(shares @ chances)
    below = [least_mean(draw.choice(shares, size=200, p=chances), seed) <= mean for seed in range(300)]
    assert 0.91 <= np.mean(below) <= 0.98


def test_queries_that_all_find_everything_are_no_proof_of_certainty() -> None:
    assert least_mean(np.ones(200)) == pytest.approx(0.9867, abs=1e-4)
    assert least_mean(np.ones(20)) < least_mean(np.ones(200)) < 1.0
    assert least_mean(np.zeros(20)) == 0.0
