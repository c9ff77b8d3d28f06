"""JSON lines: one object a line, whose members are the cells. One broken line costs one line."""

import json
import re
from collections.abc import Collection, Iterator
from itertools import islice
from typing import BinaryIO, NoReturn

from vitrine.errors import CatalogueInvalid, RowRejected
from vitrine.indexer.formats.lines import Line, LineReader
from vitrine.indexer.formats.record import Cell, NotOneValue, Record
from vitrine.indexer.rejections import RowHasNul, RowMalformed, RowNotUtf8

SAMPLED_LINES = 1_000
SAMPLED_CHARACTERS = 4 * 1024 * 1024
"""How far the file is read ahead to learn which names its objects have."""


class _Members(list[tuple[str, object]]):
    """An object's members as they stand, doubles included."""


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


# Numbers stay the digits they are written with: an id of twenty digits, or 0.1, loses nothing on its way.
_DECODER = json.JSONDecoder(object_pairs_hook=_Members, parse_int=str, parse_float=str, parse_constant=_refuse_constant)


class JsonLinesTable:
    """Reads objects, line by line.

    Args:
        stream: binary, at its beginning.
        wanted: members that are read; others may hold anything.
        id_column: the member that names a product, also in lines that are no JSON.

    Raises:
        CatalogueInvalid: a file in UTF-16, or none of its first lines is an object.
    """

    fixed_columns = False

    def __init__(self, stream: BinaryIO, wanted: Collection[str], *, id_column: str) -> None:
        self._lines = LineReader(stream)
        self._wanted = frozenset(wanted)
        self._id_column = id_column
        self._id_pattern = re.compile(rf'{re.escape(json.dumps(id_column))}\s*:\s*(?:"([^"\\]*)"|([0-9]+))')
        self.blank_lines = 0
        self.columns = self._read_ahead()

    def __iter__(self) -> Iterator[Record]:
        while (line := self._lines.next()) is not None:
            if line.reason is None and not line.text.strip():
                self.blank_lines += 1
            else:
                yield self._record(line)

    def _read_ahead(self) -> tuple[str, ...]:
        """Names in the first objects, in order of appearance. The lines are given back."""
        lines, names, first_reason = list(self._sampled()), dict[str, None](), ""
        for line in (line for line in lines if line.text.strip()):
            try:
                names |= dict.fromkeys(name for name, _ in _members(line))
            except RowRejected as reason:
                first_reason = first_reason or f"line {line.number}: {reason.message}"
        self._lines.give_back(lines)
        if not names:
            raise CatalogueInvalid(
                f"The catalogue file has no JSON object in its first {len(lines)} lines, one object a line is needed"
                + (f"; {first_reason}" if first_reason else ".")
            )
        return tuple(names)

    def _sampled(self) -> Iterator[Line]:
        room = SAMPLED_CHARACTERS
        for line in islice(iter(self._lines.next, None), SAMPLED_LINES):
            yield line
            room -= len(line.text)
            if room < 0:
                return

    def _record(self, line: Line) -> Record:
        cells: dict[str, Cell] = {}
        try:
            for name, value in _members(line):
                if name not in self._wanted:
                    continue
                if name in cells:
                    raise RowMalformed(f"The member {name!r} stands in the object twice.")
                cells[name] = _cell(name, value)
        except RowRejected as reason:
            return Record(line.number, cells or self._guessed(line), reason)
        return Record(line.number, cells)

    def _guessed(self, line: Line) -> dict[str, Cell]:
        found = self._id_pattern.search(line.text[:4096])
        return {self._id_column: found[1] or found[2]} if found else {}


def _members(line: Line) -> _Members:
    """Raises RowRejected: the line cannot be read, or it is no object."""
    if line.reason is not None:
        raise line.reason
    try:
        value = _DECODER.decode(line.text)
    except RecursionError as error:
        raise RowMalformed("The object is nested too deep.") from error
    except ValueError as error:
        raise RowMalformed(f"The line is no JSON: {error}.") from error
    if not isinstance(value, _Members):
        raise RowMalformed("The line holds no JSON object.")
    return value


def _cell(name: str, value: object) -> Cell:
    """Raises RowHasNul, RowNotUtf8: what an escape stands for cannot be stored."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        return NotOneValue("an object" if isinstance(value, _Members) else "a list")
    if "\0" in value:
        raise RowHasNul(f"The member {name!r} contains a NUL character.")
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise RowNotUtf8(f"The member {name!r} contains half of a surrogate pair.")
    return value
