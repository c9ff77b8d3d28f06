import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitrine.errors import CatalogueInvalid
from vitrine.indexer import records
from vitrine.indexer.records import Record, RecordReader


def read(data: bytes, delimiter: str = ",") -> tuple[RecordReader, list[Record]]:
    reader = RecordReader(io.BytesIO(data), delimiter)
    return reader, list(reader)


def codes(found: list[Record]) -> list[str | None]:
    return [record.reason.code if record.reason else None for record in found]


def test_a_byte_order_mark_is_not_part_of_the_first_column() -> None:
    reader, found = read(b"\xef\xbb\xbfid,title\n1,One\n")
    assert reader.header == ("id", "title")
    assert [record.cells for record in found] == [("1", "One")]


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_cells_may_hold_delimiters_quotes_and_line_breaks(end: bytes) -> None:
    _, found = read(end.join([b"id,text", b'1,"a, ""b""', b'c"', b"2,d", b""]))
    assert [(record.line, record.cells[0]) for record in found] == [(2, "1"), (4, "2")]
    assert found[0].cells[1] == f'a, "b"{end.decode()}c'


def test_the_last_line_may_lack_its_end() -> None:
    _, found = read(b"id,text\n1,a")
    assert [record.cells for record in found] == [("1", "a")]


def test_blank_lines_are_counted_and_are_no_records() -> None:
    reader, found = read(b"id,text\n\n1,a\n   \r\n2,b\n\n")
    assert [record.line for record in found] == [3, 5]
    assert reader.blank_lines == 3


def test_a_quote_that_never_closes_costs_its_own_line_only() -> None:
    _, found = read(b'id,text\n1,a\n2,"open\n3,c\n4,d\n')
    assert [(record.line, record.cells[0]) for record in found] == [(2, "1"), (3, "2"), (4, "3"), (5, "4")]
    assert codes(found) == [None, "row_malformed", None, None]


def test_a_quote_that_closes_in_a_later_line_costs_its_own_line_only() -> None:
    _, found = read(b'id,text\n1,"open\n2,"good"\n3,"good, too"\n')
    assert codes(found) == ["row_malformed", None, None]
    assert found[2].cells == ("3", "good, too")


def test_lines_swallowed_by_a_ragged_record_are_read_again() -> None:
    # The quote of line 2 closes at the end of line 3, with too few cells in between.
    _, found = read(b'id,b,c\n1,"x,y\n2,y,z"\n3,u,v\n')
    assert found[0].line == 2
    assert found[0].reason is not None
    assert [record.cells[0] for record in found if record.reason is None] == ["2", "3"]
    assert len(found) == 3


def test_ragged_rows_say_how_many_cells_they_have() -> None:
    _, found = read(b"id,text\n1\n2,a,b\n3,c\n")
    assert codes(found) == ["row_ragged", "row_ragged", None]
    assert found[0].reason is not None
    assert "1 cells" in found[0].reason.message


def test_bytes_that_are_no_utf8_reject_the_row_and_name_its_id() -> None:
    _, found = read(b"id,text\n1,caf\xe9\n2,caf\xc3\xa9\n")
    assert codes(found) == ["row_not_utf8", None]
    assert found[0].cells[0] == "1"
    assert found[1].cells[1] == "café"


def test_nul_rejects_the_row() -> None:
    assert codes(read(b"id,text\n1,a\0b\n2,c\n")[1]) == ["row_nul", None]


def test_a_line_without_end_is_rejected_without_being_held_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "MAX_LINE_BYTES", 100)
    _, found = read(b"id,text\n1," + b"x" * 1000 + b"\n2,b\n")
    assert codes(found) == ["row_too_long", None]
    assert found[0].cells[0] == "1"


def test_a_record_over_too_many_lines_gives_them_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "MAX_RECORD_LINES", 3)
    _, found = read(b'id,text\n1,"a\n2,b\n3,c\n4,d\n5,e"\n6,f\n')
    assert [record.cells[0] for record in found if record.reason is None] == ["2", "3", "4", "5", "6"]
    assert codes(found)[0] == "row_malformed"


@pytest.mark.parametrize("data", [b"", b"\n\n", b"\xef\xbb\xbf"])
def test_an_empty_file_is_no_catalogue(data: bytes) -> None:
    with pytest.raises(CatalogueInvalid, match="header"):
        read(data)


def test_utf16_is_named() -> None:
    with pytest.raises(CatalogueInvalid, match="UTF-16"):
        read("id,text\n1,a\n".encode("utf-16"))


@given(st.binary(max_size=400))
def test_any_bytes_are_accounted_for_line_by_line(tail: bytes) -> None:
    data = b"id,text\n" + tail
    reader, found = read(data)
    lines = data.split(b"\n")
    physical = len(lines) - (lines[-1] == b"")
    starts = [record.line for record in found]
    assert starts == sorted(set(starts))
    assert all(2 <= line <= physical for line in starts)
    # A line is a record, blank, or inside of a record that began before it.
    assert len(found) + reader.blank_lines <= physical - 1
    if physical > 1 and lines[1].strip(b" \t\r\n\f\v\x1c\x1d\x1e\x1f\x85"):
        assert found


@given(st.lists(st.tuples(st.text(min_size=1, max_size=8), st.text(max_size=20)), max_size=20))
def test_what_python_writes_is_read_back(rows: list[tuple[str, str]]) -> None:
    import csv

    rows = [tuple(cell.replace("\0", "").encode("utf-8", "replace").decode() for cell in row) for row in rows]
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows([("id", "text"), *rows])
    _, found = read(stream.getvalue().encode())
    assert [record.cells for record in found] == rows
