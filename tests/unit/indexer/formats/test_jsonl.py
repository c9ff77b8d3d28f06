import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitrine.errors import CatalogueInvalid
from vitrine.indexer.formats import lines
from vitrine.indexer.formats.jsonl import JsonLinesTable
from vitrine.indexer.formats.record import NotOneValue, Record

WANTED = ("id", "text")


def read(data: bytes) -> tuple[JsonLinesTable, list[Record]]:
    table = JsonLinesTable(io.BytesIO(data), WANTED, id_column="id")
    return table, list(table)


def codes(found: list[Record]) -> list[str | None]:
    return [record.reason.code if record.reason else None for record in found]


def only_cells(line: str) -> dict[str, object]:
    (record,) = read(line.encode())[1]
    assert record.reason is None
    return dict(record.cells)


def test_objects_become_records_of_the_members_asked_for() -> None:
    table, found = read(b'\xef\xbb\xbf{"id": "1", "text": "One", "more": [1]}\r\n\n{"text": null, "id": "2"}')
    assert table.columns == ("id", "text", "more")
    assert [(record.line, record.cells) for record in found] == [
        (1, {"id": "1", "text": "One"}),
        (3, {"id": "2", "text": None}),
    ]
    assert table.blank_lines == 1


@pytest.mark.parametrize(
    "written",
    ["108775015", "123456789012345678901234567890", "0.1", "1e3", "-0.0", "12345678901234567.25", "9" * 5_000],
)
def test_numbers_keep_the_digits_they_are_written_with(written: str) -> None:
    assert only_cells(f'{{"id": {written}}}') == {"id": written}


def test_flags_become_words_and_escapes_characters() -> None:
    assert only_cells(r'{"id": true, "text": "\u00e9\ud83d\udc57\n\""}') == {"id": "true", "text": 'é👗\n"'}


def test_several_values_are_told_from_one() -> None:
    assert only_cells('{"id": ["1"], "text": {"en": "One"}}') == {
        "id": NotOneValue("a list"),
        "text": NotOneValue("an object"),
    }


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b'{"id": "2", "text": "open}', "row_malformed"),
        (b'{"id": "2"} {"id": "3"}', "row_malformed"),
        (b'{"id": "2", "id": "3"}', "row_malformed"),
        (b'{"id": "2", "text": NaN}', "row_malformed"),
        (b'{"id": "2", "text": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "row_malformed"),
        (b'["id", "2"]', "row_malformed"),
        (b'"id"', "row_malformed"),
        (b'{"id": "2", "text": "caf\xe9"}', "row_not_utf8"),
        (b'{"id": "2", "text": "\\ud800"}', "row_not_utf8"),
        (b'{"id": "2", "text": "a\0b"}', "row_nul"),
        (b'{"id": "2", "text": "a\\u0000b"}', "row_nul"),
    ],
)
def test_one_broken_line_costs_one_line(line: bytes, code: str) -> None:
    _, found = read(b'{"id": "1"}\n' + line + b'\n{"id": "9"}\n')
    assert codes(found) == [None, code, None]
    assert [record.line for record in found] == [1, 2, 3]
    if line.startswith(b"{"):
        assert found[1].cells["id"] == "2"


def test_a_member_that_nobody_asked_for_may_stand_twice() -> None:
    assert codes(read(b'{"id": "1", "x": 1, "x": 2}')[1]) == [None]


def test_a_line_over_the_limit_is_rejected_with_its_id(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MAX_LINE_BYTES", 100)
    _, found = read(b'{"id": "1"}\n{"id": 2, "text": "' + b"x" * 1000 + b'"}\n{"id": "3"}\n')
    assert codes(found) == [None, "row_too_long", None]
    assert found[1].cells == {"id": "2"}


@pytest.mark.parametrize(
    "data", [b"", b"\n \n", b"[\n{\n", b'[{"id": 1}, {"id": 2}]\n', b"id,text\n1,One\n", b"PAR1\0"]
)
def test_a_file_without_an_object_is_no_catalogue(data: bytes) -> None:
    with pytest.raises(CatalogueInvalid, match="one object a line"):
        read(data)


@given(st.binary(max_size=300))
def test_any_line_costs_itself_only(middle: bytes) -> None:
    middle = middle.replace(b"\n", b"")
    table, found = read(b'{"id": "1"}\n' + middle + b'\n{"id": "9"}\n')
    assert len(found) + table.blank_lines == 3
    assert (found[0].line, found[0].reason) == (1, None)
    assert (found[-1].line, found[-1].cells, found[-1].reason) == (3, {"id": "9"}, None)


_TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)))


@given(st.dictionaries(st.sampled_from(WANTED), _TEXT | st.booleans() | st.none() | st.integers(), min_size=1))
def test_what_python_writes_is_read_back(row: dict[str, object]) -> None:
    (record,) = read(json.dumps(row, ensure_ascii=False).encode())[1]
    assert record.reason is None
    words = {True: "true", False: "false", None: None}
    for name, value in row.items():
        expected = words[value] if isinstance(value, bool | None) else str(value)
        assert record.cells[name] == expected
