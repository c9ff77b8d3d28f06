"""What was done with every product, on disk, so that a run that was killed goes on and a second run does nothing.

One SQLite file (write-ahead log) per collection build. A row says what the collection holds (the content hash of what
Milvus acknowledged) and what the last look at the product said. It is written after the acknowledgement, never
before: a kill between the two costs a repeated upsert of the same ids, not a lost product.
"""

import fcntl
import json
import os
import sqlite3
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from vitrine.errors import InvalidInput, Overloaded
from vitrine.indexer.rejections import Rejection
from vitrine.indexer.states import Mark

LEDGER_VERSION = 1
_SCHEMA = """
CREATE TABLE about (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
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
    looked_at REAL NOT NULL
) WITHOUT ROWID;
"""


class LedgerBusy(Overloaded):
    """Another run is filling the same collection."""

    code = "ledger_busy"


class LedgerInvalid(InvalidInput):
    """The ledger's file is none of ours, damaged, or of another version."""

    code = "ledger_invalid"


class Ledger:
    """The ledger of one collection build, held by one process at a time.

    Its methods block for milliseconds (a commit); they are to be called from one thread at a time.

    Args:
        path: the SQLite file; a lock file stands beside it.
        build_id: the collection's own id; a ledger of another build is emptied, since it describes rows that are gone.
        fingerprint: of the model, for the same reason.

    Raises:
        LedgerBusy: another process holds it.
        LedgerInvalid: the file cannot be used.
    """

    def __init__(self, path: Path, *, build_id: str, fingerprint: str) -> None:
        self.path = path
        self._lock = exclusive_lock(path.with_name(path.name + ".lock"))
        try:
            self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=5.0)
            self.started_over = self._prepare(build_id, fingerprint)
        except sqlite3.Error as error:
            os.close(self._lock)
            raise LedgerInvalid(f"Ledger {path} cannot be used ({error}); move it away to start over.") from error
        except BaseException:
            os.close(self._lock)
            raise

    def lookup(self, ids: Sequence[str]) -> dict[str, Mark]:
        """What the collection holds of these products; products it does not hold are absent."""
        question = (
            "SELECT id, content_hash, row_hash, image_bytes, image_mtime_ns, line FROM products"
            " WHERE content_hash IS NOT NULL AND id IN (SELECT value FROM json_each(?))"
        )
        return {row[0]: Mark(*row) for row in self._db.execute(question, (json.dumps(list(ids)),))}

    def mark_written(self, marks: Iterable[Mark]) -> None:
        """Records products that the collection holds now. Call it after Milvus acknowledged them."""
        now = time.time()
        self._write(
            "INSERT INTO products"
            " (id, content_hash, row_hash, image_bytes, image_mtime_ns, line, written_at, looked_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET content_hash = excluded.content_hash,"
            " row_hash = excluded.row_hash, image_bytes = excluded.image_bytes,"
            " image_mtime_ns = excluded.image_mtime_ns, line = excluded.line, written_at = excluded.written_at,"
            " looked_at = excluded.looked_at, rejected_code = NULL, rejected_message = NULL",
            [(m.id, m.content_hash, m.row_hash, m.image_bytes, m.image_mtime_ns, m.line, now, now) for m in marks],
        )

    def mark_seen(self, marks: Iterable[Mark]) -> None:
        """Records that products are unchanged although their files' times are not, or were rejected in between."""
        now = time.time()
        self._write(
            "UPDATE products SET image_bytes = ?, image_mtime_ns = ?, line = ?, looked_at = ?, rejected_code = NULL,"
            " rejected_message = NULL WHERE id = ?",
            [(m.image_bytes, m.image_mtime_ns, m.line, now, m.id) for m in marks],
        )

    def mark_rejected(self, rejections: Iterable[Rejection]) -> None:
        """Records rejections of products with an id. What the collection holds of them from before stays."""
        now = time.time()
        self._write(
            "INSERT INTO products (id, rejected_code, rejected_message, line, looked_at) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (id) DO UPDATE SET rejected_code = excluded.rejected_code,"
            " rejected_message = excluded.rejected_message, line = excluded.line, looked_at = excluded.looked_at,"
            " image_mtime_ns = -1",  # so that the picture is read again once it is back, whatever its time says
            [(r.id, r.code, r.message, r.line, now) for r in rejections],
        )

    def in_collection(self) -> int:
        """Products that the collection holds, by this ledger."""
        return int(self._db.execute("SELECT count(*) FROM products WHERE content_hash IS NOT NULL").fetchone()[0])

    def stale(self) -> int:
        """Products that the collection still holds although the last look rejected them."""
        question = "SELECT count(*) FROM products WHERE content_hash IS NOT NULL AND rejected_code IS NOT NULL"
        return int(self._db.execute(question).fetchone()[0])

    def close(self) -> None:
        """Folds the write-ahead log into the file and lets the next run in. A second call does nothing."""
        if self._lock >= 0:
            self._db.close()
            os.close(self._lock)
            self._lock = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _prepare(self, build_id: str, fingerprint: str) -> bool:
        """Makes or checks the tables. Returns True when rows of another build were thrown away."""
        self._db.execute("PRAGMA journal_mode = WAL")
        # NORMAL: a power cut may lose the last marks (they are redone), a kill of the process loses none.
        self._db.execute("PRAGMA synchronous = NORMAL")
        wanted = {"version": str(LEDGER_VERSION), "build_id": build_id, "fingerprint": fingerprint}
        tables = {row[0] for row in self._db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if not tables:
            self._create(wanted)
            return False
        if "about" not in tables:
            raise LedgerInvalid(f"{self.path} is a SQLite file but no ledger.")
        about = dict(self._db.execute("SELECT key, value FROM about").fetchall())
        if about.get("version") != wanted["version"]:
            raise LedgerInvalid(
                f"Ledger {self.path} has version {about.get('version')}, this program reads {LEDGER_VERSION}."
            )
        if about == wanted:
            return False
        self._create(wanted)
        return True

    def _create(self, about: dict[str, str]) -> None:
        # One transaction: a kill leaves the old ledger or the new one, never tables without their origin.
        self._db.execute("BEGIN IMMEDIATE")
        self._db.execute("DROP TABLE IF EXISTS about")
        self._db.execute("DROP TABLE IF EXISTS products")
        for statement in _SCHEMA.strip().split(";\n"):
            self._db.execute(statement)
        self._db.executemany("INSERT INTO about VALUES (?, ?)", about.items())
        self._db.execute("COMMIT")

    def _write(self, statement: str, values: list[tuple[object, ...]]) -> None:
        if values:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                self._db.executemany(statement, values)
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")


def exclusive_lock(path: Path) -> int:
    """Locks a file (made if need be) until its descriptor is closed or the process ends, however it ends.

    Returns:
        The descriptor.

    Raises:
        LedgerBusy: another process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise LedgerBusy(f"Another indexing run holds {path}; wait for it or stop it.") from error
    return descriptor
