from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.unit.indexer.shards.test_report import INFO
from vitrine.indexer.diagnosis.mending import differences, rerun_command
from vitrine.indexer.diagnosis.status import CollectionStatus, Comparison, LedgerStatus
from vitrine.indexer.ledger import RunNote
from vitrine.indexer.ledger_files import LedgerFolder
from vitrine.indexer.ledger_view import Holdings, RunRecord

NOTE = RunNote("my shop", "hm")
RUN = RunRecord(1, 1.0, 2.0, "done", True, NOTE, {})
WELL = Holdings(in_collection=5, stale={}, gone=0, rejected={}, leaving=0)
LEDGER = LedgerStatus("a.sqlite", False, WELL, [RUN])
STATUS = CollectionStatus("shop", replace(INFO, aliases=("shop",)), True, 5, 5, [LEDGER])


def found(status: CollectionStatus) -> dict[str, str]:
    """Commands by code."""
    return {one.code: one.command for one in differences(status, LedgerFolder(Path("ledger")))}


def with_ledger(**changes: object) -> CollectionStatus:
    return replace(STATUS, ledgers=[replace(LEDGER, **changes)])  # type: ignore[arg-type]


def holding(**changes: object) -> CollectionStatus:
    return with_ledger(holdings=replace(WELL, **changes))  # type: ignore[arg-type]


def test_nothing_differs_where_all_is_well() -> None:
    assert found(STATUS) == {}


AGAIN = "vitrine index --collection shop --catalogue 'my shop'"


@pytest.mark.parametrize(
    ("status", "code", "command"),
    [
        (replace(STATUS, ledgers=[]), "no_ledger", ""),
        (replace(STATUS, rows=None), "not_loaded", AGAIN),
        (replace(STATUS, rows=4), "rows_missing", f"{AGAIN} --reindex"),
        (
            replace(STATUS, rows=4, comparison=Comparison(1, 0, 0, {"missing": ["a b"]})),
            "rows_missing",
            f"{AGAIN} --rewrite 'a b'",
        ),
        (replace(STATUS, rows=6), "rows_unknown", f"{AGAIN} --prune-unknown"),
        (replace(STATUS, indexed=2), "index_pending", ""),
        (replace(STATUS, live=False), "not_live", AGAIN),
        (replace(STATUS, comparison=Comparison(0, 0, 1, {})), "rows_doubled", f"{AGAIN} --reindex"),
        (replace(STATUS, comparison=Comparison(1, 1, 0, {})), "rows_differ", f"{AGAIN} --reindex --prune-unknown"),
        (with_ledger(holdings=None, problem="It is damaged."), "ledger_unusable", ""),
        (with_ledger(runs=[replace(RUN, ended=None, how="")]), "run_unfinished", AGAIN),
        (with_ledger(runs=[replace(RUN, how="SIGTERM")]), "run_unfinished", AGAIN),
        (holding(leaving=2), "deletions_unfinished", AGAIN),
        (holding(gone=1), "gone", f"{AGAIN} --prune"),
        (holding(stale={"image_missing": 1}), "stale", f"{AGAIN} --prune-rejected"),
    ],
)
def test_each_difference_is_named_with_what_mends_it(status: CollectionStatus, code: str, command: str) -> None:
    assert found(status)[code] == command


def test_a_run_that_goes_on_is_no_difference() -> None:
    assert "run_unfinished" not in found(with_ledger(held=True, runs=[replace(RUN, ended=None, how="")]))


def test_a_collection_that_is_not_shown_yet_is_finished_or_promoted() -> None:
    shards = [replace(RUN, note=RunNote("my shop", "hm", "1/4"))]
    waiting = replace(with_ledger(runs=shards), live=False)
    assert found(waiting)["not_live"] == "vitrine index finish --collection shop --shards 4"
    lineage = replace(INFO.lineage, finished_at=datetime.now(UTC))
    candidate = replace(STATUS, live=False, info=replace(INFO, lineage=lineage))
    assert found(candidate)["not_live"] == "vitrine promote shop --to shop_v1"


def test_the_command_is_that_of_the_last_run() -> None:
    kept = RunNote("kept", "")
    assert rerun_command("shop", kept) == "vitrine index --collection shop --from-embeddings kept"
    own = RunNote("shop", "shoes.toml", "2/4")
    assert rerun_command("shop", own, "--prune") == (
        "vitrine index --collection shop --catalogue shop --mapping shoes.toml --shard 2/4 --prune"
    )
