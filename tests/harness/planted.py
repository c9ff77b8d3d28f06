"""A catalogue in H&M's layout with every defect planted in known numbers, and the exact account it must lead to.

    python -m tests.harness.planted FOLDER --rows 105542 --seed 7

The account comes from how the catalogue was made, never from reading it back. The same rows and seed give the same
catalogue. Pictures are drawn once and linked many times, so 105,542 rows take little room.
"""

import argparse
import io
import json
import random
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.harness.planting import Planting
from vitrine.demo.articles import COLUMNS
from vitrine.demo.design import Product, sample_products
from vitrine.demo.drawing import draw

LEAST_ROWS, MOST_ROWS = 200, 200_000

_BLANK_LINES = (b"\n", b"\r\n", b"   \n", b"\t \r\n")
_BLANK_SHARE = 0.002
_BOM = b"\xef\xbb\xbf"
_JPEG_QUALITY = 88


@dataclass(frozen=True)
class Account:
    """What must become of a planted catalogue.

    Args:
        written: number of the picture that each product shows, by id.
        titles: each product's title as the file has it, by id.
        rejected: code of each rejected record, by the line it begins in.
        blank_lines: lines that are no records.
        planted: how many of each kind there are.
    """

    written: Mapping[str, int]
    titles: Mapping[str, str]
    rejected: Mapping[int, str]
    blank_lines: int
    planted: Mapping[str, int]

    @property
    def read(self) -> int:
        return len(self.written) + len(self.rejected)

    @property
    def by_code(self) -> dict[str, int]:
        """Rejections by code, as the summary of a run has them."""
        return dict(sorted(Counter(self.rejected.values()).items()))


@dataclass(frozen=True)
class PlantedCatalogue:
    """A catalogue on disk. `pictures` are the different JPEGs that its products show."""

    folder: Path
    pictures: tuple[bytes, ...]
    account: Account


def plant(folder: Path, *, rows: int, seed: int = 7, pictures: int = 240) -> PlantedCatalogue:
    """Makes the catalogue of (rows, seed, pictures).

    Args:
        folder: the catalogue's, made here; one picture is put beside it, for the links that leave it.
        rows: records in articles.csv, LEAST_ROWS to MOST_ROWS.
        seed: of everything that is random.
        pictures: different ones.

    Raises:
        ValueError: rows or pictures out of range.
        FileExistsError: the folder exists.
    """
    if not LEAST_ROWS <= rows <= MOST_ROWS or not 1 <= pictures <= rows:
        raise ValueError(f"rows from {LEAST_ROWS} to {MOST_ROWS}, pictures from 1 to rows; not {rows} and {pictures}")
    folder.mkdir(parents=True)
    rng = random.Random(seed)
    products = sample_products(pictures, seed)
    jpegs = tuple(_jpeg(product) for product in products)
    planting = Planting(folder, rows, products, jpegs, rng)
    planting.defects()
    planting.fill(rows - 1)
    planting.orphans()
    return PlantedCatalogue(folder, jpegs, _write(folder, planting, rng))


def _jpeg(product: Product) -> bytes:
    stream = io.BytesIO()
    draw(product).save(stream, "JPEG", quality=_JPEG_QUALITY)
    return stream.getvalue()


def _write(folder: Path, planting: Planting, rng: random.Random) -> Account:
    """Writes articles.csv, a byte order mark before it, and accounts for each of its lines."""
    written: dict[str, int] = {}
    titles: dict[str, str] = {}
    rejected: dict[int, str] = {}
    blank, line = 0, 2
    with (folder / "articles.csv").open("wb") as file:
        file.write(_BOM + ",".join(COLUMNS).encode() + b"\n")
        for _, chunk in sorted(planting.chunks, key=lambda placed: placed[0]):
            if rng.random() < _BLANK_SHARE or blank == 0:
                file.write(_BLANK_LINES[blank % len(_BLANK_LINES)])
                blank, line = blank + 1, line + 1
            for data, fate in chunk.records:
                if fate.code:
                    rejected[line] = fate.code
                else:
                    written[fate.product_id], titles[fate.product_id] = fate.picture, fate.title
                file.write(data)
                line += data.count(b"\n")
        file.write(planting.last())
        rejected[line] = "row_malformed"
    return Account(written, titles, rejected, blank, {**planting.planted, "blank line": blank})


def main() -> None:
    """Makes a catalogue and prints what it must lead to."""
    parser = argparse.ArgumentParser(description="Make a catalogue with planted defects.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=105_542)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--pictures", type=int, default=240, help="different ones")
    arguments = parser.parse_args()
    began = time.monotonic()
    catalogue = plant(arguments.folder, rows=arguments.rows, seed=arguments.seed, pictures=arguments.pictures)
    account = catalogue.account
    told = {
        "read": account.read,
        "written": len(account.written),
        "rejected": len(account.rejected),
        "rejected_by_reason": account.by_code,
        "blank_lines": account.blank_lines,
        "planted": account.planted,
        "seconds": round(time.monotonic() - began, 1),
    }
    print(json.dumps(told, indent=2))


if __name__ == "__main__":
    main()
