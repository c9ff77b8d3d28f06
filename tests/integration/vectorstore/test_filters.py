"""Filters mean on the real Milvus what `filter_tree` says they mean."""

import asyncio
import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.integration.vectorstore.conftest import FIELDS, drop, in_a_loop, make_item, make_spec, unit_vectors
from vitrine.domain import FieldValue
from vitrine.settings import MilvusSettings
from vitrine.vectorstore.admin import CollectionAdmin
from vitrine.vectorstore.collection import CollectionInfo
from vitrine.vectorstore.connection import MilvusConnection
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
    compile_filter,
)
from vitrine.vectorstore.index_params import Flat
from vitrine.vectorstore.writer import CollectionWriter

HOSTILE = [
    'x" or 1==1',
    "x' or 1==1",
    '" or id != "',
    'red" || "a" == "a',
    "\\",
    '\\"',
    '\\\\"',
    "\\n",
    "a\nb",
    "a\rb",
    "a\tb",
    "\x00",
    "a\x00b",
    "\x1b[31m",
    "\x7f",
    "\u2028",
    "\ufeff",
    "%",
    "_",
    "re%",
    "r_d",
    "red",
    "Red",
    "RED",
    "redder",
    " red",
    "red ",
    "é",
    "e\u0301",
    "ﬁ",
    "\U0001f457",
    "\U0010ffff",
    "{colour}",
    "{0}",
    "$meta",
    "null",
    "true",
    "-1",
    "0x1F",
    "\\x41",
    "\\u0041",
    "\\101",
    "\\?",
    "[1]",
    "]",
    ") or (1==1",
    "--",
    "//",
    "/*",
    "u8",
    "日本語",
    "\u202eabc",
    "a" * 900,
]
NUMBERS = [None, -1e300, -2.5, -0.0, 0.1, 0.30000000000000004, 50.0, 1e-320, 1.7976931348623157e308]
INTEGERS = [None, -(2**63 - 2), -1, 0, 7, 2**53 + 1, 2**63 - 1]
FLAGS = [None, True, False]


def rows() -> dict[str, Mapping[str, FieldValue]]:
    """Values of each item by its id; the hostile texts are ids as well, where they fit."""
    made: dict[str, Mapping[str, FieldValue]] = {}
    for number, text in enumerate([*HOSTILE, None]):
        values: dict[str, FieldValue | None] = {
            "colour": text,
            "stock": INTEGERS[number % len(INTEGERS)],
            "price": NUMBERS[number % len(NUMBERS)],
            "sale": FLAGS[number % len(FLAGS)],
        }
        item_id = text if text is not None and len(text) <= 100 else f"plain{number}"
        made[item_id] = {name: value for name, value in values.items() if value is not None}
    return made


ROWS = rows()


@pytest.fixture(scope="module")
def collection(milvus_settings: MilvusSettings) -> Iterator[CollectionInfo]:
    async def fill(admin: CollectionAdmin) -> CollectionInfo:
        info = await admin.create(make_spec(index=Flat()))
        async with await MilvusConnection.open(milvus_settings) as connection:
            vector = unit_vectors(1)[0]
            items = [make_item(item_id, vector, title=item_id, **values) for item_id, values in ROWS.items()]
            await CollectionWriter(connection, info).upsert(items)
        assert await admin.count(info.name) == len(ROWS)
        return info

    info: CollectionInfo = in_a_loop(milvus_settings, fill)
    yield info
    in_a_loop(milvus_settings, lambda admin: drop(admin, info.name))


async def matching(connection: MilvusConnection, name: str, tree: FilterTree) -> set[str]:
    found = await connection.client.query(
        name,
        filter=compile_filter(tree, FIELDS),
        output_fields=["id"],
        consistency_level="Bounded",
        limit=1_000,
        timeout=10,
    )
    return {row["id"] for row in found}


