"""Lines of a catalogue file that are broken, or look it: one function for each way, and the code of its rejection.

Every function gets the 25 cells of a good row and returns the bytes of its lines, their ends included.
"""

import csv
import io
from collections.abc import Callable, Mapping, Sequence

Write = Callable[[Sequence[str]], bytes]

ID, GROUP, TITLE, DESCRIPTION = 0, 1, 2, 24
_OVER_ONE_MIB = 1024 * 1024 + 1


def good_line(cells: Sequence[str], end: str = "\n", quoting: int = csv.QUOTE_MINIMAL) -> bytes:
    """One record as RFC 4180 has it."""
    stream = io.StringIO(newline="")
    csv.writer(stream, lineterminator=end, quoting=quoting).writerow(cells)
    return stream.getvalue().encode()


def title_in(line: bytes) -> str:
    """The title that a good record was written with."""
    return next(csv.reader(io.StringIO(line.decode(), newline="")))[TITLE]


def _with(cells: Sequence[str], position: int, value: str, end: str = "\n") -> bytes:
    return good_line([*cells[:position], value, *cells[position + 1 :]], end)


def _crlf(cells: Sequence[str]) -> bytes:
    return good_line(cells, "\r\n")


def _everything_quoted(cells: Sequence[str]) -> bytes:
    return good_line(cells, quoting=csv.QUOTE_ALL)


def _lines_in_a_cell(cells: Sequence[str]) -> bytes:
    return _with(cells, DESCRIPTION, 'First line.\nSecond, with a comma.\n\n"Fourth", quoted.')


def _crlf_in_a_cell(cells: Sequence[str]) -> bytes:
    return _with(cells, DESCRIPTION, "First line.\r\nSecond line.", "\r\n")


def _invisible_in_the_title(cells: Sequence[str]) -> bytes:
    return _with(cells, TITLE, "Zero\u200bwidth\u2060 \ufeff\u202etfel ot thgir")


def _many_scripts_in_the_title(cells: Sequence[str]) -> bytes:
    return _with(cells, TITLE, "Ärmel e\u0301te\u0301 袖 فستان 👗🏽 ﬁne\u00a0blouse")


def _long_title(cells: Sequence[str]) -> bytes:
    return _with(cells, TITLE, "é" * 700)


def _long_description(cells: Sequence[str]) -> bytes:
    return _with(cells, DESCRIPTION, "Ein langer Text, der kein Ende findet. " * 200)


def _blanks_around_the_id(cells: Sequence[str]) -> bytes:
    return _with(cells, ID, f"  {cells[ID]}\t")


def without_leading_zeros(cells: Sequence[str]) -> bytes:
    """As a tool writes it that took the id for a number."""
    return _with(cells, ID, cells[ID].lstrip("0"))


GOOD_ROWS: Mapping[str, Write] = {
    "good: line ends in CRLF": _crlf,
    "good: every cell is quoted": _everything_quoted,
    "good: line feeds in a cell": _lines_in_a_cell,
    "good: CRLF in a cell": _crlf_in_a_cell,
    "good: invisible characters in the title": _invisible_in_the_title,
    "good: many scripts in the title": _many_scripts_in_the_title,
    "good: title is too long": _long_title,
    "good: description is too long": _long_description,
    "good: blanks around the id": _blanks_around_the_id,
    "good: id lost its leading zeros": without_leading_zeros,
}
"""Odd, and to be taken."""


def _blank_id(cells: Sequence[str]) -> bytes:
    return _with(cells, ID, "")


def _id_of_blanks(cells: Sequence[str]) -> bytes:
    return _with(cells, ID, "   ")


def _float_id(cells: Sequence[str]) -> bytes:
    return _with(cells, ID, f"{cells[ID].lstrip('0')}.0")


def _scientific_id(cells: Sequence[str]) -> bytes:
    return _with(cells, ID, f"{int(cells[ID]):.5E}")


def _word_for_an_id(cells: Sequence[str]) -> bytes:
    return _with(cells, ID, "unknown")


