"""A catalogue on disk, read as products: one file of rows and the folder with their pictures."""

import math
import os
import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from vitrine.domain import CatalogueItem, FieldSpec, FieldType, FieldValue
from vitrine.errors import CatalogueInvalid, ImageMissing, InvalidInput
from vitrine.indexer.formats.opening import count_rows, open_table
from vitrine.indexer.formats.record import NotOneValue, Record, Table
from vitrine.indexer.mapping import CatalogueMapping, ColumnRule, FieldRule
from vitrine.indexer.rejections import (
    FieldInvalid,
    IdDuplicate,
    IdInvalid,
    IdMissing,
    ImageOutsideCatalogue,
    Rejection,
)

MAX_ID_BYTES = 128  # the collection's primary key
MAX_IMAGE_PATH_BYTES = 512
MAX_GROUP_BYTES = 128
_DIGITS = re.compile(r"[0-9]+")
_INTEGER = re.compile(r"[+-]?[0-9]{1,19}(\.0+)?")  # 12.0: how pandas writes whole numbers of a column with gaps
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
_FLAGS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


@dataclass(frozen=True, slots=True)
class CatalogueRow:
    """A product and the line of the catalogue file that describes it."""

    item: CatalogueItem
    line: int


class Catalogue:
    """A catalogue that could be opened: its folder exists and its columns are those the mapping needs.

    Args:
        folder: the catalogue's folder; pictures are never read from outside of it.
        mapping: what its columns mean.

    Attributes:
        columns: all that the file has, in its order.
        fields: the mapping's, without optional ones whose column the file lacks.
        blank_lines: lines read so far that are no records.

    Raises:
        CatalogueInvalid: no folder, no file, no header, or a required column is missing.
    """

    def __init__(self, folder: Path, mapping: CatalogueMapping) -> None:
        self.folder = folder
        self.mapping = mapping
        self.path = folder / mapping.file
        if not folder.is_dir():
            raise CatalogueInvalid(f"There is no catalogue folder {folder}.")
        with open_table(self.path, mapping) as table:
            self.columns = table.columns
            self._columns = _checked_columns(table, mapping, self.path)
            # Where rows need not be alike, an optional column may come up in any of them.
            self._rules = tuple(
                rule for rule in mapping.fields if rule.source in self._columns or not table.fixed_columns
            )
        self.fields: tuple[FieldSpec, ...] = tuple(rule.spec for rule in self._rules)
        self.blank_lines = 0

    def rows(self, *, remember: Callable[[str], bool] = lambda _id: True) -> Iterator[CatalogueRow | Rejection]:
        """Reads the file once, in order, yielding exactly one object per record.

        Of several records with one id the first wins, whatever becomes of it. The ids seen are kept in memory (about
        10 MB per 100,000).

        Args:
            remember: whether to keep an id in mind. A shard need not: rows of other shards' products are none of its
                business, doubles or not.

        Raises:
            CatalogueInvalid: the file is damaged, was replaced by one with other columns since it was opened, or
                changed in place while it was read.
        """
        seen: set[str] = set()
        self.blank_lines = 0
        with open_table(self.path, self.mapping) as table:
            if _checked_columns(table, self.mapping, self.path) != self._columns and table.fixed_columns:
                raise CatalogueInvalid(f"{self.path} was replaced by a file with other columns. Run again.")
            for record in table:
                yield self._read(record, seen, remember)
                self.blank_lines = table.blank_lines
            self.blank_lines = table.blank_lines

    def estimated_rows(self) -> int:
        """About how many records there are, or more where cells span lines. For progress only."""
        return count_rows(self.path, self.mapping)

    def likely_image(self, rejection: Rejection) -> str:
        """Where the picture of a rejected row is, or would be if its id was read rightly; empty when nothing tells."""
        if rejection.image or not rejection.id or self.mapping.template.columns:
            return rejection.image
        product_id = _zero_filled(rejection.id, self.mapping.id.digits)
        return str(PurePosixPath(self.mapping.template.render(lambda _column: product_id)))

    def _read(self, record: Record, seen: set[str], remember: Callable[[str], bool]) -> CatalogueRow | Rejection:
        product_id, image, owns_id = self._id_as_written(record), "", False
        try:
            if record.reason is not None:
                # Still a guess, but the one that the product's own ledger entry and shard go by.
                product_id = _zero_filled(product_id, self.mapping.id.digits)
                raise record.reason
            product_id = _product_id(record, self.mapping.id)
            if product_id in seen:
                raise IdDuplicate(f"An earlier line has the id {product_id} too; the first one is kept.")
            if remember(product_id):
                seen.add(product_id)
            owns_id = True
            image = self._image_path(record, product_id)
            item = CatalogueItem(
                id=product_id,
                image=self.folder / image,
                image_path=image,
                title=_text_of(record, self.mapping.title.column),
                group=self._group(record),
                fields=self._fields(record),
            )
        except InvalidInput as reason:
            return Rejection.of(
                reason, product_id=product_id[:MAX_ID_BYTES], line=record.line, image=image, owns_id=owns_id
            )
        return CatalogueRow(item, record.line)

    def _id_as_written(self, record: Record) -> str:
        cell = record.cells.get(self.mapping.id.column)
        return cell.strip() if isinstance(cell, str) else ""

    def _group(self, record: Record) -> str:
        rule = self.mapping.group
        if rule is None:
            return ""
        group = _zero_filled(_text_of(record, rule.column), rule.digits)
        if len(group.encode()) > MAX_GROUP_BYTES:
            raise FieldInvalid(f"Column {rule.column}: the group is longer than {MAX_GROUP_BYTES} bytes.")
        return group

    def _image_path(self, record: Record, product_id: str) -> str:
        def value_of(column: str) -> str:
            return product_id if column == "id" else _text_of(record, column)

        path = self.mapping.template.render(value_of)
        if not path or path.endswith("/"):
            raise ImageMissing("The row names no picture.")
        pure = PurePosixPath(path)
        if pure.is_absolute() or ".." in pure.parts:
            raise ImageOutsideCatalogue(f"The picture {path!r} is outside of the catalogue's folder.")
        if len(path.encode()) > MAX_IMAGE_PATH_BYTES:
            raise ImageMissing(f"The picture's path is longer than {MAX_IMAGE_PATH_BYTES} bytes.")
        return str(pure)

    def _fields(self, record: Record) -> dict[str, FieldValue]:
        values: dict[str, FieldValue] = {}
        for rule in self._rules:
            value = _typed(_text_of(record, rule.source), rule)
            if value is not None:
                values[rule.name] = value
        return values


