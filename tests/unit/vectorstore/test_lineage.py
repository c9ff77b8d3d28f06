from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitrine.vectorstore.collection import CollectionSpec, properties_of
from vitrine.vectorstore.index_params import Flat
from vitrine.vectorstore.lineage import PROPERTY_LINEAGE, GateRecord, Lineage

MOMENTS = st.none() | st.datetimes(timezones=st.just(UTC))
GATES = st.builds(GateRecord, st.text(), st.none() | st.booleans(), st.text(), st.text())
LINEAGES = st.builds(
    Lineage,
    st.text(),
    MOMENTS,
    st.integers(0, 10**12),
    MOMENTS,
    st.text(),
    st.text(),
    st.lists(GATES, max_size=3).map(tuple),
    st.booleans(),
    MOMENTS,
    MOMENTS,
)


@given(LINEAGES)
def test_a_lineage_is_read_as_it_was_written(lineage: Lineage) -> None:
    assert Lineage.from_text(lineage.as_text()) == lineage


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "7", '{"rows":"many"}', '{"finished_at":3}', '{"gates":[{"name":"rows"}]}']
)
def test_a_text_that_is_no_lineage_keeps_nothing_from_being_searched(text: str) -> None:
    assert Lineage.from_text(text) == Lineage()


def test_a_lineage_of_a_later_version_is_read_as_far_as_it_is_known() -> None:
    text = '{"alias":"shop","promoted_at":"2026-01-01T01:00:00+01:00","approved_by":"x"}'
    assert Lineage.from_text(text) == Lineage("shop", promoted_at=datetime(2026, 1, 1, tzinfo=UTC))


def test_a_collection_knows_from_its_first_moment_which_alias_it_is_for() -> None:
    spec = CollectionSpec("shop_v2", 4, (), Flat(), "f" * 64, "demo", alias="shop")
    properties = properties_of(spec, attempt="a", created_at=datetime(2026, 1, 1, tzinfo=UTC))
    assert Lineage.from_text(properties[PROPERTY_LINEAGE]) == Lineage(alias="shop")
