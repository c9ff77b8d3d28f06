"""The ledger's tables, and how a file of an earlier version becomes one of this version."""

import sqlite3
from pathlib import Path

from vitrine.errors import InvalidInput

LEDGER_VERSION = 2

_ABOUT = "CREATE TABLE about (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID"
_PRODUCTS = """
CREATE TABLE products (
    id TEXT PRIMARY KEY,
    content_hash BLOB,          -- of what the collection holds; NULL: it does not hold this product
    row_hash BLOB,
    image_bytes INTEGER NOT NULL DEFAULT -1,
    image_mtime_ns INTEGER NOT NULL DEFAULT -1,
    written_at REAL,            -- seconds since 1970
    rejected_code TEXT,         -- the last look rejected it; NULL: it did not
    rejected_message TEXT,
    line INTEGER NOT NULL DEFAULT 0,
    looked_at REAL NOT NULL,
    run INTEGER NOT NULL DEFAULT 0,      -- the last run that saw it in the catalogue
    leaving INTEGER NOT NULL DEFAULT 0,  -- 1: its deletion is decided but not acknowledged yet
    deleted_at REAL,                     -- when its deletion was acknowledged; NULL: it was not, or it is back
    deleted_run INTEGER
) WITHOUT ROWID
"""
_RUNS = """
CREATE TABLE runs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    began REAL NOT NULL,
    ended REAL,                          -- NULL: it goes on, or was killed
    how TEXT NOT NULL DEFAULT '',        -- done, a signal's name, or an error's code
    complete INTEGER NOT NULL DEFAULT 0, -- 1: it read its source to the end
    source TEXT NOT NULL,
    mapping TEXT NOT NULL,
    shard TEXT NOT NULL,
    counts TEXT NOT NULL DEFAULT '{}'    -- JSON
)
"""
# Few rows have either, so looking for them costs nothing in a large ledger.
_INDEXES = (
    "CREATE INDEX rejected ON products (rejected_code) WHERE rejected_code IS NOT NULL",
    "CREATE INDEX leaving ON products (leaving) WHERE leaving = 1",
)
_FROM_1 = (
    "ALTER TABLE products ADD COLUMN run INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE products ADD COLUMN leaving INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE products ADD COLUMN deleted_at REAL",
    "ALTER TABLE products ADD COLUMN deleted_run INTEGER",
    _RUNS,
    *_INDEXES,
    "UPDATE about SET value = '2' WHERE key = 'version'",
)


class LedgerInvalid(InvalidInput):
    """The ledger's file is none of ours, damaged, or of another version."""

    code = "ledger_invalid"


def prepare(db: sqlite3.Connection, path: Path, *, build_id: str, fingerprint: str) -> bool:
    """Makes the tables of a new file, brings an older file up to date, empties one of another build or model.

    Args:
        db: in autocommit mode, held by this process alone.

    Returns:
        Whether rows of another build were thrown away.

    Raises:
        LedgerInvalid: the file is no ledger, or of a version that this program does not know.
    """
    wanted = {"version": str(LEDGER_VERSION), "build_id": build_id, "fingerprint": fingerprint}
    found = read_about(db, path)
    if found is None:
        _create(db, wanted)
        return False
    if found.get("version") == "1":
        _in_one_step(db, _FROM_1)
        found = found | {"version": wanted["version"]}
    require_version(found, path)
    if found == wanted:
        return False
    _create(db, wanted)
    return True


def read_about(db: sqlite3.Connection, path: Path) -> dict[str, str] | None:
    """What the file says about itself; None when it is new.

    Raises:
        LedgerInvalid: it is a SQLite file of something else.
    """
    tables = {row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not tables:
        return None
    if "about" not in tables:
        raise LedgerInvalid(f"{path} is a SQLite file but no ledger.")
    return dict(db.execute("SELECT key, value FROM about").fetchall())


def require_version(about: dict[str, str], path: Path) -> None:
    """Raises LedgerInvalid: another version than this program's."""
    if about.get("version") != str(LEDGER_VERSION):
        raise LedgerInvalid(f"Ledger {path} has version {about.get('version')}, this program reads {LEDGER_VERSION}.")


def _create(db: sqlite3.Connection, about: dict[str, str]) -> None:
    drops = [f"DROP TABLE IF EXISTS {table}" for table in ("about", "products", "runs")]
    _in_one_step(db, (*drops, _ABOUT, _PRODUCTS, _RUNS, *_INDEXES), about)


def _in_one_step(db: sqlite3.Connection, statements: tuple[str, ...], about: dict[str, str] | None = None) -> None:
    """One transaction: a kill leaves the old ledger or the new one, never something between."""
    db.execute("BEGIN IMMEDIATE")
    try:
        for statement in statements:
            db.execute(statement)
        db.executemany("INSERT INTO about VALUES (?, ?)", (about or {}).items())
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")
