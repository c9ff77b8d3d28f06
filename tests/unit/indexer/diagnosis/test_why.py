import json
from dataclasses import replace
from pathlib import Path

import pytest

from vitrine.indexer.diagnosis.why import (
    Answer,
    CatalogueLine,
    Facts,
    InCatalogue,
    InLedger,
    InMilvus,
    PictureState,
    judge,
)
from vitrine.indexer.ledger import Ledger, RunNote
from vitrine.indexer.ledger_view import Entry, LedgerView
from vitrine.indexer.rejections import Rejection
from vitrine.indexer.states import Mark

NOTE = RunNote("shop", "hm")
WRITTEN = Entry("a", b"c" * 32, 86_400.0, 7, None, None, 86_400.0, 3, 0, None, None)
REJECTED = replace(WRITTEN, rejected_code="image_missing", rejected_message="There is no file.")
NEVER_WRITTEN = replace(REJECTED, content_hash=None, written_at=None)
DELETED = replace(WRITTEN, content_hash=None, deleted_at=172_800.0, deleted_run=4)
LEAVING = replace(WRITTEN, content_hash=None, leaving=1, deleted_run=4)
GOOD_LINE = CatalogueLine(7, "a.jpg")
BAD_LINE = CatalogueLine(8, "a.jpg", "image_corrupt", "It is truncated.")


def facts(entry: Entry | None, rows: int | None, catalogue: InCatalogue | None = None, *, gone: bool = False) -> Facts:
    ledgers = [] if entry is None else [InLedger("a.sqlite", entry, gone, NOTE)]
    return Facts("a", "shop", "shop_v1", ledgers, None if rows is None else InMilvus(rows, "A", "a.jpg"), catalogue)


def catalogue(*lines: CatalogueLine, picture: PictureState | None = None) -> InCatalogue:
    return InCatalogue("shop/articles.csv", lines, picture)


SAME, CHANGED = catalogue(GOOD_LINE, picture=PictureState.SAME), catalogue(GOOD_LINE, picture=PictureState.CHANGED)
NEW, BROKEN = catalogue(GOOD_LINE, picture=PictureState.NEW), catalogue(BAD_LINE, picture=PictureState.REJECTED)
NOWHERE = catalogue()


@pytest.mark.parametrize(
    ("known", "code", "words", "flags"),
    [
        (facts(WRITTEN, None), "not_loaded", "not in memory", None),
        (facts(WRITTEN, 2, SAME), "doubled", "2 rows", "--rewrite a"),
        (facts(WRITTEN, 0), "lost", "1970-01-02", "--rewrite a"),
        (facts(NEVER_WRITTEN, 0), "rejected", "image_missing", None),
        (facts(NEVER_WRITTEN, 0, BROKEN), "rejected", "line 7", None),
        (facts(NEVER_WRITTEN, 0, NEW), "not_indexed", "can be indexed now", ""),
        (facts(NEVER_WRITTEN, 0, NOWHERE), "not_in_catalogue", "any more", None),
        (facts(DELETED, 0), "pruned", "by run 4 on 1970-01-03", None),
        (facts(replace(DELETED, rejected_code="x"), 0), "pruned", "it was rejected", None),
        (facts(DELETED, 0, NEW), "not_indexed", "is back", ""),
        (facts(LEAVING, 0), "pruned", "not confirmed", None),
        (facts(LEAVING, 1), "leaving", "the next run", ""),
        (facts(None, 0), "never_seen", "--catalogue", None),
        (facts(None, 0, NEW), "not_indexed", "no run has done it", ""),
        (facts(None, 0, BROKEN), "rejected", "line 8, image_corrupt", None),
        (facts(None, 0, NOWHERE), "not_in_catalogue", "no run ever", None),
        (facts(None, 1), "unknown", "no ledger here", "--prune-unknown"),
        (facts(NEVER_WRITTEN, 1), "unknown", "no ledger here", "--prune-unknown"),
        (facts(WRITTEN, 1), "present", "line 7", None),
        (facts(WRITTEN, 1, SAME), "present", "and its picture", None),
        (facts(WRITTEN, 1, CHANGED), "stale_changed", "next run updates", ""),
        (facts(WRITTEN, 1, NOWHERE), "stale_gone", "does not have it", "--prune"),
        (facts(WRITTEN, 1, gone=True), "stale_gone", "last complete run", "--prune"),
        (facts(REJECTED, 1), "stale_rejected", "image_missing", None),
        (facts(WRITTEN, 1, BROKEN), "stale_rejected", "image_corrupt", None),
    ],
)
def test_the_verdict_names_what_explains_the_state_and_what_mends_it(
    known: Facts, code: str, words: str, flags: str | None
) -> None:
    verdict = judge(known)
    assert verdict.code == code
    assert words in verdict.sentence
    if flags is None:
        assert verdict.command == ""
    else:
        assert verdict.command.startswith("vitrine index --collection shop --catalogue ")
        assert verdict.command.endswith(flags)


def test_the_ledger_that_looked_last_speaks() -> None:
    older = InLedger("old.sqlite", replace(REJECTED, looked_at=1.0), gone=True, note=NOTE)
    newer = InLedger("new.sqlite", WRITTEN, gone=False, note=NOTE)
    known = replace(facts(None, 1), ledgers=[newer, older])
    assert judge(known).code == "present"


def test_the_answer_is_plain_json() -> None:
    known = facts(WRITTEN, 1, SAME)
    content = json.loads(json.dumps(Answer(known, judge(known)).as_json()))
    assert content["verdict"]["code"] == "present"
    assert content["ledgers"][0]["entry"]["content_hash"] == "63" * 32


def mark(product_id: str) -> Mark:
    return Mark(product_id, b"c" * 32, b"r" * 32, line=5)


def rejection(product_id: str, code: str) -> Rejection:
    return Rejection(product_id, 9, "", code, "why", owns_id=True)


def test_a_ledger_is_read_beside_the_run_that_writes_it(tmp_path: Path) -> None:
    path = tmp_path / "shop_v1.sqlite"
    with Ledger(path, build_id="build", fingerprint="model") as ledger:
        ledger.begin_run(NOTE)
        ledger.mark_written(mark(one) for one in ("b", "a", "ä", "c"))
        ledger.end_run("done", {"read": 4}, complete=True)
        ledger.begin_run(NOTE)
        ledger.mark_present([("a", 2)])
        ledger.mark_rejected([rejection("b", "image_missing"), rejection("x", "image_corrupt")])
        with LedgerView(path) as view:
            assert view.held
            assert view.last_complete_run() == 1
            assert view.holdings().gone == 0
        ledger.end_run("done", {"read": 3}, complete=True)
    with LedgerView(path) as view:
        holdings = view.holdings()
        assert not view.held
        assert (holdings.in_collection, holdings.gone, holdings.leaving) == (4, 2, 0)
        assert holdings.stale == {"image_missing": 1}
        assert holdings.rejected == {"image_corrupt": 1, "image_missing": 1}
        assert list(view.held_ids()) == ["a", "b", "c", "ä"]
        assert [(run.number, run.how, run.counts) for run in view.runs(1)] == [(2, "done", {"read": 3})]
        entry = view.entry("b")
        assert entry is not None
        assert (entry.rejected_code, entry.line, entry.run, entry.content_hash) == (
            "image_missing",
            9,
            2,
            b"c" * 32,
        )
        assert view.entry("nothing") is None