COMPARE: dict[type[Any], Callable[[Any, Any], bool]] = {
    Eq: operator.eq,
    Ne: operator.ne,
    Lt: operator.lt,
    Le: operator.le,
    Gt: operator.gt,
    Ge: operator.ge,
}


def holds(tree: FilterTree, item_id: str) -> bool:
    """The meaning of a filter, in plain Python."""
    values = {"id": item_id, "title": item_id, "group": "g", **ROWS[item_id]}
    match tree:
        case All(clauses):
            return all(holds(clause, item_id) for clause in clauses)
        case AnyOf(clauses):
            return any(holds(clause, item_id) for clause in clauses)
        case Not(clause):
            return not holds(clause, item_id)
        case Exists(field):
            return field in values
        case In(field, wanted):
            return field in values and values[field] in wanted
        case Prefix(field, start):
            return field in values and str(values[field]).startswith(start)
        case _:
            if tree.field not in values:
                return False
            ours, theirs = values[tree.field], tree.value
            if isinstance(ours, str) and isinstance(theirs, str):
                return COMPARE[type(tree)](ours.encode(), theirs.encode())
            return COMPARE[type(tree)](ours, theirs)


async def test_a_hostile_text_matches_its_own_item_and_no_other(
    connection: MilvusConnection, collection: CollectionInfo
) -> None:
    for item_id, values in ROWS.items():
        assert await matching(connection, collection.name, Eq("id", item_id)) == {item_id}
        if "colour" in values:
            assert await matching(connection, collection.name, Eq("colour", values["colour"])) == {item_id}
            assert await matching(connection, collection.name, In("colour", (values["colour"],))) == {item_id}


texts = st.sampled_from(HOSTILE) | st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
integers = st.sampled_from([value for value in INTEGERS if value is not None]) | st.integers(-(2**63 - 2), 2**63 - 1)
numbers = (
    st.sampled_from([value for value in NUMBERS if value is not None])
    | st.floats(allow_nan=False, allow_infinity=False, min_value=-1e308)
    | st.integers(-100, 100)
)
text_fields = st.sampled_from(["colour", "id", "title"])
ordered = st.sampled_from([Eq, Ne, Lt, Le, Gt, Ge])


def conditions() -> st.SearchStrategy[FilterTree]:
    return st.one_of(
        st.builds(lambda kind, field, value: kind(field, value), ordered, text_fields, texts),
        st.builds(lambda kind, value: kind("stock", value), ordered, integers),
        st.builds(lambda kind, value: kind("price", value), ordered, numbers),
        st.builds(lambda kind, value: kind("sale", value), st.sampled_from([Eq, Ne]), st.booleans()),
        st.builds(In, text_fields, st.lists(texts, min_size=1, max_size=4).map(tuple)),
        st.builds(In, st.just("stock"), st.lists(integers, min_size=1, max_size=4).map(tuple)),
        st.builds(In, st.just("price"), st.lists(numbers, min_size=1, max_size=4).map(tuple)),
        st.builds(Exists, st.sampled_from(["colour", "stock", "price", "sale", "id"])),
        st.builds(Prefix, text_fields, texts.map(lambda text: text[:3])),
    )


trees = st.recursive(
    conditions(),
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.builds(All, st.lists(inner, min_size=1, max_size=3).map(tuple)),
        st.builds(AnyOf, st.lists(inner, min_size=1, max_size=3).map(tuple)),
    ),
    max_leaves=6,
)


@given(trees)
@example(Not(Lt("price", 0)))
@example(Not(Not(Ne("colour", "red"))))
@example(Eq("price", 0))
@example(Gt("stock", 2**53))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_filter_finds_what_it_means(
    milvus_settings: MilvusSettings, collection: CollectionInfo, tree: FilterTree
) -> None:
    async def ask() -> set[str]:
        async with await MilvusConnection.open(milvus_settings) as connection:
            return await matching(connection, collection.name, tree)

    assert asyncio.run(ask()) == {item_id for item_id in ROWS if holds(tree, item_id)}
