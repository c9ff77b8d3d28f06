import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from vitrine.errors import InternalError, VectorStoreUnavailable
from vitrine.indexer import pruning
from vitrine.indexer.ledger import Ledger, RunNote
from vitrine.indexer.pruning import PruneIncomplete, Pruner, PruneRefused, PruneRule
from vitrine.indexer.rejections import Rejection
from vitrine.indexer.retry import Backoff
from vitrine.indexer.states import Mark

QUICK = Backoff(attempts=3, first_s=0.001)
NOTE = RunNote("articles.csv", "hm")


@dataclass
class MemoryShelf:
    """Rows in memory; `before` runs inside of each deletion and may raise, `after` likewise."""

    rows: set[str]
    before: Callable[[list[str]], None] = lambda _: None
    after: Callable[[list[str]], None] = lambda _: None
    sticky: set[str] = field(default_factory=set)

    async def delete(self, ids: list[str]) -> None:
        self.before(ids)
        self.rows -= set(ids) - self.sticky
        self.after(ids)

    async def still_there(self, ids: list[str]) -> list[str]:
        return [one for one in ids if one in self.rows]

    async def ids(self) -> AsyncIterator[str]:
        for one in sorted(self.rows):
            yield one


def mark(product_id: str) -> Mark:
    return Mark(product_id, b"c" * 32, b"r" * 32)


def rejection(product_id: str) -> Rejection:
    return Rejection(product_id, 3, "", "image_missing", "gone", owns_id=True)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """Twenty products that an earlier run wrote; a later one goes on and has seen eighteen of them."""
    with Ledger(tmp_path / "a.sqlite", build_id="build", fingerprint="model") as ledger:
        ledger.begin_run(NOTE)
        ledger.mark_written(mark(one) for one in held())
        ledger.begin_run(NOTE)
        ledger.mark_present((one, 1) for one in held()[2:])
        yield ledger


def held() -> list[str]:
    return [f"{number:02d}" for number in range(20)]


def silently(_what: str, _share: float) -> None:
    """Progress that nobody watches."""


async def prune(
    ledger: Ledger, shelf: MemoryShelf, rule: PruneRule, owns: Callable[[str], bool] = lambda _: True
) -> int:
    with ThreadPoolExecutor(1) as bookkeeping:
        pruner = Pruner(ledger, shelf, owns=owns, backoff=QUICK, bookkeeping=bookkeeping, stop=asyncio.Event())
        await pruner.finish_decided(silently)
        await pruner.prune(rule, silently)
    return pruner.deleted


async def test_what_the_run_did_not_see_is_deleted(ledger: Ledger) -> None:
    shelf = MemoryShelf(set(held()))
    assert await prune(ledger, shelf, PruneRule(0.1)) == 2
    assert shelf.rows == set(held()[2:])
    assert ledger.in_collection() == 18
    assert ledger.lookup(held()[:2]) == {}
    assert await prune(ledger, shelf, PruneRule(0.1)) == 0


async def test_above_the_bound_nothing_is_deleted(ledger: Ledger) -> None:
    shelf = MemoryShelf(set(held()))
    with pytest.raises(PruneRefused, match="2 of 20"):
        await prune(ledger, shelf, PruneRule(0.09))
    assert (len(shelf.rows), ledger.in_collection(), ledger.leaving(9)) == (20, 20, [])


async def test_rejected_products_stay_unless_they_are_to_go(ledger: Ledger) -> None:
    shelf = MemoryShelf(set(held()))
    ledger.mark_rejected([rejection("05")])
    await prune(ledger, shelf, PruneRule(0.5))
    assert "05" in shelf.rows
    assert await prune(ledger, shelf, PruneRule(0.5, rejected=True)) == 1
    assert "05" not in shelf.rows


async def test_rows_that_the_ledger_does_not_know_stay_unless_they_are_to_go(ledger: Ledger) -> None:
    shelf = MemoryShelf({*held(), "mine", "theirs"})
    await prune(ledger, shelf, PruneRule(0.5))
    assert {"mine", "theirs"} <= shelf.rows
    assert await prune(ledger, shelf, PruneRule(0.5, unknown=True), owns=lambda one: one != "theirs") == 1
    assert shelf.rows == {*held()[2:], "theirs"}


