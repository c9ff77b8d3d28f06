"""Ledgers as `vitrine index status` and `why` read them: beside a run that may go on, changing nothing."""

import fcntl
import json
import os
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from vitrine.indexer.ledger import RunNote
from vitrine.indexer.ledger_schema import LedgerInvalid, read_about, require_version

BUSY_TIMEOUT_S = 10.0
"""How long a transaction of a run is waited for."""

_ENTRY_FIELDS = (
    "id",
    "content_hash",
    "written_at",
    "line",
    "rejected_code",
    "rejected_message",
    "looked_at",
    "run",
    "leaving",
    "deleted_at",
    "deleted_run",
)
_ENTRY = f"SELECT {', '.join(_ENTRY_FIELDS)} FROM products WHERE id = ?"  # noqa: S608
_LAST_COMPLETE = "(SELECT coalesce(max(id), 0) FROM runs WHERE complete = 1)"


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run as the ledger has it. Times are seconds since 1970.

    Args:
        number: counted from 1 within the ledger.
        ended: None while it goes on, and when it was killed.
        how: "done", a signal's name, or an error's code; empty while it goes on.
        complete: it read its source to the end.
        note: what it went over.
        counts: figures of its summary.
    """

    number: int
    began: float
    ended: float | None
    how: str
    complete: bool
    note: RunNote
    counts: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Entry:
    """What a ledger says of one product. Times are seconds since 1970.

    Args:
        content_hash: of what the collection should hold; None: it should not hold the product.
        written_at: when Milvus acknowledged it last.
        line: where the catalogue had it when it was seen last.
        rejected_code: why it was rejected when it was seen last; None when it was not.
        run: the last run that saw it in the catalogue.
        leaving: 1 when its deletion is decided and was not confirmed yet.
        deleted_at: when its deletion was confirmed; None when it was not deleted, or is back.
        deleted_run: the run that decided the deletion.
    """

    id: str
    content_hash: bytes | None
    written_at: float | None
    line: int
    rejected_code: str | None
    rejected_message: str | None
    looked_at: float
    run: int
    leaving: int
    deleted_at: float | None
    deleted_run: int | None


@dataclass(frozen=True, slots=True)
class Holdings:
    """What a ledger adds up to.

    Args:
        in_collection: products that the collection should hold.
        stale: those among them that are rejected now, by reason.
        gone: those among them that the last complete run did not see: `--prune` would delete them.
        rejected: all products that the catalogue has and that were rejected, by reason.
        leaving: decided deletions that were not confirmed.
    """

    in_collection: int
    stale: Mapping[str, int]
    gone: int
    rejected: Mapping[str, int]
    leaving: int


class LedgerView:
    """One ledger's file, opened for reading.

    Raises:
        LedgerInvalid: no ledger, damaged, or of another version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            # Not "ro": SQLite must be able to finish what a killed run left half-written.
            self._db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=BUSY_TIMEOUT_S)
            about = read_about(self._db, path)
        except sqlite3.Error as error:
            raise LedgerInvalid(f"Ledger {path} cannot be read ({error}).") from error
        if about is None:
            raise LedgerInvalid(f"Ledger {path} is empty: its run was killed at once.")
        if about.get("version") == "1":
            raise LedgerInvalid(f"Ledger {path} is of version 1; the next run takes it over.")
        require_version(about, path)
        self.build_id = about["build_id"]
        self.fingerprint = about["fingerprint"]

    @property
    def held(self) -> bool:
        """Whether a run on this machine uses it at this moment."""
        try:
            descriptor = os.open(self.path.with_name(self.path.name + ".lock"), os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
        finally:
            os.close(descriptor)
        return False

    def holdings(self) -> Holdings:
        """Counts over all products."""
        return Holdings(
            in_collection=self._number("SELECT count(*) FROM products WHERE content_hash IS NOT NULL"),
            stale=self._by_reason(
                "SELECT rejected_code, count(*) FROM products"
                " WHERE rejected_code IS NOT NULL AND content_hash IS NOT NULL GROUP BY 1 ORDER BY 1"
            ),
            gone=self._number(
                f"SELECT count(*) FROM products WHERE content_hash IS NOT NULL AND run < {_LAST_COMPLETE}"  # noqa: S608
            ),
            rejected=self._by_reason(
                "SELECT rejected_code, count(*) FROM products"  # noqa: S608
                f" WHERE rejected_code IS NOT NULL AND run >= {_LAST_COMPLETE} GROUP BY 1 ORDER BY 1"
            ),
            leaving=self._number("SELECT count(*) FROM products WHERE leaving = 1"),
        )

    def last_complete_run(self) -> int:
        """Number of the last run that read its source to the end; 0 when none did."""
        return self._number(f"SELECT {_LAST_COMPLETE}")

    def runs(self, most: int) -> list[RunRecord]:
        """The latest runs, newest first."""
        question = (
            "SELECT id, began, ended, how, complete, source, mapping, shard, counts FROM runs ORDER BY id DESC LIMIT ?"
        )
        return [
            RunRecord(number, began, ended, how, bool(complete), RunNote(source, mapping, shard), json.loads(counts))
            for number, began, ended, how, complete, source, mapping, shard, counts in self._db.execute(
                question, (most,)
            )
        ]

    def entry(self, product_id: str) -> Entry | None:
        """What is known of one product; None when no run ever saw it."""
        row = self._db.execute(_ENTRY, (product_id,)).fetchone()
        return None if row is None else Entry(**dict(zip(_ENTRY_FIELDS, row, strict=True)))

    def held_ids(self) -> Iterator[str]:
        """Products that the collection should hold, in the order of their ids' bytes."""
        for row in self._db.execute("SELECT id FROM products WHERE content_hash IS NOT NULL ORDER BY id"):
            yield row[0]

    def close(self) -> None:
        """Closes the file."""
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _number(self, question: str) -> int:
        return int(self._db.execute(question).fetchone()[0])

    def _by_reason(self, question: str) -> dict[str, int]:
        return dict(self._db.execute(question).fetchall())
