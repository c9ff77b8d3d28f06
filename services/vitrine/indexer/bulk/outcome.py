"""The end of a bulk import: what each job did, and whether the counts agree."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from vitrine.errors import VitrineError
from vitrine.vectorstore.bulk_import import ImportJob, JobState

_SHOWN = 20


@dataclass(frozen=True, slots=True)
class FileOutcome:
    """One file and the job that took it.

    Args:
        name: of the file.
        rows: in it, as the manifest says.
        job: None while it was not submitted.
        earlier: it had ended before this run began.
    """

    name: str
    rows: int
    job: ImportJob | None
    earlier: bool = False

    @property
    def imported(self) -> int:
        """Rows that the server says it took."""
        return self.job.rows if self.job is not None and self.job.state is JobState.DONE else 0

    @property
    def agrees(self) -> bool:
        """Whether all of its rows arrived."""
        return self.job is not None and self.job.state is JobState.DONE and self.job.rows == self.rows

    def as_json(self) -> dict[str, object]:
        """Plain types only."""
        job = self.job
        return {
            "file": self.name,
            "rows": self.rows,
            "imported": self.imported,
            "job": "" if job is None else job.id,
            "state": "not submitted" if job is None else job.state.value,
            "reason": "" if job is None else job.reason,
        }


@dataclass(frozen=True, slots=True)
class ImportReport:
    """The end of an import.

    Args:
        collection: that was filled; empty when it did not come to that.
        alias: it is for.
        files: in their order.
        counted: rows of the collection, with strong consistency; None when it did not come to that.
        ids_compared: every id in the collection was compared with those in the files.
        recorded: products that the collection's ledger knows now.
        published: the alias points at the collection now.
        already: an earlier import had finished; nothing was done.
        dropped: the half-made collection was dropped.
        importing_s: from the first job to the end of the last.
        finishing_s: index building, loading and counting.
        interrupted: by which signal; empty when it was not.
        failure: why it did not come to its end; None when it did.
    """

    collection: str
    alias: str
    files: tuple[FileOutcome, ...] = ()
    counted: int | None = None
    ids_compared: bool = False
    recorded: int = 0
    published: bool = False
    already: bool = False
    dropped: bool = False
    importing_s: float = 0.0
    finishing_s: float = 0.0
    interrupted: str = ""
    failure: VitrineError | None = None

    @property
    def rows(self) -> int:
        """Rows in the files."""
        return sum(file.rows for file in self.files)

    @property
    def imported(self) -> int:
        """Rows that the jobs say they took."""
        return sum(file.imported for file in self.files)

    @property
    def rate(self) -> float:
        """Rows imported per second, of those that this run waited for."""
        rows = sum(file.imported for file in self.files if not file.earlier)
        return rows / self.importing_s if self.importing_s > 0 else 0.0

    def as_json(self) -> Mapping[str, object]:
        """For `--json`: plain types only."""
        return {
            "collection": self.collection,
            "alias": self.alias,
            "rows": self.rows,
            "imported": self.imported,
            "in_collection": self.counted,
            "ids_compared": self.ids_compared,
            "recorded": self.recorded,
            "published": self.published,
            "already": self.already,
            "dropped": self.dropped,
            "importing_s": round(self.importing_s, 3),
            "finishing_s": round(self.finishing_s, 3),
            "rows_per_s": round(self.rate, 1),
            "interrupted": self.interrupted,
            "files": [file.as_json() for file in self.files],
            "error": None if self.failure is None else {"code": self.failure.code, "message": self.failure.message},
        }

    def print(self, console: Console) -> None:
        """The counts, and the files whose rows did not arrive."""
        title = f"{self.alias} ({self.collection}{', dropped' if self.dropped else ''})"
        console.print(title, style="bold", highlight=False)
        counted = "not counted" if self.counted is None else str(self.counted)
        table = Table("rows in the files", "imported", "in the collection")
        table.add_row(str(self.rows), "earlier" if self.already else str(self.imported), counted)
        console.print(table)
        if self.importing_s:
            took = (
                f"{self.importing_s:.1f} s, {self.rate:.0f} rows/s; {self.finishing_s:.1f} s to index, load and count"
            )
            console.print(took, highlight=False)
        self._print_files(console, [file for file in self.files if not file.agrees and not self.already])

    def _print_files(self, console: Console, short: Sequence[FileOutcome]) -> None:
        if not short:
            return
        table = Table("file", "rows", "imported", "job", "state", "reason")
        for file in short[:_SHOWN]:
            told = file.as_json()
            table.add_row(*(str(told[name]) for name in ("file", "rows", "imported", "job", "state", "reason")))
        console.print(table)
        if len(short) > _SHOWN:
            console.print(f"... and {len(short) - _SHOWN} more files.", highlight=False)
