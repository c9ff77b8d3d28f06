import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitrine.gateway.canary.judging import judge
from vitrine.tuning.truth import ExactNeighbours

K = 10
# Scores a thousandth apart at least: a tie has tests of its own.
SCORES = st.lists(st.integers(-900, 900), min_size=1, max_size=60, unique=True)


def shop_of(numbers: list[int]) -> dict[str, float]:
    return {f"p{number}": number / 1000 for number in numbers}


@given(SCORES, st.data())
def test_with_all_of_the_collection_seen_it_is_recall_as_a_benchmark_counts_it(
    numbers: list[int], data: st.DataObject
) -> None:
    shop = shop_of(numbers)
    answer = data.draw(st.lists(st.sampled_from(sorted(shop)), unique=True, min_size=min(K, len(shop)), max_size=K))
    judgement = judge({one: shop[one] for one in answer}, shop, 1.0, K)
    best = sorted(shop, key=lambda one: -shop[one])
    truth = ExactNeighbours((tuple(best),), (tuple(shop[one] for one in best),), K)
    told = judgement.found / (judgement.found + len(judgement.missed))
    assert told == pytest.approx(truth.recall(0, answer, K))
    assert set(judgement.missed) == set(best[:K]) - set(answer)


@given(SCORES, st.sets(st.integers(0, 59)), st.floats(0.01, 1.0))
def test_the_true_nearest_miss_nothing_however_little_was_seen(
    numbers: list[int], sampled: set[int], share: float
) -> None:
    shop = shop_of(numbers)
    best = sorted(shop, key=lambda one: -shop[one])
    seen = {one: shop[one] for number, one in enumerate(sorted(shop)) if number in sampled}
    judgement = judge({one: shop[one] for one in best[:K]}, seen, share, K)
    assert judgement.missed == ()
    assert judgement.found == len(seen.keys() & set(best[:K]))


def test_a_product_as_near_as_the_last_hit_is_not_missed() -> None:
    answer = {"a": 0.9, "b": 0.8}
    assert judge(answer, {**answer, "as near": 0.8}, 1.0, 2).missed == ()
    assert judge(answer, {**answer, "nearer": 0.81}, 1.0, 2).missed == ("nearer",)


def test_an_answer_without_hits_misses_all_there_is() -> None:
    seen = {"a": 0.9, "b": 0.8}
    assert judge({}, seen, 1.0, 10).missed == ("a", "b")


def test_the_estimate_from_a_tenth_is_near_the_truth_on_average() -> None:
    """Answers that miss each product with the same probability: the average over many draws against what is true."""
    random = np.random.default_rng(11)
    best = [f"{number:03d}" for number in range(200)]
    scores = {one: 1 - number / 200 for number, one in enumerate(best)}
    found = neighbours = 0
    true: list[float] = []
    for _ in range(4_000):
        answer = [one for one in best if random.random() > 0.1][:K]
        seen = {one: scores[one] for one in best if random.random() < 0.1}
        judgement = judge({one: scores[one] for one in answer}, seen, 0.1, K)
        found += judgement.found
        neighbours += judgement.found + len(judgement.missed)
        true.append(len(set(answer) & set(best[:K])) / K)
    assert found / neighbours == pytest.approx(np.mean(true), abs=0.02)
