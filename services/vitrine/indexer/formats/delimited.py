"""Delimited text (CSV, TSV), record by record, such that one broken line costs one line.

Python's csv module alone is not enough: after a quote that never closes it swallows what follows, up to its field
limit. Here a record that cannot be parsed gives back every line after its first, so the next product is read as if
nothing had been wrong.
"""

import csv
from collections.abc import Collection, Iterator, Sequence
from typing import BinaryIO

from vitrine.errors import CatalogueInvalid, RowRejected
from vitrine.indexer.formats.lines import Line, LineReader
from vitrine.indexer.formats.record import Record
from vitrine.indexer.rejections import RowMalformed, RowRagged

MAX_RECORD_BYTES = 64 * 1024  # of a record over several lines: a description with line breaks, with much room
MAX_RECORD_LINES = 256


class DelimitedTable:
    """Reads a header and then records of its width.

    Args:
        stream: binary, at its beginning.
        wanted: columns whose cells are read.
        delimiter: one character.
        quoted: quotes enclose cells, as RFC 4180 says; without, a quote is a character like any other, and a record is
            always one line.

    Raises:
        CatalogueInvalid: no header, or a file in UTF-16.
    """

    fixed_columns = True

    def __init__(self, stream: BinaryIO, wanted: Collection[str], *, delimiter: str, quoted: bool = True) -> None:
        self._lines = LineReader(stream)
        self._delimiter = delimiter
        self._quoted = quoted
        self.blank_lines = 0
        self.columns = self._read_header()
        self._positions = tuple((name, self.columns.index(name)) for name in wanted if name in self.columns)

    def __iter__(self) -> Iterator[Record]:
        while (line := self._lines.next()) is not None:
            if line.reason is not None:
                yield self._broken(line, line.reason)
            elif self._is_blank(line):
                self.blank_lines += 1
            else:
                yield self._record(line)

    def _read_header(self) -> tuple[str, ...]:
        line = self._lines.next()
        while line is not None and line.reason is None and self._is_blank(line):
            line = self._lines.next()
        if line is None:
            raise CatalogueInvalid("The catalogue file is empty: it needs a header line with the columns' names.")
        try:
            if line.reason is not None:
                raise line.reason
            if "\r" in line.text.rstrip("\r\n"):
                raise RowMalformed("its lines end in CR alone; save them with LF or CRLF.")
            cells, _ = self._parse(line)
        except RowRejected as reason:
            raise CatalogueInvalid(f"The catalogue file's header cannot be read: {reason.message}") from reason
        return tuple(cell.strip() for cell in cells)

    def _record(self, first: Line) -> Record:
        try:
            cells, taken = self._parse(first)
        except RowRejected as reason:
            return self._broken(first, reason)
        if len(cells) != len(self.columns):
            self._lines.give_back(taken[1:])
            ragged = RowRagged(f"The record has {len(cells)} cells, the header {len(self.columns)} columns.")
            return Record(first.number, self._named(cells), ragged)
        return Record(first.number, self._named(cells))

    def _parse(self, first: Line) -> tuple[list[str], list[Line]]:
        """Parses the record that begins with `first`; takes more lines when a quoted cell runs over their ends.

        Returns:
            Its cells and its lines.

        Raises:
            RowMalformed: it cannot be parsed; all lines but the first are given back.
        """
        if not self._quoted:
            return first.text.rstrip("\r\n").split(self._delimiter), [first]
        taken = [first]
        try:
            return next(csv.reader(self._feed(taken), delimiter=self._delimiter, strict=True)), taken
        except csv.Error as error:
            self._lines.give_back(taken[1:])
            raise RowMalformed(f"Quoting is broken: {error}.") from error
        except RowMalformed:
            self._lines.give_back(taken[1:])
            raise

    def _feed(self, taken: list[Line]) -> Iterator[str]:
        yield taken[0].text
        size = len(taken[0].text)
        while (line := self._lines.next()) is not None:
            taken.append(line)
            size += len(line.text)
            if line.reason is not None:
                raise RowMalformed(f"A quoted cell runs into line {line.number}, which cannot be read.")
            if len(taken) > MAX_RECORD_LINES or size > MAX_RECORD_BYTES:
                raise RowMalformed(
                    f"A quote does not close within {MAX_RECORD_LINES} lines or {MAX_RECORD_BYTES} characters."
                )
            yield line.text

    def _is_blank(self, line: Line) -> bool:
        # A line of tabs is a record of empty cells where tabs delimit.
        return not line.text.strip() and self._delimiter not in line.text

    def _named(self, cells: Sequence[str]) -> dict[str, str]:
        width = len(cells)
        return {name: cells[position] for name, position in self._positions if position < width}

    def _broken(self, line: Line, reason: RowRejected) -> Record:
        """With a guess at the line's cells: good enough to name its id."""
        guessed = line.text[:4096].rstrip("\r\n").split(self._delimiter)
        return Record(line.number, self._named([cell.strip('"') for cell in guessed]), reason)
