import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitrine.tuning.knobs import Knob, knob_of, variants_of
from vitrine.tuning.least_setting import RESOLUTION, least_setting
from vitrine.vectorstore.index_params import DiskAnn, Flat, Hnsw, HnswSq, IvfFlat, IvfPq, IvfRabitq


class Curve:
    """Recall that rises with the setting by a formula: 1 - exp(-setting / scale)."""

    def __init__(self, scale: float, recall: float) -> None:
        self.scale = scale
        self.recall = recall
        self.asked: list[int] = []

    async def passes(self, setting: int) -> bool:
        self.asked.append(setting)
        return 1 - math.exp(-setting / self.scale) >= self.recall

    @property
    def least(self) -> int:
        return math.ceil(-self.scale * math.log(1 - self.recall))


@given(
    scale=st.floats(0.5, 500),
    recall=st.floats(0.5, 0.995),
    start=st.integers(1, 5_000),
    least=st.integers(1, 20),
    most=st.integers(20, 4_096),
)
async def test_the_setting_found_passes_and_hardly_any_smaller_one_does(
    scale: float, recall: float, start: int, least: int, most: int
) -> None:
    curve = Curve(scale, recall)
    found = await least_setting(curve.passes, start, least, most)
    true = max(least, curve.least)
    if true > most:
        assert found is None
        return
    assert found is not None
    assert true <= found <= max(true + 1, true / (1 - RESOLUTION) + 1)
    assert all(least <= setting <= most for setting in curve.asked)
    assert len(curve.asked) == len(set(curve.asked))
    assert len(curve.asked) <= 2 + 2 * math.log2(most)


async def test_the_dearest_setting_is_tried_only_when_cheaper_ones_failed() -> None:
    curve = Curve(scale=20, recall=0.95)
    found = await least_setting(curve.passes, start=16, least=10, most=4_096)
    assert found is not None
    assert max(curve.asked) == 64


@pytest.mark.parametrize(
    ("index", "knob"),
    [
        (Flat(), None),
        (Hnsw(), Knob("ef", 10, 4_096)),
        (DiskAnn(), Knob("search_list", 10, 4_096)),
        (IvfFlat(nlist=128), Knob("nprobe", 1, 128)),
    ],
)
def test_each_kind_is_tuned_by_its_own_setting(index: Hnsw, knob: Knob | None) -> None:
    assert knob_of(index, 10) == knob


def test_checking_again_is_a_second_setting_where_the_kind_can() -> None:
    assert variants_of(Hnsw(ef=99)) == [Hnsw(ef=99)]
    assert [index.search_settings()["refine_k"] for index in variants_of(IvfRabitq())] == [1, 2, 4, 8]
    assert [index.search_settings()["rerank"] for index in variants_of(IvfPq())] == [0, 4, 10, 20]
    assert variants_of(HnswSq(refine=False)) == [HnswSq(refine=False)]
    assert variants_of(HnswSq(ef=99))[0].search_settings()["ef"] == 99
