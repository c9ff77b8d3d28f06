"""What was done with every product, on disk, so that a run that was killed goes on and a second run does nothing.

One SQLite file (write-ahead log) per collection build. A row says what the collection holds (the content hash of what
Milvus acknowledged) and what the last look at the product said. It is written after the acknowledgement, never
before: a kill between the two costs a repeated upsert of the same ids, not a lost product.
"""

import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from vitrine.indexer.ledger_lock import LedgerBusy, exclusive_lock
from vitrine.indexer.ledger_schema import LedgerInvalid, prepare
from vitrine.indexer.rejections import Rejection
from vitrine.indexer.states import Mark

__all__ = ["Ledger", "LedgerBusy", "LedgerInvalid", "RunNote", "exclusive_lock"]

# Parameters: the run, whether rejected products count.
_COUNT_GONE = (
    "SELECT count(*) FROM products WHERE content_hash IS NOT NULL AND (run < ?1 OR (?2 AND rejected_code IS NOT NULL))"
)
_DECIDE_GONE = (
    "UPDATE products SET content_hash = NULL, leaving = 1, deleted_run = ?1"
    " WHERE content_hash IS NOT NULL AND (run < ?1 OR (?2 AND rejected_code IS NOT NULL))"
)


@dataclass(frozen=True, slots=True)
class RunNote:
    """What a run is recorded with when it begins.

    Args:
        source: the catalogue's folder, or that of kept embeddings.
        mapping: name or file of the catalogue's mapping; empty for kept embeddings.
        shard: such as "2/4"; empty when the run goes over the whole source.
    """

    source: str
    mapping: str
    shard: str = ""


