"""What every format of a catalogue file gives: records of text cells, each with the place where it stands."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from vitrine.errors import RowRejected


@dataclass(frozen=True, slots=True)
class NotOneValue:
    """A cell that holds a list or an object where one value belongs. `kind` names it for a person."""

    kind: str


Cell: TypeAlias = str | NotOneValue | None
"""Text as the file writes it: numbers with all their digits, flags as true and false. None: the file has no value."""


@dataclass(frozen=True, slots=True)
class Record:
    """One record of the file.

    Args:
        line: where it begins, counted from 1; in a format without lines, its row.
        cells: its values by column, for the columns that were asked for; of a broken record, what could still be told.
        reason: why it cannot be used; None for a good one.
    """

    line: int
    cells: Mapping[str, Cell]
    reason: RowRejected | None = None


class Table(Protocol):
    """A catalogue file that is open: one class a format. Read once, in order.

    Attributes:
        columns: names in the file's order. Where rows need not be alike, the names seen in the first of them.
        fixed_columns: every row has these columns and no others.
        blank_lines: read so far; they are no records.
    """

    @property
    def columns(self) -> tuple[str, ...]: ...

    @property
    def fixed_columns(self) -> bool: ...

    @property
    def blank_lines(self) -> int: ...

    def __iter__(self) -> Iterator[Record]:
        """Every record exactly once, good or broken.

        Raises:
            CatalogueInvalid: the file cannot be read any further.
        """
