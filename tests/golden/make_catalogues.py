"""Writes tests/data/catalogues: one small shop in every format, and H&M rows with what text files bring along.

python tests/golden/make_catalogues.py
"""

import json
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

FOLDER = Path(__file__).parents[1] / "data" / "catalogues"

# sku, name, design, colour, price, stock, vegan, since, picture. The last three are bad in every format.
SHOES = [
    ("0042", "Löafer, brown", "loafer", "brown", "89.5", "12", "true", "2026-01-31", "2026/0042.jpg"),
    ("0043", 'Boot "Alta" 27"', "boot", "black", "129", "", "false", "2026-02-01", "2026/0043.jpg"),
    ("9007199254740993", "Sandal 夏", "", "", "", "0", "", "", "2025/sandal.png"),
    ("0044", "No picture", "loafer", "brown", "89.5", "3", "true", "2026-01-31", ""),
    ("0045", "No price", "loafer", "brown", "a lot", "3", "true", "2026-01-31", "2026/0045.jpg"),
    ("42", "The first again", "loafer", "brown", "89.5", "12", "true", "2026-01-31", "2026/0042.jpg"),
]
COLUMNS = ("sku", "name", "design", "colour", "price", "stock", "vegan", "since", "picture")

MAPPING = """\
version = 1
name = "shoes"
file = "shoes.{suffix}"
image = "pictures/{{picture}}"
{extra}
[id]
column = "sku"
digits = 16

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

[[fields]]
name = "since"
type = "text"

[[fields]]
name = "size"
type = "number"
optional = true
"""


def main() -> None:
    """Writes all files anew."""
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / ".gitattributes").write_text("* -text\n")
    for suffix, extra in {"csv": 'delimiter = ";"\n', "tsv": "quoted = false\n", "jsonl": "", "parquet": ""}.items():
        (FOLDER / f"{suffix}.toml").write_text(MAPPING.format(suffix=suffix, extra=extra))
    quoted = (";".join('"' + cell.replace('"', '""') + '"' for cell in row) for row in SHOES)
    (FOLDER / "shoes.csv").write_bytes("\r\n".join([";".join(COLUMNS), *quoted, ""]).encode("utf-8-sig"))
    (FOLDER / "shoes.tsv").write_bytes("\n".join("\t".join(row) for row in [COLUMNS, *SHOES]).encode())
    (FOLDER / "shoes.jsonl").write_bytes("".join(_object(row) + "\n" for row in SHOES).encode())
    _write_parquet(FOLDER / "shoes.parquet")
    _write_surprises(FOLDER / "surprises.csv")


def _object(row: tuple[str, ...]) -> str:
    """Ids and figures as numbers, flags as flags, nothing where there is no value."""
    typed = {name: cell for name, cell in zip(COLUMNS, row, strict=True) if cell}
    plain = {"sku", "price", "stock", "vegan"}
    members = (
        f"{json.dumps(name)}: {json.dumps(cell, ensure_ascii=False) if name not in plain or cell == 'a lot' else cell}"
        for name, cell in (typed | {"sku": typed["sku"].lstrip("0")}).items()
    )
    return "{" + ", ".join([*members, '"tags": ["a", "b"]']) + "}"


def _write_parquet(path: Path) -> None:
    columns = dict(zip(COLUMNS, zip(*SHOES, strict=True), strict=True))
    flags = {"true": True, "false": False, "": None}
    table = pa.table(
        {
            "sku": pa.array([int(cell) for cell in columns["sku"]]),
            "name": pa.array(columns["name"]),
            "tags": pa.array([["a", "b"]] * len(SHOES)),
            "design": pa.array([cell or None for cell in columns["design"]]).dictionary_encode(),
            "colour": pa.array([cell or None for cell in columns["colour"]]).dictionary_encode(),
            # A column of numbers could not hold the bad one.
            "price": pa.array([cell or None for cell in columns["price"]]),
            # As a data frame keeps whole numbers with gaps.
            "stock": pa.array([float(cell or "nan") for cell in columns["stock"]]),
            "vegan": pa.array([flags[cell] for cell in columns["vegan"]]),
            "since": pa.array([date.fromisoformat(cell) if cell else None for cell in columns["since"]]),
            "picture": pa.array(columns["picture"]),
        }
    )
    pq.write_table(table, path, row_group_size=4)


def _write_surprises(path: Path) -> None:
    def row(product_id: str, title: str, code: str = "0108775") -> bytes:
        return f"{product_id},{code},{title}\r\n".encode()

    path.write_bytes(
        b"\xef\xbb\xbfarticle_id,product_code,prod_name\r\n"
        + row("0108775015", "Strap top")
        + row("108775044", "Zero lost", "108775")
        + row("0108775051", "Caf\u00e9 top composed")
        + row("0108775052", "Cafe\u0301 top decomposed")
        + row("0108775053", "Zero\u200bwidth")
        + row("0108775054", '"two\r\nlines, and a comma"')
        + b"0108775055,0108775,Caf\xe9 in CP1252\r\n"
        + b"0108775056,0108775,Smart \x93quotes\x94\r\n"
        + row("0108775\u200b057", "Zero width in the id")
        + row("\ufeff0108775058", "A second file behind the first")
        + row("1.08775E+08", "Scientific")
        + b"\r\n"
        + row("0108775059", "Too many, cells")
        + b"0108775060,0108775\r\n"
        + b'0108775061,0108775,"never closed\r\n'
        + row("0108775062", "NUL \0 inside")
        + row("0108775015", "Twice")
        + b"0108775063,0108775,Plain LF\n"
        + b"0108775064,0108775,No end"
    )


if __name__ == "__main__":
    main()