def inside(folder: Path, path: Path) -> bool:
    """Whether `path`, with every symbolic link followed, lies in `folder`, with its own links followed too."""
    real_folder = os.path.realpath(folder)
    return os.path.realpath(path).startswith(real_folder.rstrip(os.sep) + os.sep)


def _checked_columns(table: Table, mapping: CatalogueMapping, path: Path) -> frozenset[str]:
    """The columns that the mapping uses and the file has."""
    columns = table.columns
    missing = sorted(mapping.required_columns.difference(columns))
    if missing:
        raise CatalogueInvalid(
            f"{path} lacks the columns {', '.join(missing)} that mapping {mapping.name} needs; "
            f"it has {', '.join(columns[:40])}.",
            missing=missing,
        )
    twice = sorted(name for name in mapping.columns if columns.count(name) > 1)
    if twice:
        raise CatalogueInvalid(f"{path} has several columns called {', '.join(twice)}: which one is meant?")
    return mapping.columns.intersection(columns)


def _text_of(record: Record, column: str) -> str:
    """The cell without outer blanks; empty where the file has no value.

    Raises:
        FieldInvalid: it holds several values.
    """
    cell = record.cells.get(column)
    if isinstance(cell, NotOneValue):
        raise FieldInvalid(f"Column {column} holds {cell.kind}; a mapping takes single values.")
    return "" if cell is None else cell.strip()


def _zero_filled(value: str, digits: int | None) -> str:
    return value.zfill(digits) if digits is not None and _DIGITS.fullmatch(value) else value


def _product_id(record: Record, rule: ColumnRule) -> str:
    """The id by the mapping's rule: with `digits`, leading zeros that a spreadsheet dropped are put back.

    Raises:
        IdMissing, IdInvalid: see their descriptions.
    """
    cell = record.cells.get(rule.column)
    if isinstance(cell, NotOneValue):
        raise IdInvalid(f"Column {rule.column} holds {cell.kind}; an id is one value.")
    value = "" if cell is None else cell.strip()
    if not value:
        raise IdMissing(f"Column {rule.column} is empty.")
    if rule.digits is not None and (not _DIGITS.fullmatch(value) or len(value) > rule.digits):
        raise IdInvalid(f"The id {value!r} is not made of {rule.digits} digits (or fewer, leading zeros dropped).")
    product_id = _zero_filled(value, rule.digits)
    if len(product_id.encode()) > MAX_ID_BYTES:
        raise IdInvalid(f"The id is longer than {MAX_ID_BYTES} bytes.")
    if any(unicodedata.category(character) in ("Cc", "Cf", "Zl", "Zp") for character in product_id):
        raise IdInvalid(f"The id {product_id!r} holds control or invisible characters.")
    return product_id


def _typed(value: str, rule: FieldRule) -> FieldValue | None:
    """A cell's text in its declared type; None where it is empty and the type is not text.

    Raises:
        FieldInvalid: the text is no value of that type.
    """
    if rule.type is FieldType.TEXT:
        return value
    if not value:
        return None
    if rule.type is FieldType.INTEGER and _INTEGER.fullmatch(value):
        number = int(value.split(".")[0])
        # The two least of 64 bits are how a collection says that there is no value.
        if -(2**63 - 2) <= number < 2**63:
            return number
    elif rule.type is FieldType.NUMBER and _NUMBER.fullmatch(value) and math.isfinite(float(value)):
        return float(value)
    elif rule.type is FieldType.FLAG and value.lower() in _FLAGS:
        return _FLAGS[value.lower()]
    raise FieldInvalid(f"Column {rule.source}: {value[:80]!r} is no {rule.type.value}.")
