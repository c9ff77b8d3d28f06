import re
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vitrine.domain import FieldSpec, FieldType
from vitrine.errors import FilterInvalid
from vitrine.vectorstore.filter_text import MAX_TEXT_BYTES, parse_filter_text
from vitrine.vectorstore.filter_tree import (
    MAX_DEPTH,
    All,
    AnyOf,
    Bare,
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
)
from vitrine.vectorstore.filters import compile_filter

FIELDS = (
    FieldSpec("colour", FieldType.TEXT),
    FieldSpec("size", FieldType.INTEGER),
    FieldSpec("price", FieldType.NUMBER),
    FieldSpec("new", FieldType.FLAG),
)


def compiled(text: str) -> str:
    return compile_filter(parse_filter_text(text), FIELDS)


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("colour:red", Eq("colour", Bare("red"))),
        ("colour=red", Eq("colour", Bare("red"))),
        ("colour != red", Ne("colour", Bare("red"))),
        ("price<50", Lt("price", Bare("50"))),
        ("price <= -0.5e1", Le("price", Bare("-0.5e1"))),
        ("price>50", Gt("price", Bare("50"))),
        ("price>=50", Ge("price", Bare("50"))),
        ("colour IN (red, 'dark blue', 5)", In("colour", (Bare("red"), "dark blue", Bare("5")))),
        ("title:Wr*", Prefix("title", "Wr")),
        ("title='Wrap dr'*", Prefix("title", "Wrap dr")),
        ("title:12*", Prefix("title", "12")),
        ("EXISTS price", Exists("price")),
        ("price:*", Exists("price")),
        ("colour:Größe/4-L&M", Eq("colour", Bare("Größe/4-L&M"))),
        (r'''colour:"say \"hi\" \\ 'ho'"''', Eq("colour", "say \"hi\" \\ 'ho'")),
        (r"""colour:'it\'s "x"'""", Eq("colour", 'it\'s "x"')),
        ("colour:''", Eq("colour", "")),
        ("colour:and", Eq("colour", Bare("and"))),
        ("android:1 or order:2", AnyOf((Eq("android", Bare("1")), Eq("order", Bare("2"))))),
        ("'not':1", Eq("not", Bare("1"))),
        ("a:1 AND b:2 AND c:3", All((Eq("a", Bare("1")), Eq("b", Bare("2")), Eq("c", Bare("3"))))),
        (
            "a:1 or b:2 and not c:3",
            AnyOf((Eq("a", Bare("1")), All((Eq("b", Bare("2")), Not(Eq("c", Bare("3"))))))),
        ),
        ("(a:1 or b:2)and(c:3)", All((AnyOf((Eq("a", Bare("1")), Eq("b", Bare("2")))), Eq("c", Bare("3"))))),
        ("NOT(a:1)", Not(Eq("a", Bare("1")))),
        ("\n a : 1 \t", Eq("a", Bare("1"))),
    ],
)
def test_a_text_means_a_tree(text: str, tree: FilterTree) -> None:
    assert parse_filter_text(text) == tree


@pytest.mark.parametrize(
    ("text", "position", "expected"),
    [
        ("", 1, "a field"),
        ("   ", 4, "a field"),
        ("colour", 7, "`:`"),
        ("colour:", 8, "a value"),
        ("colour:red price<5", 12, "`AND`"),
        ("colour:red AND", 15, "a field"),
        ("(colour:red", 12, "`)`"),
        ("colour:red)", 11, "the end"),
        ("colour IN red", 11, "`(`"),
        ("colour IN ()", 12, "a value"),
        ('colour:"red', 8, "a text in quotes"),
        (r'colour:"a\n"', 8, "a text in quotes"),
        ("colour==red", 8, "a value"),
        ("col\u00f6ur:red", 4, "`:`"),
        ("x" + '" or 1==1', 2, "`:`"),
        ("5:5", 1, "a field"),
        ("exists:5", 7, "a field"),
        ("a:b*c", 5, "`AND`"),
        ("price<5*", 8, "`AND`"),
    ],
)
def test_a_text_of_another_grammar_is_told_where_and_what_was_expected(text: str, position: int, expected: str) -> None:
    with pytest.raises(FilterInvalid) as caught:
        parse_filter_text(text)
    assert caught.value.details["position"] == position
    assert expected in caught.value.details["expected"]
    assert expected in caught.value.message
    # Neither terminals of the grammar nor what was sent.
    assert not re.search(r"\b(?!AND|OR|NOT|IN|EXISTS)[A-Z_]{2,}\b|Token|lark", caught.value.message)


def test_parentheses_cost_no_depth_and_no_recursion() -> None:
    deep = (MAX_TEXT_BYTES - 3) // 2
    assert parse_filter_text("(" * deep + "a:b" + ")" * deep) == Eq("a", Bare("b"))
    with pytest.raises(FilterInvalid, match="bytes"):
        parse_filter_text("(" * 10_000 + "a:b" + ")" * 10_000)


def test_levels_are_bounded_where_they_arise() -> None:
    assert compiled("NOT " * (MAX_DEPTH - 1) + "colour:red").count("not") == MAX_DEPTH - 1
    for text in ("NOT " * MAX_DEPTH + "a:b", "NOT " * 1_000 + "a:b", "(a:b AND NOT " * 200 + "a:b" + ")" * 200):
        with pytest.raises(FilterInvalid, match="levels"):
            parse_filter_text(text)


