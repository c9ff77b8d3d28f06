"""Puts good and defective products into a catalogue that is being made, and keeps account of what each must become."""

import csv
import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.harness.defective_pictures import BAD_PICTURES, GOOD_PICTURES, Place
from tests.harness.defective_rows import (
    BAD_ROWS,
    GOOD_ROWS,
    GROUP,
    ID,
    TITLE,
    Write,
    good_line,
    title_in,
    unclosed_quote,
    without_leading_zeros,
)
from vitrine.demo.articles import article_row
from vitrine.demo.design import Product

_FIRST_ID, _LAST_ID = 108_775_001, 959_461_001  # H&M's range: every id has a leading zero, and there are 86 folders
_SHARE = 0.002  # of all rows, for each kind of defect
_MOST_OF_KIND = {"line of over 1 MiB": 3, "picture has too many bytes": 5}  # each costs megabytes of reading
_LINKS_OF_A_FILE = 30_000  # file systems end at 65,000 or less
_SETTLED = 1_700_000_000  # when the pictures were made, in seconds: long ago, so that their time can be relied on


@dataclass(frozen=True, slots=True)
class Fate:
    """What must become of one record.

    Args:
        product_id: its id as it must be stored.
        title: as the file has it.
        picture: number of the picture it shows.
        code: of its rejection; empty for a good one.
    """

    product_id: str
    title: str
    picture: int
    code: str = ""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Lines that stay together: each record's bytes and its fate."""

    records: tuple[tuple[bytes, Fate], ...]


