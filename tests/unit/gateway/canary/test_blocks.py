from collections.abc import Iterator
from random import Random
from typing import cast

import pytest

from vitrine.domain import Deadline
from vitrine.gateway.canary import blocks
from vitrine.gateway.canary.blocks import Block, Cut, Walk
from vitrine.vectorstore.sampling import SampleReader

SIZE = 256


class Ids:
    """Stands in for a collection that is asked for its ids."""

    def __init__(self, count: int) -> None:
        self.ids = [f"{number:09d}" for number in range(count)]
        self.calls = 0

    async def ids_after(self, name: str, after: str, count: int, deadline: Deadline) -> list[str]:
        self.calls += 1
        first = int(after) + 1 if after else 0
        return self.ids[first : first + count]


async def cut(ids: Ids, size: int = SIZE) -> tuple[list[Block], Cut]:
    one = Cut("shop_v1", size)
    for _ in range(1_000):
        found = await one.go_on(cast("SampleReader", ids), Deadline.after(5))
        if found is not None:
            return found, one
    pytest.fail("it never came to the last id")


def inside(ids: Ids, block: Block) -> Iterator[str]:
    return (one for one in ids.ids if block.after < one and (block.up_to is None or one <= block.up_to))


@pytest.mark.parametrize("count", [0, 1, SIZE - 1, SIZE, SIZE + 1, 10 * SIZE + 17])
async def test_every_id_is_in_one_block_and_blocks_are_of_one_size(count: int) -> None:
    ids = Ids(count)
    found, _ = await cut(ids)
    members = [list(inside(ids, block)) for block in found]
    assert sorted(one for block in members for one in block) == ids.ids
    assert {len(block) for block in members[:-1]} <= {SIZE}


async def test_a_run_reads_a_bounded_number_of_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "IDS_PER_CALL", 100)
    ids = Ids(100 * blocks.CALLS_PER_RUN + 1)
    one = Cut("shop_v1", SIZE)
    assert await one.go_on(cast("SampleReader", ids), Deadline.after(5)) is None
    assert ids.calls == blocks.CALLS_PER_RUN
    assert await one.go_on(cast("SampleReader", ids), Deadline.after(5)) is not None


async def test_marks_are_bounded_in_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "MOST_BLOCKS", 8)
    ids = Ids(100 * SIZE)
    found, one = await cut(ids)
    assert len(found) <= 8
    assert one.size == 16 * SIZE
    assert sorted(product for block in found for product in inside(ids, block)) == ids.ids


def walk(count: int = 20, *, walked: bool = False) -> Walk:
    ends = [f"{number:03d}" for number in range(1, count)]
    made = [Block(after, end) for after, end in zip(["", *ends], [*ends, None], strict=True)]
    return Walk(made, SIZE, Random(3), walked=walked)


def test_a_walk_visits_every_block_once_and_then_again_in_another_order() -> None:
    one = walk()
    orders: list[list[Block]] = []
    for _ in range(2):
        order: list[Block] = []
        for _ in range(5):
            ahead = one.ahead(4 * SIZE)
            assert len(ahead) == 4
            for block in ahead:
                order.append(block)
                one.visited(SIZE)
        orders.append(order)
    assert set(orders[0]) == set(orders[1])
    assert len(set(orders[0])) == 20
    assert orders[0] != orders[1]
    assert not one.outdated


def test_the_share_seen_grows_to_the_whole_and_stays() -> None:
    one = walk()
    shares = []
    for _ in range(25):
        one.visited(SIZE)
        shares.append(one.seen)
    assert shares[:20] == pytest.approx([number / 20 for number in range(1, 21)])
    assert shares[20:] == [1.0] * 5
    assert walk(walked=True).seen == 1.0


@pytest.mark.parametrize(("rows", "outdated"), [(SIZE, False), (3 * SIZE, False), (SIZE // 3, True), (4 * SIZE, True)])
def test_blocks_that_fit_no_longer_are_cut_anew_after_the_walk(rows: int, outdated: bool) -> None:
    one = walk()
    for _ in range(20):
        assert not one.outdated
        one.visited(rows)
    assert one.outdated == outdated
