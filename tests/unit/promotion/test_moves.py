from tests.unit.promotion.conftest import DAY, Make
from vitrine.promotion.family import members
from vitrine.promotion.moves import left_over


def test_retiring_keeps_what_a_rollback_goes_back_to_and_what_a_rollback_left(collection: Make) -> None:
    live = collection(3, promoted_at=DAY, replaces="shop_v2", moved_from="shop_v4", live=True)
    family = members(
        [
            collection(1),
            collection(2, promoted_at=DAY, replaces="shop_v1"),
            live,
            collection(4, promoted_at=DAY, rolled_back_at=DAY),
            collection(5, promoted_at=DAY, rolled_back_at=DAY),
            collection(6),
            collection(7, finished=False),
        ]
    )

    def dropped(keep: int, *, everything: bool = False) -> list[str]:
        return [info.name for info in left_over(family, live, keep, everything=everything)]

    assert dropped(1) == ["shop_v5", "shop_v1"]
    assert dropped(2) == ["shop_v5"]
    assert dropped(9) == ["shop_v5"]
    assert dropped(1, everything=True) == ["shop_v5", "shop_v4", "shop_v2", "shop_v1"]
