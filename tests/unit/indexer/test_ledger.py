import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from vitrine.errors import ImageMissing
from vitrine.indexer.ledger import Ledger, LedgerBusy, LedgerInvalid, RunNote
from vitrine.indexer.rejections import Rejection
from vitrine.indexer.states import NO_FILE, Mark

NOTE = RunNote("articles.csv", "hm")


def mark(product_id: str, content: int = 1) -> Mark:
    return Mark(product_id, bytes([content]) * 32, bytes([content + 100]) * 32, 10, 20, 3)


def rejection(product_id: str) -> Rejection:
    return Rejection.of(ImageMissing("gone"), product_id=product_id, line=7, owns_id=True)


def open_ledger(path: Path, build_id: str = "build", fingerprint: str = "model") -> Ledger:
    return Ledger(path / "products_v1.sqlite", build_id=build_id, fingerprint=fingerprint)


def test_what_was_written_is_known_after_reopening(tmp_path: Path) -> None:
    with open_ledger(tmp_path) as ledger:
        ledger.mark_written([mark("a"), mark("b")])
    with open_ledger(tmp_path) as ledger:
        assert not ledger.started_over
        assert ledger.lookup(["a", "b", "c"]) == {"a": mark("a"), "b": mark("b")}
        assert ledger.in_collection() == 2


def test_many_ids_are_looked_up_at_once(tmp_path: Path) -> None:
    ids = [f"{number:06d}" for number in range(3000)]
    with open_ledger(tmp_path) as ledger:
        ledger.mark_written(mark(product_id) for product_id in ids)
        assert list(ledger.lookup(ids)) == ids


def test_a_rejected_product_is_not_in_the_collection(tmp_path: Path) -> None:
    with open_ledger(tmp_path) as ledger:
        ledger.mark_rejected([rejection("a")])
        assert ledger.lookup(["a"]) == {}
        assert (ledger.in_collection(), ledger.stale()) == (0, 0)


def test_a_rejection_after_writing_leaves_the_older_state_and_says_so(tmp_path: Path) -> None:
    with open_ledger(tmp_path) as ledger:
        ledger.mark_written([mark("a")])
        ledger.mark_rejected([rejection("a")])
        assert (ledger.in_collection(), ledger.stale()) == (1, 1)
        # The picture is read again when it is back, whatever its time says.
        assert ledger.lookup(["a"])["a"].image_mtime_ns == NO_FILE
        ledger.mark_seen([mark("a")])
        assert (ledger.in_collection(), ledger.stale()) == (1, 0)
        assert ledger.lookup(["a"])["a"] == mark("a")


def test_writing_again_replaces_the_mark(tmp_path: Path) -> None:
    with open_ledger(tmp_path) as ledger:
        ledger.mark_written([mark("a", 1)])
        ledger.mark_rejected([rejection("a")])
        ledger.mark_written([mark("a", 2)])
        assert ledger.lookup(["a"])["a"] == mark("a", 2)
        assert ledger.stale() == 0


@pytest.mark.parametrize("other", [{"build_id": "another"}, {"fingerprint": "another"}])
def test_a_ledger_of_another_build_or_model_starts_over(tmp_path: Path, other: dict[str, str]) -> None:
    with open_ledger(tmp_path) as ledger:
        ledger.mark_written([mark("a")])
    with open_ledger(tmp_path, **other) as ledger:
        assert ledger.started_over
        assert ledger.in_collection() == 0


def test_only_one_process_holds_a_ledger(tmp_path: Path) -> None:
    with open_ledger(tmp_path), pytest.raises(LedgerBusy):
        open_ledger(tmp_path)
    open_ledger(tmp_path).close()


def test_files_that_are_no_ledger_are_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "products_v1.sqlite"
    path.write_bytes(b"not a database, but long enough to have a header " * 4)
    with pytest.raises(LedgerInvalid, match="move it away"):
        open_ledger(tmp_path)
    path.unlink()
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE other (x)")
    db.close()
    with pytest.raises(LedgerInvalid, match="no ledger"):
        open_ledger(tmp_path)


def test_another_version_is_refused(tmp_path: Path) -> None:
    open_ledger(tmp_path).close()
    db = sqlite3.connect(tmp_path / "products_v1.sqlite")
    with db:
        db.execute("UPDATE about SET value = '99' WHERE key = 'version'")
    db.close()
    with pytest.raises(LedgerInvalid, match="99"):
        open_ledger(tmp_path)


