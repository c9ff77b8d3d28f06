"""Delimited text, record by record, such that one broken line costs one line.

Python's csv module alone is not enough: after a quote that never closes it swallows what follows, up to its field
limit. Here a record that cannot be parsed gives back every line after its first, so the next product is read as if
nothing had been wrong. Limits per line and per record keep memory flat, whatever the file is.
"""

import csv
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from vitrine.errors import CatalogueInvalid, RowRejected
from vitrine.indexer.rejections import RowHasNul, RowMalformed, RowNotUtf8, RowRagged, RowTooLong

MAX_LINE_BYTES = 1024 * 1024
MAX_RECORD_BYTES = 64 * 1024  # of a record over several lines: a description with line breaks, with much room
MAX_RECORD_LINES = 256
_UTF8_BOM = b"\xef\xbb\xbf"
_UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True)
class Record:
    """One record of the file.

    Args:
        line: where it begins, counted from 1.
        cells: its values; of a broken record, what could still be told apart.
        reason: why it cannot be used; None for a good one.
    """

    line: int
    cells: tuple[str, ...]
    reason: RowRejected | None = None


@dataclass(frozen=True, slots=True)
class _Line:
    number: int
    text: str
    reason: RowRejected | None


class RecordReader:
    """Reads a header and then records of its width.

    Args:
        stream: binary, at its beginning.
        delimiter: one character.

    Raises:
        CatalogueInvalid: no header, or a file in UTF-16.
    """

    def __init__(self, stream: BinaryIO, delimiter: str) -> None:
        self._stream = stream
        self._delimiter = delimiter
        self._returned: deque[_Line] = deque()
        self._number = 0
        self.blank_lines = 0
        self.header = self._read_header()

    def __iter__(self) -> Iterator[Record]:
        width = len(self.header)
        while (line := self._next_line()) is not None:
            if line.reason is not None:
                yield Record(line.number, self._cells_of(line.text), line.reason)
            elif not line.text.strip():
                self.blank_lines += 1
            else:
                yield self._record(line, width)

    def _read_header(self) -> tuple[str, ...]:
        line = self._next_line()
        while line is not None and line.reason is None and not line.text.strip():
            line = self._next_line()
        if line is None:
            raise CatalogueInvalid("The catalogue file is empty: it needs a header line with the columns' names.")
        if line.reason is not None:
            raise CatalogueInvalid(f"The catalogue file's header cannot be read: {line.reason.message}")
        record = self._record(line, width=None)
        if record.reason is not None:
            raise CatalogueInvalid(f"The catalogue file's header cannot be read: {record.reason.message}")
        return tuple(cell.strip() for cell in record.cells)

    def _record(self, first: _Line, width: int | None) -> Record:
        """Parses the record that begins with `first`; takes more lines when a quoted cell runs over their ends."""
        taken = [first]
        try:
            cells = next(csv.reader(self._feed(taken), delimiter=self._delimiter, strict=True))
        except (csv.Error, RowRejected) as error:
            self._give_back(taken)
            reason = error if isinstance(error, RowRejected) else RowMalformed(f"Quoting is broken: {error}.")
            return Record(first.number, self._cells_of(first.text), reason)
        if width is not None and len(cells) != width:
            self._give_back(taken)
            reason = RowRagged(f"The record has {len(cells)} cells, the header {width} columns.")
            return Record(first.number, tuple(cells), reason)
        return Record(first.number, tuple(cells))

    def _feed(self, taken: list[_Line]) -> Iterator[str]:
        yield taken[0].text
        size = len(taken[0].text)
        while (line := self._next_line()) is not None:
            taken.append(line)
            size += len(line.text)
            if line.reason is not None:
                raise RowMalformed(f"A quoted cell runs into line {line.number}, which cannot be read.")
            if len(taken) > MAX_RECORD_LINES or size > MAX_RECORD_BYTES:
                raise RowMalformed(
                    f"A quote does not close within {MAX_RECORD_LINES} lines or {MAX_RECORD_BYTES} characters."
                )
            yield line.text

    def _give_back(self, taken: list[_Line]) -> None:
        self._returned.extendleft(reversed(taken[1:]))

    def _cells_of(self, text: str) -> tuple[str, ...]:
        """A guess at the cells of a broken line: good enough to name its id."""
        return tuple(cell.strip('"') for cell in text[:4096].rstrip("\r\n").split(self._delimiter))

    def _next_line(self) -> _Line | None:
        if self._returned:
            return self._returned.popleft()
        data = self._stream.readline(MAX_LINE_BYTES + 1)
        if not data:
            return None
        self._number += 1
        if self._number == 1:
            if data.startswith(_UTF16_BOMS):
                raise CatalogueInvalid("The catalogue file is UTF-16; save it as UTF-8.")
            data = data.removeprefix(_UTF8_BOM)
        if len(data) > MAX_LINE_BYTES:
            self._skip_rest_of_line(data)
            return self._broken(data[:4096], RowTooLong(f"The line is longer than {MAX_LINE_BYTES} bytes."))
        if b"\0" in data:
            return self._broken(data, RowHasNul("The line contains a NUL character."))
        try:
            return _Line(self._number, data.decode("utf-8"), None)
        except UnicodeDecodeError as error:
            return self._broken(data, RowNotUtf8(f"Byte {error.start + 1} of the line is not UTF-8."))

    def _broken(self, data: bytes, reason: RowRejected) -> _Line:
        return _Line(self._number, data.decode("utf-8", errors="surrogateescape"), reason)

    def _skip_rest_of_line(self, data: bytes) -> None:
        while data and not data.endswith(b"\n"):
            data = self._stream.readline(MAX_LINE_BYTES)
