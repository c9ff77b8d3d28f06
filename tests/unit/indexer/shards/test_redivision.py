from collections.abc import Iterable
from pathlib import Path

import pytest

from vitrine.indexer.ledger import Ledger, RunNote
from vitrine.indexer.ledger_files import LedgerFolder
from vitrine.indexer.shards.redivision import go_on_from_others
from vitrine.indexer.shards.sharding import WHOLE, Shard
from vitrine.indexer.states import Mark

IDS = [f"{number:03d}" for number in range(60)]
HALVES = [Shard(1, 2), Shard(2, 2)]
THIRDS = [Shard(1, 3), Shard(2, 3), Shard(3, 3)]


def run(folder: Path, shard: Shard, ids: Iterable[str], content: int, *, build_id: str = "build") -> int:
    """A run that finds every one of its products changed. Returns how many it took over from other ledgers first."""
    path = LedgerFolder(folder).ledger("shop_v1", shard)
    with Ledger(path, build_id=build_id, fingerprint="model") as ledger:
        taken = go_on_from_others(ledger, "shop_v1", shard, build_id=build_id, fingerprint="model")
        ledger.begin_run(RunNote("shop", "hm", shard.name))
        ledger.mark_written(Mark(one, bytes([content]) * 32, b"r" * 32) for one in ids if shard.owns(one))
    return taken


def contents(folder: Path, shard: Shard) -> dict[str, int]:
    """What the next run would know: the content that each product has, as it was numbered in `run`."""
    with Ledger(LedgerFolder(folder).ledger("shop_v1", shard), build_id="build", fingerprint="model") as ledger:
        go_on_from_others(ledger, "shop_v1", shard, build_id="build", fingerprint="model")
        return {one: mark.content_hash[0] for one, mark in ledger.lookup(IDS).items()}


def test_shards_go_on_from_an_undivided_run_and_the_other_way_round(tmp_path: Path) -> None:
    run(tmp_path, WHOLE, IDS, 1)
    assert sum(run(tmp_path, half, [], 2) for half in HALVES) == 60
    assert contents(tmp_path, HALVES[0]) == dict.fromkeys(filter(HALVES[0].owns, IDS), 1)
    run(tmp_path, HALVES[0], IDS, 3)
    assert contents(tmp_path, WHOLE) == {one: 3 if HALVES[0].owns(one) else 1 for one in IDS}


def test_another_number_of_shards_goes_on_from_the_last_one(tmp_path: Path) -> None:
    for half in HALVES:
        run(tmp_path, half, IDS, 1)
    run(tmp_path, THIRDS[0], IDS, 2)
    # The other thirds have not run yet: of their products the halves still speak.
    assert contents(tmp_path, THIRDS[1]) == dict.fromkeys(filter(THIRDS[1].owns, IDS), 1)
    assert contents(tmp_path, HALVES[0]) == {one: 2 if THIRDS[0].owns(one) else 1 for one in IDS if HALVES[0].owns(one)}


def test_what_another_division_deleted_is_not_believed_to_be_there(tmp_path: Path) -> None:
    run(tmp_path, WHOLE, IDS, 1)
    for half in HALVES:
        run(tmp_path, half, [], 1)
        with Ledger(LedgerFolder(tmp_path).ledger("shop_v1", half), build_id="build", fingerprint="model") as ledger:
            ledger.begin_run(RunNote("shop", "hm"))
            ledger.mark_present((one, None) for one in IDS[1:])
            ledger.decide_deletion(rejected=False)
            ledger.mark_deleted(ledger.leaving(9))
    assert sorted(contents(tmp_path, WHOLE)) == IDS[1:]


def test_a_ledger_that_was_written_last_is_left_alone(tmp_path: Path) -> None:
    run(tmp_path, HALVES[0], IDS, 1)
    run(tmp_path, WHOLE, IDS, 2)
    assert run(tmp_path, WHOLE, [], 3) == 0
    assert contents(tmp_path, WHOLE) == dict.fromkeys(IDS, 2)


def test_ledgers_of_a_collection_that_is_gone_and_broken_ones_are_not_gone_on_from(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run(tmp_path, HALVES[0], IDS, 1, build_id="another")
    LedgerFolder(tmp_path).ledger("shop_v1", HALVES[1]).write_bytes(b"nothing of the kind, but long enough " * 9)
    assert run(tmp_path, WHOLE, [], 2) == 0


def test_the_ledgers_of_a_collection_are_those_of_the_division_written_last(tmp_path: Path) -> None:
    folder = LedgerFolder(tmp_path)
    assert folder.ledgers("shop_v1") == []
    run(tmp_path, WHOLE, IDS, 1)
    run(tmp_path, WHOLE, IDS, 1)
    assert folder.ledgers("shop_v1") == [folder.ledger("shop_v1")]
    for half in HALVES:
        run(tmp_path, half, IDS, 1)
    assert folder.ledgers("shop_v1") == [folder.ledger("shop_v1", half) for half in HALVES]
    assert len(folder.all_ledgers("shop_v1")) == 3