WRITES_FOR_EVER = """
import sys
from pathlib import Path
from vitrine.indexer.ledger import Ledger
from vitrine.indexer.states import Mark

ledger = Ledger(Path(sys.argv[1]), build_id="build", fingerprint="model")
number = 0
while True:
    ledger.mark_written([Mark(f"{number}", b"1" * 32, b"2" * 32), Mark(f"{number}-pair", b"1" * 32, b"2" * 32)])
    number += 1
    if number == 50:
        print("fifty", flush=True)
"""


def test_a_kill_leaves_whole_transactions_and_no_lock(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITES_FOR_EVER, str(tmp_path / "products_v1.sqlite")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"fifty\n"
        child.send_signal(signal.SIGKILL)
    with open_ledger(tmp_path) as ledger:
        assert not ledger.started_over
        assert ledger.in_collection() >= 100
        assert ledger.in_collection() % 2 == 0


VERSION_1 = """
CREATE TABLE about (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE products (id TEXT PRIMARY KEY, content_hash BLOB, row_hash BLOB, image_bytes INTEGER NOT NULL DEFAULT -1,
    image_mtime_ns INTEGER NOT NULL DEFAULT -1, written_at REAL, rejected_code TEXT, rejected_message TEXT,
    line INTEGER NOT NULL DEFAULT 0, looked_at REAL NOT NULL) WITHOUT ROWID;
INSERT INTO about VALUES ('version', '1'), ('build_id', 'build'), ('fingerprint', 'model');
INSERT INTO products VALUES
    ('a', x'0101010101010101010101010101010101010101010101010101010101010101',
     x'6565656565656565656565656565656565656565656565656565656565656565', 10, 20, 5.0, NULL, NULL, 3, 5.0),
    ('b', NULL, NULL, -1, -1, NULL, 'image_missing', 'gone', 4, 5.0);
"""


def version_1(path: Path) -> Path:
    file = path / "products_v1.sqlite"
    db = sqlite3.connect(file)
    db.executescript(VERSION_1)
    db.close()
    return file


def test_a_ledger_of_version_1_is_taken_over(tmp_path: Path) -> None:
    version_1(tmp_path)
    with open_ledger(tmp_path) as ledger:
        assert not ledger.started_over
        assert ledger.lookup(["a", "b"]) == {"a": mark("a")}
        ledger.begin_run(NOTE)
        assert ledger.gone(rejected=False) == 1
    with open_ledger(tmp_path) as ledger:
        assert ledger.in_collection() == 1


def test_taking_over_happens_in_one_step(tmp_path: Path) -> None:
    file = version_1(tmp_path)
    db = sqlite3.connect(file)
    db.execute("CREATE TABLE runs (x)")  # in the way of the last statements
    db.close()
    with pytest.raises(LedgerInvalid):
        open_ledger(tmp_path)
    db = sqlite3.connect(file)
    assert [row[1] for row in db.execute("PRAGMA table_info(products)")][-1] == "looked_at"
    assert db.execute("SELECT value FROM about WHERE key = 'version'").fetchone() == ("1",)
    db.close()


def test_a_run_stamps_what_it_sees(tmp_path: Path) -> None:
    with open_ledger(tmp_path) as ledger:
        assert ledger.begin_run(NOTE) == 1
        ledger.mark_written(mark(product_id) for product_id in "abcdef")
        assert ledger.gone(rejected=False) == 0
        assert ledger.begin_run(NOTE) == 2
        ledger.mark_written([mark("a")])
        ledger.mark_seen([mark("b")])
        ledger.mark_present([("c", 9), ("d", None)])
        ledger.mark_rejected([rejection("e")])
        assert ledger.gone(rejected=False) == 1
        assert ledger.gone(rejected=True) == 2
        assert [one.line for one in ledger.lookup("acd").values()] == [3, 9, 3]


def test_how_a_run_ended_is_recorded(tmp_path: Path) -> None:
    with open_ledger(tmp_path) as ledger:
        ledger.begin_run(NOTE)
        ledger.begin_run(NOTE)
        ledger.end_run("done", {"read": 3}, complete=True)
    db = sqlite3.connect(tmp_path / "products_v1.sqlite")
    runs = db.execute("SELECT id, how, complete, counts, ended IS NULL FROM runs").fetchall()
    db.close()
    assert runs == [(1, "", 0, "{}", 1), (2, "done", 1, '{"read": 3}', 0)]


def test_a_ledger_on_a_shared_volume_keeps_no_write_ahead_log(tmp_path: Path) -> None:
    with Ledger(tmp_path / "a.sqlite", build_id="b", fingerprint="f", on_shared_volume=True) as ledger:
        ledger.mark_written([mark("a")])
        assert [path.suffix for path in tmp_path.iterdir() if path.name.startswith("a.sqlite-w")] == []
        assert ledger.in_collection() == 1
