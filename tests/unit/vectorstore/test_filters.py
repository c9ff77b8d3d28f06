import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitrine.domain import FieldSpec
from vitrine.errors import FilterInvalid
from vitrine.vectorstore.filters import (
    All,
    AnyOf,
    Eq,
    Exists,
    FilterTree,
    Ge,
    Gt,
    In,
    Le,
    Lt,
    Ne,
    Not,
    Prefix,
    _first_after,
    any_id_of,
    any_of,
    both,
    compile_filter,
    excluding_ids,
    none_of,
    parse_filter,
    quote,
)

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


@pytest.mark.parametrize(
    ("tree", "expression"),
    [
        (Eq("colour", "red"), '(colour == "red")'),
        (Ne("colour", "red"), '(colour != "red" and colour != "")'),
        (Lt("price", 50), "(price < 50.0 and price != -1.7976931348623157e+308)"),
        (Ge("stock", 3), "(stock >= 3)"),
        (Gt("price", -1.5), "(price > -1.5)"),
        (Le("stock", 0), "(stock <= 0 and stock != -9223372036854775807)"),
        (Eq("sale", True), "(sale == 1)"),
        (In("colour", ("red", "blue")), '(colour in ["red", "blue"])'),
        (Exists("sale"), "(sale != -1)"),
        (Prefix("colour", "re"), '(colour >= "re" and colour < "rf")'),
        (Eq("group", "7"), '(group_key == "7")'),
        (Not(Eq("id", "1")), '(not (id == "1"))'),
        (
            All((Eq("sale", False), AnyOf((Eq("stock", 1), Eq("stock", 2))))),
            "((sale == 0) and ((stock == 1) or (stock == 2)))",
        ),
    ],
)
def test_expressions(tree: FilterTree, expression: str, fields: tuple[FieldSpec, ...]) -> None:
    assert compile_filter(tree, fields) == expression


def test_an_attempt_to_break_out_is_a_literal(fields: tuple[FieldSpec, ...]) -> None:
    assert compile_filter(Eq("colour", 'x" or 1==1'), fields) == '(colour == "x\\" or 1==1")'
    assert any_id_of(['a"] or id in ["b']) == 'id in ["a\\"] or id in [\\"b"]'


@given(TEXTS)
def test_a_quoted_text_is_one_literal_on_one_line(text: str) -> None:
    quoted = quote(text)
    assert re.fullmatch(r'"(?:[^"\\\r\n]|\\["\\rn])*"', quoted)
    meant = {"n": "\n", "r": "\r"}
    unescaped = re.sub(r"\\(.)", lambda escape: meant.get(escape[1], escape[1]), quoted[1:-1])
    assert unescaped == text


@given(TEXTS.filter(bool), TEXTS)
def test_the_end_of_a_prefix_lies_above_all_that_start_with_it_and_below_all_others(prefix: str, other: str) -> None:
    after = _first_after(prefix)
    assert after is None or (prefix + other).encode() < after.encode()
    if other.encode() > prefix.encode() and not other.startswith(prefix):
        assert after is not None
        assert other.encode() >= after.encode()


@pytest.mark.parametrize("prefix", ["\U0010ffff", "\U0010ffff\U0010ffff"])
def test_a_prefix_of_last_characters_has_no_end(prefix: str, fields: tuple[FieldSpec, ...]) -> None:
    assert compile_filter(Prefix("colour", prefix), fields) == f'(colour >= "{prefix}")'


@pytest.mark.parametrize(
    "tree",
    [
        Eq("color", "red"),
        Eq("detail", "not filterable"),
        Eq("embedding", "x"),
        Eq("group_key", "the column, not the field"),
        Eq("colour == 1 or colour", "x"),
        Eq("colour", 5),
        Eq("colour", ""),
        Eq("colour", "x" * 1_025),
        Eq("colour", "\ud800"),
        Eq("stock", 5.0),
        Eq("stock", True),
        Eq("stock", "5"),
        Eq("stock", 2**63),
        Eq("stock", -(2**63 - 1)),
        Eq("price", float("nan")),
        Eq("price", float("inf")),
        Eq("price", 10**400),
        Eq("price", -1.7976931348623157e308),
        Eq("sale", 1),
        Lt("sale", True),
        Prefix("stock", "1"),
        Prefix("colour", ""),
        In("colour", ()),
        In("colour", ("red", 5)),
        All(()),
        AnyOf(()),
    ],
)
def test_what_cannot_be_compared_is_refused(tree: FilterTree, fields: tuple[FieldSpec, ...]) -> None:
    with pytest.raises(FilterInvalid):
        compile_filter(tree, fields)


def nested(depth: int) -> FilterTree:
    tree: FilterTree = Eq("sale", True)
    for _ in range(depth - 1):
        tree = Not(tree)
    return tree


