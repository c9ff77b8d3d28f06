import csv
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.fixtures.indexing import Indexing, Shelf
from tests.fixtures.shop import jpeg

MAPPING = """
version = 1
name = "formats"
file = "export/items.{suffix}"
image = "{{picture}}"
[id]
column = "sku"
digits = 6
[title]
column = "name"
[group]
column = "design"
[[fields]]
name = "colour"
type = "text"
facetable = true
[[fields]]
name = "price"
type = "number"
[[fields]]
name = "stock"
type = "integer"
[[fields]]
name = "vegan"
type = "flag"
"""
COUNT = 12


def mapping(folder: Path, suffix: str) -> Path:
    path = folder / f"{suffix}.toml"
    path.write_text(MAPPING.format(suffix=suffix))
    return path


@pytest.fixture
def catalogue(tmp_path: Path) -> Path:
    """One shop in three formats, and one product that each of them has without a picture."""
    folder = tmp_path / "shop"
    (folder / "export").mkdir(parents=True)
    (folder / "pictures").mkdir()
    numbers = range(COUNT + 1)
    for number in range(COUNT):
        (folder / "pictures" / f"{number}.jpg").write_bytes(jpeg(number))
    table = pa.table(
        {
            "sku": [4200 + number for number in numbers],
            "name": [f"Löafer {number}" for number in numbers],
            "design": [f"design {number // 2}" for number in numbers],
            "colour": pa.array(["red" if number % 2 else None for number in numbers]).dictionary_encode(),
            "price": [number + 0.1 for number in numbers],
            "stock": pa.array([None if number % 3 else number for number in numbers], pa.int32()),
            "vegan": [number % 2 == 0 for number in numbers],
            "picture": [f"pictures/{number}.jpg" for number in numbers],
        }
    )
    rows = table.to_pylist()
    pq.write_table(table, folder / "export" / "items.parquet", row_group_size=5)
    with (folder / "export" / "items.jsonl").open("w", encoding="utf-8") as jsonl:
        jsonl.writelines(json.dumps(row) + "\n" for row in rows)
    with (folder / "export" / "items.tsv").open("w", encoding="utf-8", newline="") as tsv:
        writer = csv.DictWriter(tsv, list(rows[0]), delimiter="\t")
        writer.writeheader()
        writer.writerows(rows)
    return folder


async def test_a_shop_is_the_same_in_milvus_whichever_format_it_is_written_in(
    catalogue: Path, indexing: Indexing, shelf: Shelf
) -> None:
    alias = "formats"
    first = indexing.index(catalogue, alias, "--mapping", mapping(catalogue, "parquet"))
    assert first.counts == {"read": 13, "written": 12, "unchanged": 0, "rejected": 1, "dropped": 0}
    assert first.summary["rejected_by_reason"] == {"image_missing": 1}
    assert sorted(await shelf.ids(alias)) == [f"{4200 + number:06d}" for number in range(COUNT)]
    hits = await shelf.hits(alias, ["004203", "004206"])
    odd, even = hits["004203"], hits["004206"]
    assert dict(odd.fields) == {"colour": "red", "price": 3.1, "stock": 3, "vegan": False}
    assert dict(even.fields) == {"price": 6.1, "stock": 6, "vegan": True}
    assert (odd.title, odd.group) == ("Löafer 3", "design 1")
    for suffix in ("jsonl", "tsv"):
        again = indexing.index(catalogue, alias, "--mapping", mapping(catalogue, suffix))
        assert again.counts == {"read": 13, "written": 0, "unchanged": 12, "rejected": 1, "dropped": 0}
