import numpy as np

from vitrine.domain import Vectors
from vitrine.gateway.canary.nearest import NearestSeen

DIMENSION = 16


def unit(count: int, seed: int) -> Vectors:
    drawn = np.random.default_rng(seed).normal(size=(count, DIMENSION)).astype(np.float32)
    return np.asarray(drawn / np.linalg.norm(drawn, axis=1, keepdims=True), np.float32)


def test_the_nearest_of_all_samples_are_remembered_and_no_more() -> None:
    queries, shop = unit(5, 1), unit(3_000, 2)
    ids = [str(row) for row in range(len(shop))]
    nearest = NearestSeen(queries, 30)
    for start in range(0, len(shop), 250):
        nearest.take(ids[start : start + 250], shop[start : start + 250])
    for number, query in enumerate(queries):
        scores = shop @ query
        best = np.argsort(-scores)[:30]
        assert set(nearest.of(number)) == {ids[row] for row in best.tolist()}
        assert np.allclose(sorted(nearest.of(number).values()), np.sort(scores[best]), atol=1e-6)


def test_a_product_that_is_shown_again_has_its_new_score() -> None:
    queries, shop = unit(2, 1), unit(40, 2)
    nearest = NearestSeen(queries, 10)
    nearest.take([str(row) for row in range(40)], shop)
    best = max(nearest.of(0), key=nearest.of(0).__getitem__)
    nearest.take([best], -queries[:1])
    assert nearest.of(0)[best] < -0.99
    nearest.take(["new"], queries[:1])
    assert best not in nearest.of(0), "there is a nearer one for its place"


def test_a_product_that_is_gone_leaves_room_for_the_next() -> None:
    queries, shop = unit(1, 1), unit(11, 2)
    ids = [str(row) for row in range(11)]
    nearest = NearestSeen(queries, 10)
    nearest.take(ids, shop)
    (left_out,) = set(ids) - nearest.of(0).keys()
    nearest.correct(0, next(iter(nearest.of(0))), None)
    nearest.take([left_out], shop[int(left_out)][np.newaxis])
    assert left_out in nearest.of(0)
    nearest.correct(0, "never seen", 1.0)
    assert "never seen" not in nearest.of(0)