class Ledger:
    """The ledger of one collection build, held by one process at a time.

    Its methods block for milliseconds (a commit); they are to be called from one thread at a time.

    Args:
        path: the SQLite file; a lock file stands beside it.
        on_shared_volume: it may lie on a network's file system, where a write-ahead log does not work.
        build_id: the collection's own id; a ledger of another build is emptied, since it describes rows that are gone.
        fingerprint: of the model, for the same reason.

    Raises:
        LedgerBusy: another process holds it.
        LedgerInvalid: the file cannot be used.
    """

    def __init__(self, path: Path, *, build_id: str, fingerprint: str, on_shared_volume: bool = False) -> None:
        self.path = path
        self.run = 0
        self._lock = exclusive_lock(path.with_name(path.name + ".lock"))
        try:
            self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=5.0)
            self._db.execute(f"PRAGMA journal_mode = {'TRUNCATE' if on_shared_volume else 'WAL'}")
            # NORMAL: a power cut may lose the last marks (they are redone), a kill of the process loses none.
            self._db.execute("PRAGMA synchronous = NORMAL")
            self.started_over = prepare(self._db, path, build_id=build_id, fingerprint=fingerprint)
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

    def begin_run(self, note: RunNote) -> int:
        """Records that a run begins; from here on every product seen is stamped with its number, which is returned."""
        cursor = self._db.execute(
            "INSERT INTO runs (began, source, mapping, shard) VALUES (?, ?, ?, ?)",
            (time.time(), note.source, note.mapping, note.shard),
        )
        self.run = int(cursor.lastrowid or 0)
        return self.run

    def end_run(self, how: str, counts: Mapping[str, object], *, complete: bool) -> None:
        """Records how the run ended.

        Args:
            how: "done", the name of a signal, or the code of an error.
            counts: figures of its summary, as JSON.
            complete: it read its source to the end, so that what it did not see is gone.
        """
        self._db.execute(
            "UPDATE runs SET ended = ?, how = ?, complete = ?, counts = ? WHERE id = ?",
            (time.time(), how, complete, json.dumps(counts), self.run),
        )

    def mark_written(self, marks: Iterable[Mark]) -> None:
        """Records products that the collection holds now. Call it after Milvus acknowledged them."""
        now, run = time.time(), self.run
        self._write(
            "INSERT INTO products"
            " (id, content_hash, row_hash, image_bytes, image_mtime_ns, line, written_at, looked_at, run)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET content_hash = excluded.content_hash,"
            " row_hash = excluded.row_hash, image_bytes = excluded.image_bytes,"
            " image_mtime_ns = excluded.image_mtime_ns, line = excluded.line, written_at = excluded.written_at,"
            " looked_at = excluded.looked_at, run = excluded.run, rejected_code = NULL, rejected_message = NULL,"
            " leaving = 0, deleted_at = NULL, deleted_run = NULL",
            [(m.id, m.content_hash, m.row_hash, m.image_bytes, m.image_mtime_ns, m.line, now, now, run) for m in marks],
        )

    def mark_seen(self, marks: Iterable[Mark]) -> None:
        """Records that products are unchanged although their files' times are not, or were rejected in between."""
        now, run = time.time(), self.run
        self._write(
            "UPDATE products SET image_bytes = ?, image_mtime_ns = ?, line = ?, looked_at = ?, run = ?,"
            " rejected_code = NULL, rejected_message = NULL WHERE id = ?",
            [(m.image_bytes, m.image_mtime_ns, m.line, now, run, m.id) for m in marks],
        )

    def mark_present(self, lines: Iterable[tuple[str, int | None]]) -> None:
        """Records that the catalogue still has these products, given as id and line, and nothing else of them.

        A line that is not known leaves the one recorded before.
        """
        self._write(
            "UPDATE products SET line = coalesce(?, line), run = ? WHERE id = ?",
            [(line, self.run, product_id) for product_id, line in lines],
        )

    def mark_rejected(self, rejections: Iterable[Rejection]) -> None:
        """Records rejections of products with an id. What the collection holds of them from before stays."""
        now, run = time.time(), self.run
        self._write(
            "INSERT INTO products (id, rejected_code, rejected_message, line, looked_at, run)"
            " VALUES (?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (id) DO UPDATE SET rejected_code = excluded.rejected_code,"
            " rejected_message = excluded.rejected_message, line = excluded.line, looked_at = excluded.looked_at,"
            " run = excluded.run,"
            " image_mtime_ns = -1",  # so that the picture is read again once it is back, whatever its time says
            [(r.id, r.code, r.message, r.line, now, run) for r in rejections],
        )

    def gone(self, *, rejected: bool) -> int:
        """Products that the collection holds and this run did not see; with `rejected`, those it rejected, too."""
        return int(self._db.execute(_COUNT_GONE, (self.run, rejected)).fetchone()[0])

    def decide_deletion(self, *, rejected: bool, unknown: Sequence[str] = ()) -> None:
        """Records, before Milvus is asked, that those of `gone` are to be deleted, and ids this ledger did not know.

        Safe from a power cut once it returns: a deletion that nobody remembers would look like lost rows.
        """
        now = time.time()
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute("BEGIN IMMEDIATE")
        try:
            self._db.execute(_DECIDE_GONE, (self.run, rejected))
            # Nothing of it is in the collection, and the catalogue does not speak of it any more.
            self._db.execute(
                "DELETE FROM products WHERE content_hash IS NULL AND leaving = 0 AND deleted_at IS NULL AND run < ?",
                (self.run,),
            )
            self._db.executemany(
                "INSERT INTO products (id, looked_at, leaving, deleted_run) VALUES (?, ?, 1, ?)"
                " ON CONFLICT (id) DO UPDATE SET leaving = 1, deleted_run = excluded.deleted_run",
                [(product_id, now, self.run) for product_id in unknown],
            )
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")
        self._db.execute("PRAGMA synchronous = NORMAL")

    def leaving_count(self) -> int:
        """Products whose deletion is decided and was not acknowledged."""
        return int(self._db.execute("SELECT count(*) FROM products WHERE leaving = 1").fetchone()[0])

    def leaving(self, most: int) -> list[str]:
        """Up to `most` products whose deletion is decided and was not acknowledged."""
        return [row[0] for row in self._db.execute("SELECT id FROM products WHERE leaving = 1 LIMIT ?", (most,))]

    def mark_deleted(self, ids: Iterable[str]) -> None:
        """Records products that the collection does not hold any more. Call it after Milvus confirmed that."""
        now = time.time()
        self._write("UPDATE products SET leaving = 0, deleted_at = ? WHERE id = ?", [(now, one) for one in ids])

    def unknown_among(self, ids: Sequence[str]) -> list[str]:
        """Those of these ids that the collection should not hold, by this ledger."""
        held = self.lookup(ids)
        return [product_id for product_id in ids if product_id not in held]

    def take_over(self, path: Path, theirs: Callable[[str], bool], mine: Callable[[str], bool]) -> int:
        """Goes on from another ledger of the same collection, in one step: what it says of its products holds.

        Args:
            path: the other ledger, of this version and of this collection's build.
            theirs: whether the other ledger answers for an id.
            mine: whether this one does.

        Returns:
            Products taken over.
        """
        self._db.create_function("theirs", 1, theirs, deterministic=True)
        self._db.create_function("mine", 1, mine, deterministic=True)
        self._db.execute("ATTACH DATABASE ? AS other", (str(path),))
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute("DELETE FROM products WHERE theirs(id)")
            taken = self._db.execute("INSERT INTO products SELECT * FROM other.products WHERE mine(id)").rowcount
            # Its runs have other numbers.
            self._db.execute("UPDATE products SET run = 0 WHERE theirs(id)")
            self._db.execute("COMMIT")
        finally:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            self._db.execute("DETACH DATABASE other")
        return taken

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

    def _write(self, statement: str, values: list[tuple[object, ...]]) -> None:
        if values:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                self._db.executemany(statement, values)
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")