def _long_id(cells: Sequence[str]) -> bytes:
    return _with(cells, ID, f"{cells[ID]}0")


def _zero_width_in_the_id(cells: Sequence[str]) -> bytes:
    return _with(cells, ID, f"{cells[ID][:5]}\u200b{cells[ID][5:]}")


def _foreign_digits_in_the_id(cells: Sequence[str]) -> bytes:
    return _with(cells, ID, cells[ID][:-1] + "\u0665")


def _long_group(cells: Sequence[str]) -> bytes:
    return _with(cells, GROUP, "G" * 129)


def _cell_missing(cells: Sequence[str]) -> bytes:
    return good_line(cells[:-1])


def _line_cut_off(cells: Sequence[str]) -> bytes:
    return good_line(cells[:3])


def _cell_too_many(cells: Sequence[str]) -> bytes:
    return good_line([*cells, "one more"])


def _comma_unquoted(cells: Sequence[str]) -> bytes:
    """Somebody joined the cells by hand."""
    return ",".join([*cells[:TITLE], "Blouse, red", *cells[TITLE + 1 : DESCRIPTION], "Plain."]).encode() + b"\n"


def _text_after_a_quote(cells: Sequence[str]) -> bytes:
    return ",".join([*cells[:TITLE], '"Blouse" red', *cells[TITLE + 1 : DESCRIPTION], "Plain."]).encode() + b"\n"


def _bare_carriage_return(cells: Sequence[str]) -> bytes:
    return ",".join([*cells[:TITLE], "Blouse\rred", *cells[TITLE + 1 : DESCRIPTION], "Plain."]).encode() + b"\n"


def _latin_1(cells: Sequence[str]) -> bytes:
    return _with(cells, TITLE, "Ärmel").decode().encode("latin-1", errors="replace")


def _cut_character(cells: Sequence[str]) -> bytes:
    """A tool cut the text at so many bytes, in the middle of an é."""
    return _with(cells, TITLE, "XX").replace(b"XX", b"\xc3")


def _nul(cells: Sequence[str]) -> bytes:
    return _with(cells, TITLE, "Blouse\0red")


def _endless(cells: Sequence[str]) -> bytes:
    return _with(cells, DESCRIPTION, "x" * _OVER_ONE_MIB)


BAD_ROWS: Mapping[str, tuple[str, Write]] = {
    "id is empty": ("id_missing", _blank_id),
    "id is blank": ("id_missing", _id_of_blanks),
    "id became a float": ("id_invalid", _float_id),
    "id in scientific notation": ("id_invalid", _scientific_id),
    "id is a word": ("id_invalid", _word_for_an_id),
    "id has a digit too many": ("id_invalid", _long_id),
    "id with a zero-width character": ("id_invalid", _zero_width_in_the_id),
    "id with a digit of another script": ("id_invalid", _foreign_digits_in_the_id),
    "group is too long": ("field_invalid", _long_group),
    "row lacks a cell": ("row_ragged", _cell_missing),
    "row is cut off": ("row_ragged", _line_cut_off),
    "row has a cell too many": ("row_ragged", _cell_too_many),
    "comma is not quoted": ("row_ragged", _comma_unquoted),
    "text after a closing quote": ("row_malformed", _text_after_a_quote),
    "bare carriage return": ("row_malformed", _bare_carriage_return),
    "row in Latin-1": ("row_not_utf8", _latin_1),
    "character is cut": ("row_not_utf8", _cut_character),
    "NUL in a row": ("row_nul", _nul),
    "line of over 1 MiB": ("row_too_long", _endless),
}
"""Kinds of rows that are rejected: the code, and what writes one. An unclosed quote is apart: it needs a next row."""


def unclosed_quote(cells: Sequence[str]) -> bytes:
    """A row whose last quote does not close. What follows it must begin with `good_line(..., csv.QUOTE_ALL)`: at the
    first quote of that line the broken cell seems to end, but what stands behind is no delimiter."""
    return ",".join([*cells[:DESCRIPTION], '"Plain']).encode() + b"\n"