@pytest.mark.parametrize("text", ["a:" + "x" * MAX_TEXT_BYTES, "a:" + "\u20ac" * (MAX_TEXT_BYTES // 3)])
def test_a_long_text_is_refused_by_its_bytes(text: str) -> None:
    with pytest.raises(FilterInvalid) as caught:
        parse_filter_text(text)
    assert caught.value.details == {"maximum": MAX_TEXT_BYTES}


@pytest.mark.parametrize(
    ("text", "expression"),
    [
        ("colour:5", '(colour == "5")'),
        ("colour:true", '(colour == "true")'),
        ("size:5", "(size == 5)"),
        ("size:-05", "(size == -5)"),
        ("price>=5", "(price >= 5.0)"),
        ("price>=.5e1", "(price >= 5.0)"),
        ("new:TRUE", "(new == 1)"),
        ("size IN (1, 2)", "(size in [1, 2])"),
    ],
)
def test_the_field_decides_what_a_word_is(text: str, expression: str) -> None:
    assert compiled(text) == expression


@pytest.mark.parametrize(
    "text",
    [
        "size:5.5",
        "size:five",
        "size:'5'",
        "size:" + "9" * 4_000,
        "price:'5'",
        "price:nan",
        "price:inf",
        "price:1_0",
        "price:1e999",
        "price:5*",
        "new:1",
        "new:yes",
        "new:'true'",
        "new<true",
        "colour:''",
        "nothing:5",
    ],
)
def test_a_value_of_another_type_is_refused(text: str) -> None:
    with pytest.raises(FilterInvalid):
        compiled(text)


# --- properties

words = st.text(st.characters(exclude_categories=("Cs", "Cc", "Zs", "Zl", "Zp"), exclude_characters="()\"'\\,*<>=!:"))
texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
values = texts | words.filter(lambda word: word and not re.search(r"\s", word)).map(Bare)
names = st.sampled_from(["colour", "size", "price", "new", "or", "Not", "in", "exists", "with space", 'a"b', ""])
comparisons = st.builds(lambda kind, *of: kind(*of), st.sampled_from([Eq, Ne, Lt, Le, Gt, Ge]), names, values)
conditions: st.SearchStrategy[FilterTree] = (
    comparisons
    | st.builds(In, names, st.lists(values, min_size=1, max_size=3).map(tuple))
    | st.builds(Exists, names)
    | st.builds(Prefix, names, texts)
)


def _clauses(trees: st.SearchStrategy[FilterTree]) -> st.SearchStrategy[FilterTree]:
    several = st.lists(trees, min_size=2, max_size=3).map(tuple)
    return st.builds(All, several) | st.builds(AnyOf, several) | st.builds(Not, trees)


def _levels(tree: FilterTree) -> int:
    match tree:
        case All(clauses) | AnyOf(clauses):
            return 1 + max(map(_levels, clauses))
        case Not(clause):
            return 1 + _levels(clause)
        case _:
            return 1


trees = st.recursive(conditions, _clauses, max_leaves=8).filter(lambda tree: _levels(tree) <= MAX_DEPTH)
STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
ESCAPES = {"n": "\n", "r": "\r"}
SYMBOLS: dict[type, str] = {Eq: ":", Ne: "!=", Lt: "<", Le: "<=", Gt: ">", Ge: ">="}


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def printed(tree: Any) -> str:
    def value(of: object) -> str:
        return of.text if isinstance(of, Bare) else quoted(str(of))

    match tree:
        case All(clauses):
            return "(" + " AND ".join(map(printed, clauses)) + ")"
        case AnyOf(clauses):
            return "(" + " or ".join(map(printed, clauses)) + ")"
        case Not(clause):
            return f"not {printed(clause)}"
        case In(field, among):
            return f"{quoted(field)} in ({','.join(map(value, among))})"
        case Exists(field):
            return f"exists {quoted(field)}"
        case Prefix(field, start):
            return f"{quoted(field)}:{quoted(start)}*"
        case _:
            return f"{quoted(tree.field)}{SYMBOLS[type(tree)]}{value(tree.value)}"


@settings(max_examples=300, deadline=None)
@given(tree=trees)
def test_a_tree_that_is_written_down_and_read_is_the_same_tree(tree: FilterTree) -> None:
    assert parse_filter_text(printed(tree)) == tree


@settings(max_examples=300, deadline=None)
@given(text=texts.filter(bool))
def test_no_text_leaves_its_literal(text: str) -> None:
    """What stands between the quotes of the expression is the text and nothing else."""
    column, _, literal = compiled(f"colour:{quoted(text)}")[1:-1].partition(" == ")
    assert column == "colour"
    assert re.fullmatch(r'"(?:[^"\\\n\r]|\\.)*"', literal)
    assert re.sub(r"\\(.)", lambda escaped: ESCAPES.get(escaped[1], escaped[1]), literal[1:-1]) == text


@settings(max_examples=500, deadline=None)
@given(text=st.lists(st.sampled_from([*"a:5 ()'\"\\*<>=!,&é\n", "a:b", " AND ", " OR ", "NOT ", " IN ("])).map("".join))
def test_whatever_is_sent_is_read_or_refused(text: str) -> None:
    with suppress(FilterInvalid):
        expression = compile_filter(parse_filter_text(text), (FieldSpec("a", FieldType.TEXT),))
        assert re.fullmatch(r"(?:[()\[\], ]|a |==|!=|<=|>=|<|>|and |or |not |in )*", STRING.sub("", expression))


@pytest.mark.parametrize(
    "attack", ['x" or 1==1', "x' or 1==1", "x\\", 'x\\" or 1==1', "x\n or 1==1", "red*", "x) or (1==1"]
)
def test_an_attack_is_a_text_or_no_filter(attack: str) -> None:
    with suppress(FilterInvalid):
        assert "1==1" not in STRING.sub("", compiled(f"colour:{attack}"))
    assert STRING.sub("", compiled(f"colour:{quoted(attack)}")) == "(colour == )"
