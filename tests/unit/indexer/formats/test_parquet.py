import io
import random
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitrine.errors import CatalogueInvalid
from vitrine.indexer.formats.parquet import BATCH_ROWS, ParquetTable
from vitrine.indexer.formats.record import Record

NAME = Path("items.parquet")


def written(table: pa.Table, **options: Any) -> bytes:
    stream = io.BytesIO()
    pq.write_table(table, stream, **options)
    return stream.getvalue()


def opened(data: bytes, wanted: tuple[str, ...] = ("id", "value")) -> ParquetTable:
    return ParquetTable(io.BytesIO(data), NAME, wanted, identifying=("id",))


def values(column: pa.Array) -> list[object]:
    """What a column of this content is read as."""
    table = pa.table({"value": column})
    return [record.cells["value"] for record in opened(written(table))]


def codes(found: list[Record]) -> list[str | None]:
    return [record.reason.code if record.reason else None for record in found]


def test_rows_are_counted_from_one_over_row_groups_and_batches() -> None:
    ids = [str(number) for number in range(2 * BATCH_ROWS + 7)]
    table = opened(written(pa.table({"id": ids, "other": ids}), row_group_size=100))
    found = list(table)
    assert [record.cells for record in found] == [{"id": one} for one in ids]
    assert [record.line for record in found] == list(range(1, len(ids) + 1))
    assert (table.columns, table.rows) == (("id", "other"), len(ids))


@pytest.mark.parametrize(
    ("column", "texts"),
    [
        (pa.array(["a", None, ""]), ["a", None, ""]),
        (pa.array(["a", "b", "a"]).dictionary_encode(), ["a", "b", "a"]),
        (pa.array([b"caf\xc3\xa9"], pa.binary()), ["café"]),
        (pa.array([108775015, None, -(2**63)]), ["108775015", None, str(-(2**63))]),
        (pa.array([2**64 - 1], pa.uint64()), [str(2**64 - 1)]),
        (pa.array([7, 7]).dictionary_encode(), ["7", "7"]),
        (pa.array([12.0, 0.1, float("nan"), None]), ["12", "0.1", None, None]),
        (pa.array([0.1], pa.float32()), ["0.1"]),
        (pa.array([Decimal("49.90")]), ["49.90"]),
        (pa.array([True, None, False]), ["true", None, "false"]),
        (pa.array([date(2026, 2, 3)]), ["2026-02-03"]),
        (pa.array([datetime(2026, 2, 3, 4, 5, 6)], pa.timestamp("ms")), ["2026-02-03 04:05:06.000"]),  # noqa: DTZ001
        (pa.array([datetime(2026, 2, 3, 4, tzinfo=UTC)], pa.timestamp("ms", "UTC")), ["2026-02-03 04:00:00.000Z"]),
        (pa.nulls(2), [None, None]),
    ],
)
def test_values_become_text_without_losing_a_digit(column: pa.Array, texts: list[str | None]) -> None:
    assert values(column) == texts


@pytest.mark.parametrize(
    "kind", [pa.list_(pa.string()), pa.struct([("en", pa.string())]), pa.map_(pa.string(), pa.string()), pa.time32("s")]
)
def test_columns_without_a_plain_value_are_refused_when_the_mapping_uses_them(kind: pa.DataType) -> None:
    data = written(pa.table({"id": ["1"], "value": pa.nulls(1, kind)}))
    with pytest.raises(CatalogueInvalid, match="column value is"):
        opened(data)
    assert [record.cells for record in opened(data, ("id",))] == [{"id": "1"}]


@pytest.mark.parametrize("column", [pa.array([1.0]), pa.array([True]), pa.array([Decimal("1.0")])])
def test_a_column_that_may_have_lost_digits_makes_no_ids(column: pa.Array) -> None:
    with pytest.raises(CatalogueInvalid, match="digits may be lost"):
        opened(written(pa.table({"id": column})))


def test_a_value_that_cannot_be_used_costs_its_row_alone() -> None:
    texts = pa.array([b"good", b"caf\xe9", b"a\0b", b"x" * (1024 * 1024 + 1), b"last"], pa.binary())
    found = list(opened(written(pa.table({"id": ["1", "2", "3", "4", "5"], "value": texts}))))
    assert codes(found) == [None, "row_not_utf8", "row_nul", "row_too_long", None]
    assert [record.cells["id"] for record in found] == ["1", "2", "3", "4", "5"]


def test_text_that_is_declared_utf8_and_is_not_costs_its_row_alone() -> None:
    texts = pa.array([b"good", b"caf\xe9"], pa.binary()).view(pa.string())
    assert codes(list(opened(written(pa.table({"id": ["1", "2"], "value": texts}))))) == [None, "row_not_utf8"]


@pytest.mark.parametrize("data", [b"", b"id,value\n1,a\n", b"PAR1" + b"\0" * 100 + b"PAR1"])
def test_what_is_no_parquet_is_no_catalogue(data: bytes) -> None:
    with pytest.raises(CatalogueInvalid, match=r"items\.parquet is no Parquet file"):
        opened(data)


def test_a_file_cut_short_is_refused_at_once() -> None:
    data = written(pa.table({"id": [str(number) for number in range(1_000)]}))
    with pytest.raises(CatalogueInvalid):
        opened(data[: len(data) * 2 // 3])


@given(st.randoms(use_true_random=False), st.sampled_from(["none", "snappy", "zstd"]))
def test_a_damaged_file_is_refused_or_read_to_its_end(chance: random.Random, compression: str) -> None:
    ids = [f"{number:010d}" for number in range(40)]
    data = bytearray(written(pa.table({"id": ids, "value": ids}), compression=compression, row_group_size=16))
    for _ in range(chance.choice((1, 2, 8))):
        data[chance.randrange(len(data))] = chance.randrange(256)
    found: list[Record] = []
    try:
        table = opened(bytes(data))
        for record in table:
            found.append(record)  # noqa: PERF402 - what came before an error counts
    except CatalogueInvalid:
        assert len(found) <= BATCH_ROWS
    else:
        assert [record.line for record in found] == list(range(1, table.rows + 1))