class Planting:
    """The chunks of a catalogue, each with the place, from 0 to 1, where it comes in the file.

    Args:
        folder: the catalogue's.
        rows: how many records it shall have; the numbers of defects follow from it.
        products: what the pictures show.
        pictures: JPEGs, one for each product.
        rng: seeded.
    """

    def __init__(
        self, folder: Path, rows: int, products: list[Product], pictures: tuple[bytes, ...], rng: random.Random
    ) -> None:
        self.chunks: list[tuple[float, Chunk]] = []
        self.planted: Counter[str] = Counter()
        self.records = 0
        self._folder = folder
        self._rows = rows
        self._products = products
        self._pictures = pictures
        self._rng = rng
        self._ids = _ids(rows)
        self._files: dict[int, Path] = {}

    def defects(self) -> None:
        """Everything that is odd or wrong, each kind at least once."""
        for kind, write in GOOD_ROWS.items():
            self._repeat(kind, partial(self._good, write=write))
        for kind, place in GOOD_PICTURES.items():
            self._repeat(kind, partial(self._good, place=place))
        for kind, (code, write) in BAD_ROWS.items():
            self._repeat(kind, partial(self._bad_row, code, write))
        for kind, (code, place) in BAD_PICTURES.items():
            self._repeat(kind, partial(self._bad_picture, code, place))
        self._repeat("quote does not close", self._unclosed_quote)
        self._repeat("id again", partial(self._duplicate, good_line))
        self._repeat("id again, without leading zeros", partial(self._duplicate, without_leading_zeros))
        self._repeat("id of a rejected row again", self._duplicate_of_rejected)

    def fill(self, records: int) -> None:
        """Plain good products until there are so many records."""
        while self.records < records:
            self._good()
            self.planted["plain"] += 1

    def orphans(self) -> int:
        """Pictures that no row names; returns how many."""

        def orphan() -> None:
            product_id = next(self._ids)
            self._link(self._path_of(product_id), self._rng.randrange(len(self._pictures)))

        return self._repeat("picture without a row", orphan)

    def last(self) -> bytes:
        """A record for the very end of the file, whose quote is closed by nothing but that end."""
        cells, _ = self._new_row()
        self.records += 1
        self.planted["quote does not close before the end"] += 1
        return unclosed_quote(cells).removesuffix(b"\n")

    def _repeat(self, kind: str, plant_one: Callable[[], object]) -> int:
        """As many of a kind as its share is, half of it more or less by chance."""
        count = min(
            max(1, round(self._rows * _SHARE * self._rng.uniform(0.5, 1.5))), _MOST_OF_KIND.get(kind, self._rows)
        )
        for _ in range(count):
            plant_one()
        self.planted[kind] = count
        return count

    def _add(self, *records: tuple[bytes, Fate], after: float = 0.0) -> float:
        """Returns where in the file they come."""
        where = self._rng.uniform(after, 1.0)
        self.chunks.append((where, Chunk(records)))
        self.records += len(records)
        return where

    def _good(self, write: Write = good_line, place: Place | None = None) -> tuple[list[str], float]:
        cells, picture = self._new_row()
        path = self._path_of(cells[ID])
        if place is None:
            self._link(path, picture)
        else:
            place(path, self._pictures[picture])
        line = write(cells)
        return cells, self._add((line, Fate(cells[ID], title_in(line), picture)))

    def _bad_picture(self, code: str, place: Place) -> tuple[list[str], float]:
        cells, picture = self._new_row()
        place(self._path_of(cells[ID]), self._pictures[picture])
        return cells, self._add((good_line(cells), Fate(cells[ID], cells[TITLE], picture, code)))

    def _bad_row(self, code: str, write: Write) -> None:
        """Its picture is there: the row alone is what is wrong."""
        cells, picture = self._new_row()
        self._link(self._path_of(cells[ID]), picture)
        self._add((write(cells), Fate(cells[ID], cells[TITLE], picture, code)))

    def _unclosed_quote(self) -> None:
        """The record after the broken one must be read as if nothing had been wrong."""
        broken, picture = self._new_row()
        self._link(self._path_of(broken[ID]), picture)
        cells, picture = self._new_row()
        self._link(self._path_of(cells[ID]), picture)
        self._add(
            (unclosed_quote(broken), Fate(broken[ID], broken[TITLE], picture, "row_malformed")),
            (good_line(cells, quoting=csv.QUOTE_ALL), Fate(cells[ID], cells[TITLE], picture)),
        )

    def _duplicate(self, write: Write) -> None:
        """The earlier one is a good product, which must be stored as it was first."""
        self._later_row(*self._good(), write)

    def _duplicate_of_rejected(self) -> None:
        """The earlier one has no picture: its id is taken nevertheless."""
        self._later_row(*self._bad_picture(*BAD_PICTURES["picture absent"]), good_line)

    def _later_row(self, cells: list[str], where: float, write: Write) -> None:
        later = [*cells]
        later[TITLE] = "A later row"
        self._add((write(later), Fate(cells[ID], later[TITLE], 0, "id_duplicate")), after=where)

    def _new_row(self) -> tuple[list[str], int]:
        """Cells of a product that was not there yet, and the number of the picture that it shows."""
        picture = self._rng.randrange(len(self._pictures))
        product_id = next(self._ids)
        cells = list(article_row(self._products[picture]).values())
        cells[ID], cells[GROUP], cells[TITLE] = product_id, product_id[:7], f"{cells[TITLE]} {product_id[3:]}"
        return cells, picture

    def _path_of(self, product_id: str) -> Path:
        path = self._folder / "images" / product_id[:3] / f"{product_id}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def _link(self, path: Path, picture: int) -> None:
        """The first file of a picture is written, the others are links to it."""
        first = self._files.get(picture)
        if first is not None and first.stat().st_nlink < _LINKS_OF_A_FILE:
            path.hardlink_to(first)
            return
        path.write_bytes(self._pictures[picture])
        os.utime(path, (_SETTLED, _SETTLED))
        self._files[picture] = path


def _ids(rows: int) -> Iterator[str]:
    """Different ids in rising order, enough for the rows and the pictures without one."""
    step = (_LAST_ID - _FIRST_ID) // (2 * rows)
    return (f"{number:010d}" for number in range(_FIRST_ID, _LAST_ID + 1, step))