async def test_unknown_rows_count_towards_the_bound(ledger: Ledger) -> None:
    ledger.mark_present((one, 1) for one in held())
    shelf = MemoryShelf({*held(), *(f"x{number}" for number in range(5))})
    with pytest.raises(PruneRefused, match="5 of 25"):
        await prune(ledger, shelf, PruneRule(0.1, unknown=True))
    assert len(shelf.rows) == 25


def kill(_: list[str]) -> None:
    raise InternalError("killed here")


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_kill_between_the_steps_is_finished_by_the_next_run(ledger: Ledger, moment: str) -> None:
    shelf = MemoryShelf(set(held()), **{moment: kill})  # type: ignore[arg-type]
    with pytest.raises(InternalError):
        await prune(ledger, shelf, PruneRule(0.1))
    # Rows on their way out are not missed, whether or not they are still there.
    assert ledger.in_collection() == 18
    again = MemoryShelf(shelf.rows)
    ledger.begin_run(NOTE)
    ledger.mark_present((one, 1) for one in held()[2:])
    assert await prune(ledger, again, PruneRule(0.0)) == 2
    assert again.rows == set(held()[2:])
    assert ledger.leaving(9) == []


async def test_a_product_that_came_back_is_written_after_its_deletion(ledger: Ledger) -> None:
    shelf = MemoryShelf(set(held()), before=kill)
    with pytest.raises(InternalError):
        await prune(ledger, shelf, PruneRule(0.1))
    assert ledger.lookup(["00"]) == {}
    shelf.before = lambda _: None
    with ThreadPoolExecutor(1) as bookkeeping:
        pruner = Pruner(
            ledger, shelf, owns=lambda _: True, backoff=QUICK, bookkeeping=bookkeeping, stop=asyncio.Event()
        )
        await pruner.finish_decided(silently)
    shelf.rows.add("00")
    ledger.mark_written([mark("00")])
    assert ledger.in_collection() == 19
    assert ledger.leaving(9) == []


async def test_milvus_being_away_is_waited_for(ledger: Ledger) -> None:
    calls: list[int] = []

    def away_at_first(ids: list[str]) -> None:
        calls.append(len(ids))
        if len(calls) < 3:
            raise VectorStoreUnavailable("away")

    shelf = MemoryShelf(set(held()), before=away_at_first)
    assert await prune(ledger, shelf, PruneRule(0.1)) == 2
    assert calls == [2, 2, 2]


async def test_rows_that_do_not_go_are_an_error_and_stay_decided(ledger: Ledger) -> None:
    shelf = MemoryShelf(set(held()), sticky={"00"})
    with pytest.raises(PruneIncomplete, match="'00'"):
        await prune(ledger, shelf, PruneRule(0.1))
    assert ledger.leaving(9) == ["00", "01"]


async def test_many_products_go_in_several_steps(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "AT_ONCE", 3)
    steps: list[int] = []
    shelf = MemoryShelf({*held(), *"abcdefg"}, before=lambda ids: steps.append(len(ids)))
    assert await prune(ledger, shelf, PruneRule(1.0, unknown=True)) == 9
    assert steps == [3, 3, 3]
    assert shelf.rows == set(held()[2:])


async def test_a_stop_leaves_further_deletions_to_the_next_run(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "AT_ONCE", 1)
    stop = asyncio.Event()
    shelf = MemoryShelf(set(held()), after=lambda _: stop.set())
    with ThreadPoolExecutor(1) as bookkeeping:
        pruner = Pruner(ledger, shelf, owns=lambda _: True, backoff=QUICK, bookkeeping=bookkeeping, stop=stop)
        await pruner.prune(PruneRule(0.1), silently)
    assert (pruner.deleted, ledger.leaving(9)) == (1, ["01"])
    assert await prune(ledger, MemoryShelf(shelf.rows), PruneRule(0.1)) == 1
