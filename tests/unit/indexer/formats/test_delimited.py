import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitrine.errors import CatalogueInvalid
from vitrine.indexer.formats import delimited, lines
from vitrine.indexer.formats.delimited import DelimitedTable
from vitrine.indexer.formats.record import Record

WANTED = ("id", "text", "b", "c")


def read(data: bytes, delimiter: str = ",", *, quoted: bool = True) -> tuple[DelimitedTable, list[Record]]:
    table = DelimitedTable(io.BytesIO(data), WANTED, delimiter=delimiter, quoted=quoted)
    return table, list(table)


def ids(found: list[Record]) -> list[object]:
    return [record.cells.get("id") for record in found]


def codes(found: list[Record]) -> list[str | None]:
    return [record.reason.code if record.reason else None for record in found]


def test_a_byte_order_mark_is_not_part_of_the_first_column() -> None:
    table, found = read(b"\xef\xbb\xbfid,title\n1,One\n")
    assert table.columns == ("id", "title")
    assert found[0].cells == {"id": "1"}


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_cells_may_hold_delimiters_quotes_and_line_breaks(end: bytes) -> None:
    _, found = read(end.join([b"id,text", b'1,"a, ""b""', b'c"', b"2,d", b""]))
    assert [(record.line, record.cells["id"]) for record in found] == [(2, "1"), (4, "2")]
    assert found[0].cells["text"] == f'a, "b"{end.decode()}c'


def test_the_last_line_may_lack_its_end() -> None:
    _, found = read(b"id,text\n1,a")
    assert [record.cells for record in found] == [{"id": "1", "text": "a"}]


def test_blank_lines_are_counted_and_are_no_records() -> None:
    table, found = read(b"id,text\n\n1,a\n   \r\n2,b\n\n")
    assert [record.line for record in found] == [3, 5]
    assert table.blank_lines == 3


def test_a_quote_that_never_closes_costs_its_own_line_only() -> None:
    _, found = read(b'id,text\n1,a\n2,"open\n3,c\n4,d\n')
    assert [(record.line, record.cells["id"]) for record in found] == [(2, "1"), (3, "2"), (4, "3"), (5, "4")]
    assert codes(found) == [None, "row_malformed", None, None]


def test_a_quote_that_closes_in_a_later_line_costs_its_own_line_only() -> None:
    _, found = read(b'id,text\n1,"open\n2,"good"\n3,"good, too"\n')
    assert codes(found) == ["row_malformed", None, None]
    assert found[2].cells == {"id": "3", "text": "good, too"}


def test_lines_swallowed_by_a_ragged_record_are_read_again() -> None:
    # The quote of line 2 closes at the end of line 3, with too few cells in between.
    _, found = read(b'id,b,c\n1,"x,y\n2,y,z"\n3,u,v\n')
    assert found[0].line == 2
    assert found[0].reason is not None
    assert [record.cells["id"] for record in found if record.reason is None] == ["2", "3"]
    assert len(found) == 3


def test_ragged_rows_say_how_many_cells_they_have() -> None:
    _, found = read(b"id,text\n1\n2,a,b\n3,c\n")
    assert codes(found) == ["row_ragged", "row_ragged", None]
    assert found[0].reason is not None
    assert "1 cells" in found[0].reason.message


def test_bytes_that_are_no_utf8_reject_the_row_and_name_its_id() -> None:
    _, found = read(b"id,text\n1,caf\xe9\n2,caf\xc3\xa9\n")
    assert codes(found) == ["row_not_utf8", None]
    assert found[0].cells["id"] == "1"
    assert found[1].cells["text"] == "café"


def test_nul_rejects_the_row() -> None:
    assert codes(read(b"id,text\n1,a\0b\n2,c\n")[1]) == ["row_nul", None]


def test_a_line_without_end_is_rejected_without_being_held_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MAX_LINE_BYTES", 100)
    _, found = read(b"id,text\n1," + b"x" * 1000 + b"\n2,b\n")
    assert codes(found) == ["row_too_long", None]
    assert found[0].cells["id"] == "1"


def test_a_record_over_too_many_lines_gives_them_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delimited, "MAX_RECORD_LINES", 3)
    _, found = read(b'id,text\n1,"a\n2,b\n3,c\n4,d\n5,e"\n6,f\n')
    assert [record.cells["id"] for record in found if record.reason is None] == ["2", "3", "4", "5", "6"]
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
    table, found = read(data)
    parts = data.split(b"\n")
    physical = len(parts) - (parts[-1] == b"")
    starts = [record.line for record in found]
    assert starts == sorted(set(starts))
    assert all(2 <= line <= physical for line in starts)
    # A line is a record, blank, or inside of a record that began before it.
    assert len(found) + table.blank_lines <= physical - 1
    if physical > 1 and parts[1].strip(b" \t\r\n\f\v\x1c\x1d\x1e\x1f\x85"):
        assert found


@given(st.lists(st.tuples(st.text(min_size=1, max_size=8), st.text(max_size=20)), max_size=20))
def test_what_python_writes_is_read_back(rows: list[tuple[str, str]]) -> None:
    import csv

    rows = [tuple(cell.replace("\0", "").encode("utf-8", "replace").decode() for cell in row) for row in rows]
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows([("id", "text"), *rows])
    _, found = read(stream.getvalue().encode())
    assert [(record.cells["id"], record.cells["text"]) for record in found] == rows


def test_a_quote_is_a_character_where_quotes_mean_nothing() -> None:
    _, found = read(b'id\ttext\n1\t27" screen\n"2\t"\r\n', "\t", quoted=False)
    assert codes(found) == [None, None]
    assert [record.cells for record in found] == [{"id": "1", "text": '27" screen'}, {"id": '"2', "text": '"'}]


def test_a_line_of_tabs_is_a_record_of_empty_cells() -> None:
    table, found = read(b"id\ttext\n\t\n1\ta\n", "\t")
    assert ids(found) == ["", "1"]
    assert table.blank_lines == 0


def test_a_file_with_old_mac_line_ends_is_named() -> None:
    with pytest.raises(CatalogueInvalid, match="CR alone"):
        read(b"id,text\r1,a\r2,b\r")


@given(st.binary(max_size=400))
def test_without_quotes_any_line_costs_itself_only(tail: bytes) -> None:
    tail = tail.replace(b"\n", b"")
    table, found = read(b"id\ttext\n" + tail + b"\n9\tlast\n", "\t", quoted=False)
    assert (found[-1].line, found[-1].cells, found[-1].reason) == (3, {"id": "9", "text": "last"}, None)
    assert len(found) + table.blank_lines == 2


@given(st.binary(max_size=400))
def test_with_quotes_any_line_costs_itself_only(middle: bytes) -> None:
    middle = middle.replace(b"\n", b"")
    table, found = read(b"id,text\n" + middle + b"\n9,last\n")
    assert (found[-1].line, found[-1].cells, found[-1].reason) == (3, {"id": "9", "text": "last"}, None)
    assert len(found) + table.blank_lines == 2
