"""What a check of bulk files found."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong at one place, or at several places of one column.

    Args:
        code: of the closed set in docs/bulk-import.md.
        message: one sentence for a person.
        file: name of the file; empty where it is about the folder.
        row: the first row concerned, counted from 1 within the file; 0 where it is about the file.
        column: its name; empty where it is about the whole row or file.
        count: rows concerned.
    """

    code: str
    message: str
    file: str = ""
    row: int = 0
    column: str = ""
    count: int = 1

    @property
    def place(self) -> str:
        """Where, for a person."""
        parts = [self.file, f"row {self.row}" if self.row else "", self.column]
        return ", ".join(part for part in parts if part)


@dataclass(frozen=True, slots=True)
class CheckReport:
    """The end of a check.

    Args:
        folder: that was checked.
        rows: looked at, in all files.
        files: looked at.
        problems: in the order of files; none: the files can be imported.
    """

    folder: str
    rows: int
    files: int
    problems: tuple[Problem, ...] = field(default=())

    @property
    def good(self) -> bool:
        """Whether Milvus can be given the files."""
        return not self.problems

    def as_json(self) -> Mapping[str, object]:
        """For `--json`: plain types only."""
        return {
            "folder": self.folder,
            "rows": self.rows,
            "files": self.files,
            "good": self.good,
            "problems": [
                {
                    "code": one.code,
                    "file": one.file,
                    "row": one.row,
                    "column": one.column,
                    "count": one.count,
                    "message": one.message,
                }
                for one in self.problems
            ],
        }

    def print(self, console: Console) -> None:
        """A table of problems, or a sentence that there are none."""
        looked = f"{self.rows} rows in {self.files} files of {self.folder}"
        if self.good:
            console.print(f"{looked}: nothing wrong.", highlight=False, soft_wrap=True)
            return
        table = Table("code", "where", "rows", "what")
        for one in self.problems:
            table.add_row(one.code, one.place, str(one.count) if one.row else "", one.message)
        console.print(f"{looked}: {len(self.problems)} problems.", highlight=False, soft_wrap=True)
        console.print(table)
