"""What of an item can be stored, and how it is told what cannot."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitrine.domain import EmbeddedItem, FieldSpec, FieldType
from vitrine.errors import InvalidInput, LimitExceeded, TextMalformed
from vitrine.gateway.items.checking import SentItem, check_path, checked_item
from vitrine.vectorstore.columns import columns_of, loaded, values_in

FIELDS = (
    FieldSpec("colour", FieldType.TEXT, max_bytes=8),
    FieldSpec("price", FieldType.NUMBER),
    FieldSpec("stock", FieldType.INTEGER),
    FieldSpec("sale", FieldType.FLAG),
)
LARGEST = 2**63 - 1
UNIT = np.array([1, 0, 0, 0], np.float32)


def sent(**members: Any) -> SentItem:
    return SentItem(**{"id": "p1", "picture": b"picture", **members})


def test_a_whole_item_is_taken_as_it_is() -> None:
    item = checked_item(
        sent(
            id="shop/1 é",
            image_path="images/1.jpg",
            title="Dress\nlong",
            group="d1",
            fields={"colour": "rød", "price": 5, "stock": -3, "sale": False},
        ),
        FIELDS,
    )
    assert (item.id, item.image_path, item.title, item.group) == ("shop/1 é", "images/1.jpg", "Dress\nlong", "d1")
    assert item.fields == {"colour": "rød", "price": 5.0, "stock": -3, "sale": False}
    assert isinstance(item.fields["price"], float), "as it will be read back"


def test_a_whole_number_is_an_integer_however_json_spells_it() -> None:
    stock = checked_item(sent(fields={"stock": 20.0}), FIELDS).fields["stock"]
    assert (stock, type(stock)) == (20, int)


def test_null_and_empty_are_no_value() -> None:
    assert checked_item(sent(fields={"colour": None, "price": None}), FIELDS).fields == {}
    assert checked_item(sent(fields={"colour": ""}), FIELDS).fields == {}


@pytest.mark.parametrize(
    ("members", "kind", "field"),
    [
        ({"id": "é" * 65}, InvalidInput, "id"),
        ({"id": ""}, InvalidInput, "id"),
        ({"id": "\ud800"}, InvalidInput, "id"),
        ({"id": "a\nb"}, InvalidInput, "id"),
        ({"id": "a\u200bb"}, InvalidInput, "id"),
        ({"id": "a\u2028b"}, InvalidInput, "id"),
        ({"id": "a\ufffdb"}, InvalidInput, "id"),
        ({"id": ".."}, InvalidInput, "id"),
        ({"id": "a/./b"}, InvalidInput, "id"),
        ({"id": "../a"}, InvalidInput, "id"),
        ({"picture": None}, InvalidInput, "image"),
        ({"title": "é" * 257}, LimitExceeded, "title"),
        ({"title": "a\0"}, TextMalformed, "title"),
        ({"title": "\udc00"}, TextMalformed, "title"),
        ({"group": "g" * 129}, LimitExceeded, "group"),
        ({"image_path": "é" * 513}, LimitExceeded, "image_path"),
        ({"image_path": "../a.jpg"}, InvalidInput, "image_path"),
    ],
)
def test_what_cannot_be_stored_is_refused_by_name(
    members: dict[str, Any], kind: type[InvalidInput], field: str
) -> None:
    with pytest.raises(kind) as caught:
        checked_item(sent(**members), FIELDS)
    assert caught.value.details["field"] == field
    assert type(caught.value) is kind


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("colour", 5),
        ("colour", "far too long"),
        ("colour", "a\0"),
        ("price", "5"),
        ("price", True),
        ("price", float("nan")),
        ("price", float("inf")),
        ("price", 10**400),
        ("price", -1.7976931348623157e308),
        ("stock", 1.5),
        ("stock", "1"),
        ("stock", float("nan")),
        ("stock", True),
        ("stock", LARGEST + 1),
        ("stock", -LARGEST),
        ("sale", 1),
        ("sale", "true"),
        ("size", "M"),
        ("id", "p2"),
        ('colour" or 1==1', "x"),
    ],
)
def test_values_of_other_types_and_unknown_fields_are_refused(name: str, value: Any) -> None:
    with pytest.raises(InvalidInput) as caught:
        checked_item(sent(fields={"sale": True, name: value}), FIELDS)
    (finding,) = caught.value.details["errors"]
    assert finding["path"] == f"fields.{name}"
    assert caught.value.message.startswith(f"fields.{name}: ")


def test_every_wrong_value_is_told_at_once() -> None:
    with pytest.raises(InvalidInput) as caught:
        checked_item(sent(fields={"colour": 1, "price": "x", "nothing": 1, "stock": 2}), FIELDS)
    findings = caught.value.details["errors"]
    assert [finding["path"] for finding in findings] == ["fields.colour", "fields.price", "fields.nothing"]


def test_ten_thousand_wrong_values_make_a_short_answer() -> None:
    with pytest.raises(InvalidInput) as caught:
        checked_item(sent(fields={f"x{n}" * 200: n for n in range(10_000)}), FIELDS)
    assert len(str(caught.value.details)) < 10_000


@pytest.mark.parametrize("path", ["a.jpg", "images/010/0108775015.jpg", "a b/é.webp", "a..b/c.jpg", "x" * 1024])
def test_paths_below_the_folder_pass(path: str) -> None:
    check_path(path)


@pytest.mark.parametrize(
    "path",
    [
        *("/etc/passwd", "../a", "a/../../b", "a/..", ".", "a//b", "a/", "/", "", ".hidden", "a/.git/x"),
        *("a\\b", "..\\a", "a\0b", "a\nb", "\ud800", "x" * 1025),
    ],
)
def test_paths_that_lead_elsewhere_do_not(path: str) -> None:
    with pytest.raises(InvalidInput):
        check_path(path)


values = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12)


@given(
    item_id=st.text(min_size=1, max_size=130),
    title=st.text(max_size=20),
    fields=st.dictionaries(st.sampled_from(["colour", "price", "stock", "sale"]), values),
)
def test_whatever_passes_can_be_stored_and_is_read_back_the_same(
    item_id: str, title: str, fields: dict[str, Any]
) -> None:
    try:
        item = checked_item(sent(id=item_id, title=title, fields=fields), FIELDS)
    except InvalidInput:
        return
    columns = {column.field_name: column for column in columns_of([EmbeddedItem(item, UNIT)], FIELDS, 4)}
    read = {spec.name: loaded(spec, values_in(columns[spec.name])[0]) for spec in FIELDS}
    assert {name: value for name, value in read.items() if value is not None} == item.fields
    assert values_in(columns["title"]) == [title]
