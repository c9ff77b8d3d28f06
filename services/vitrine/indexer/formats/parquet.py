"""Parquet, in bounded batches. A damaged file ends the run; a value that cannot be used costs its row."""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import types

from vitrine.errors import CatalogueInvalid, RowRejected
from vitrine.indexer.formats.lines import MAX_LINE_BYTES
from vitrine.indexer.formats.record import Cell, Record
from vitrine.indexer.rejections import RowHasNul, RowNotUtf8, RowTooLong

BATCH_ROWS = 512
BUFFER_BYTES = 1024 * 1024
"""Read from a column at a time: without it a whole row group's column is held, and writers make those of any size."""

_DAMAGE = (OSError, ValueError, pa.ArrowException)
"""What pyarrow raises over damaged files; ValueError for names that are no UTF-8."""


class ParquetTable:
    """Reads columns by name. Records count from row 1.

    Args:
        stream: binary; its position does not matter.
        path: what errors call it.
        wanted: columns that are read; others may be of any type.
        identifying: those among them that make up ids and paths: a floating-point column has lost their digits.

    Raises:
        CatalogueInvalid: no Parquet, a damaged footer, or a wanted column of a type without a plain text form.
    """

    fixed_columns = True
    blank_lines = 0

    def __init__(self, stream: BinaryIO, path: Path, wanted: Collection[str], *, identifying: Collection[str]) -> None:
        self._path = path
        try:
            self._file = pq.ParquetFile(
                stream, buffer_size=BUFFER_BYTES, pre_buffer=False, page_checksum_verification=True
            )
            schema = self._file.schema_arrow
            self.rows = int(self._file.metadata.num_rows)
        except _DAMAGE as error:
            raise CatalogueInvalid(f"{path} is no Parquet file that can be read: {_first_line(error)}") from error
        self.columns = tuple(schema.names)
        self._names = [name for name in self.columns if name in wanted]
        for name in dict.fromkeys(self._names):
            for index in schema.get_all_field_indices(name):
                _require_plain(path, name, schema.field(index).type, identifying=name in identifying)

    def __iter__(self) -> Iterator[Record]:
        row = 0
        try:
            for batch in self._file.iter_batches(BATCH_ROWS, columns=self._names, use_threads=False):
                columns = [_cells(column) for column in batch.columns]
                for values in zip(*columns, strict=True):
                    row += 1
                    yield _record(row, self._names, values)
        except _DAMAGE as error:
            raise CatalogueInvalid(f"{self._path} cannot be read beyond row {row}: {_first_line(error)}") from error
        if row != self.rows:
            raise CatalogueInvalid(f"{self._path} says that it has {self.rows} rows, and gives {row}.")


def _require_plain(path: Path, name: str, kind: pa.DataType, *, identifying: bool) -> None:
    if types.is_dictionary(kind):
        kind = kind.value_type
    whole = _is_text(kind) or types.is_integer(kind) or types.is_null(kind)
    if identifying and not whole:
        raise CatalogueInvalid(
            f"{path}: column {name} is {kind}; what makes up ids, groups and paths must be text or integers, "
            "or digits may be lost.",
            column=name,
        )
    plain = whole or types.is_floating(kind) or types.is_decimal(kind) or types.is_boolean(kind)
    if not plain and not types.is_date(kind) and not types.is_timestamp(kind):
        raise CatalogueInvalid(
            f"{path}: column {name} is {kind}; a mapping takes text, numbers, booleans, dates and times.", column=name
        )


def _is_text(kind: pa.DataType) -> bool:
    return bool(
        types.is_string(kind)
        or types.is_large_string(kind)
        or types.is_string_view(kind)
        # Older writers leave text unannotated.
        or types.is_binary(kind)
        or types.is_large_binary(kind)
    )


def _cells(column: pa.Array) -> list[bytes | str | None]:
    """Text as UTF-8 that nobody has checked yet; everything else as Arrow writes it."""
    if types.is_dictionary(column.type):
        column = column.dictionary_decode()
    kind = column.type
    if _is_text(kind):
        return list(column.cast(pa.large_binary()).to_pylist())
    suffix = ""
    if types.is_timestamp(kind) and kind.tz is not None:
        # UTC is what is stored; the zone's own time would need this machine's time zone tables.
        column, suffix = column.cast(pa.timestamp(kind.unit)), "Z"
    elif types.is_float16(kind):
        column = column.cast(pa.float32())
    texts = column.cast(pa.string()).to_pylist()
    if types.is_floating(kind):
        # NaN is how data frames say that there is no value.
        return [None if text == "nan" else text for text in texts]
    return [text + suffix if suffix and text is not None else text for text in texts]


def _record(row: int, names: list[str], values: tuple[bytes | str | None, ...]) -> Record:
    cells: dict[str, Cell] = {}
    broken: RowRejected | None = None
    for name, value in zip(names, values, strict=True):
        try:
            cells[name] = _text(name, value) if isinstance(value, bytes) else value
        except RowRejected as reason:
            broken = broken or reason
    return Record(row, cells, broken)


def _text(name: str, value: bytes) -> str:
    """Raises RowTooLong, RowHasNul, RowNotUtf8."""
    if len(value) > MAX_LINE_BYTES:
        raise RowTooLong(f"Column {name}: the value is longer than {MAX_LINE_BYTES} bytes.")
    if b"\0" in value:
        raise RowHasNul(f"Column {name}: the value contains a NUL character.")
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RowNotUtf8(f"Column {name}: byte {error.start + 1} of the value is not UTF-8.") from error


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:300]