def as_json(tree: FilterTree) -> dict[str, Any]:
    return {"not": as_json(tree.clause)} if isinstance(tree, Not) else {"field": "sale", "op": "eq", "value": True}


def test_depth_conditions_and_values_are_limited(fields: tuple[FieldSpec, ...]) -> None:
    parse_filter(as_json(nested(8)))
    with pytest.raises(FilterInvalid, match="at most 8 levels"):
        parse_filter(as_json(nested(9)))
    with pytest.raises(FilterInvalid, match="at most 8 levels"):
        compile_filter(nested(10), fields)
    with pytest.raises(FilterInvalid, match="at most 100 conditions"):
        compile_filter(AnyOf(tuple(Eq("stock", n) for n in range(103))), fields)
    with pytest.raises(FilterInvalid, match="at most 1000 values"):
        compile_filter(In("stock", tuple(range(1_065))), fields)


@pytest.mark.parametrize(
    "tree",
    [
        nested(8),
        AnyOf(tuple(Eq("stock", n) for n in range(99))),
        In("stock", tuple(range(1_000))),
        All((Eq("sale", True),)),
        None,
    ],
)
def test_items_can_be_excluded_from_a_filter_that_just_fits(
    tree: FilterTree | None, fields: tuple[FieldSpec, ...]
) -> None:
    expression = compile_filter(excluding_ids(tree, ["a", 'b"']), fields)
    assert '(not (id in ["a", "b\\""]))' in expression
    assert tree is None or compile_filter(tree, fields).strip("()") in expression


@pytest.mark.parametrize(
    ("data", "tree"),
    [
        ({"field": "price", "op": "lt", "value": 50}, Lt("price", 50)),
        ({"field": "sale", "op": "exists"}, Exists("sale")),
        ({"field": "colour", "op": "in", "value": ["red", "blue"]}, In("colour", ("red", "blue"))),
        ({"field": "colour", "op": "prefix", "value": "re"}, Prefix("colour", "re")),
        ({"not": {"field": "sale", "op": "eq", "value": True}}, Not(Eq("sale", True))),
        (
            {
                "all": [
                    {"field": "stock", "op": "ge", "value": 1},
                    {"any": [{"field": "stock", "op": "ne", "value": 2}]},
                ]
            },
            All((Ge("stock", 1), AnyOf((Ne("stock", 2),)))),
        ),
    ],
)
def test_json_becomes_a_tree(data: object, tree: FilterTree) -> None:
    assert parse_filter(data) == tree


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        "colour:red",
        {},
        {"all": {}},
        {"all": [], "any": []},
        {"any": "x"},
        {"not": []},
        {"field": "a", "op": "like", "value": "x"},
        {"field": "a", "op": "eq"},
        {"field": "a", "op": "exists", "value": 1},
        {"field": "a", "op": "eq", "value": None},
        {"field": "a", "op": "eq", "value": {"$ne": 1}},
        {"field": "a", "op": "in", "value": "abc"},
        {"field": "a", "op": "in", "value": [["x"]]},
        {"field": "a", "op": "prefix", "value": 5},
        {"field": 5, "op": "eq", "value": 5},
        {"field": "a", "op": ["eq"], "value": 5},
        {"field": "a", "op": "eq", "value": 5, "extra": 1},
        {"all": [{"field": "a", "op": "exists"}] * 101},
        {"field": "a", "op": "in", "value": [1] * 1_001},
    ],
)
def test_json_of_another_shape_is_refused(data: object) -> None:
    with pytest.raises(FilterInvalid):
        parse_filter(data)


def test_the_catalogues_name_for_groups_means_the_group(fields: tuple[FieldSpec, ...]) -> None:
    assert compile_filter(Eq("product_code", "7"), fields, "product_code") == '(group_key == "7")'
    with pytest.raises(FilterInvalid) as caught:
        compile_filter(Eq("product_code", "7"), fields)
    assert "product_code" not in caught.value.details["known"]


def test_a_declared_field_and_a_word_of_the_api_come_before_the_catalogues_name_for_groups(
    fields: tuple[FieldSpec, ...],
) -> None:
    assert compile_filter(Eq("colour", "red"), fields, "colour") == '(colour == "red")'
    assert compile_filter(Eq("id", "1"), fields, "id") == '(id == "1")'


def test_values_of_the_collection_itself_are_literals_too() -> None:
    assert any_of("colour", ['x" or 1==1', "a\\"]) == 'colour in ["x\\" or 1==1", "a\\\\"]'
    assert none_of("stock", [3, -4]) == "(not (stock in [3, -4]))"


def test_expressions_are_joined_each_in_brackets() -> None:
    assert both("a == 1 or b == 2", "c == 3") == "(a == 1 or b == 2) and (c == 3)"
    assert both("", "c == 3") == both("c == 3", "") == "c == 3"
    assert both("", "") == ""
