"""From a mapping to an open catalogue file of its format."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from vitrine.errors import CatalogueInvalid
from vitrine.indexer.formats.delimited import DelimitedTable
from vitrine.indexer.formats.jsonl import JsonLinesTable
from vitrine.indexer.formats.record import Table
from vitrine.indexer.mapping import CatalogueMapping, FileFormat

if TYPE_CHECKING:
    from vitrine.indexer.formats.parquet import ParquetTable

COUNTED_BYTES = 64 * 1024 * 1024
"""How far lines are counted: a file of 50 GB would be read for minutes before anything begins."""

_COUNT_BLOCK = 1024 * 1024


@contextmanager
def open_table(path: Path, mapping: CatalogueMapping) -> Iterator[Table]:
    """Opens the file for one reading of the columns that the mapping names.

    Raises:
        CatalogueInvalid: no such file, or it is not of the mapping's format; at the end of the block, it was changed
            in place meanwhile. (A file that was replaced is no matter: the old one is read to its end.)
    """
    with _open(path) as stream:
        before = _state(stream)
        if mapping.format is FileFormat.PARQUET:
            yield _parquet(stream, path, mapping)
        elif mapping.format is FileFormat.JSONL:
            yield JsonLinesTable(stream, mapping.columns, id_column=mapping.id.column)
        else:
            yield DelimitedTable(stream, mapping.columns, delimiter=mapping.delimiter, quoted=mapping.quoted)
        if _state(stream) != before:
            raise CatalogueInvalid(f"{path} was changed while it was read: nobody knows what it held. Run again.")


def count_rows(path: Path, mapping: CatalogueMapping) -> int:
    """About how many records the file has: for progress only.

    Exact in Parquet. Of text it counts lines, so more than records where cells span lines; of a large file those of its
    beginning, as many again for the rest.

    Raises:
        CatalogueInvalid: see `open_table`.
    """
    lines, read, last = 0, 0, b"\n"
    with _open(path) as stream:
        if mapping.format is FileFormat.PARQUET:
            return _parquet(stream, path, mapping).rows
        while read < COUNTED_BYTES and (block := stream.read(_COUNT_BLOCK)):
            lines += block.count(b"\n")
            read += len(block)
            last = block[-1:]
        size = os.fstat(stream.fileno()).st_size
    lines += last != b"\n"
    header = mapping.format is not FileFormat.JSONL
    return max(0, lines - header if read >= size else lines * size // read)


def _parquet(stream: BinaryIO, path: Path, mapping: CatalogueMapping) -> "ParquetTable":
    # Arrow takes a third of a second to import.
    from vitrine.indexer.formats.parquet import ParquetTable

    return ParquetTable(stream, path, mapping.columns, identifying=mapping.identifying_columns)


def _open(path: Path) -> BinaryIO:
    try:
        # A pipe or a device would block or never end.
        if not stat.S_ISREG(path.stat().st_mode):
            raise CatalogueInvalid(f"Catalogue file {path} is no regular file.")
        return path.open("rb")
    except OSError as error:
        raise CatalogueInvalid(f"Catalogue file {path} cannot be read: {error.strerror}.") from error


def _state(stream: BinaryIO) -> tuple[int, int]:
    state = os.fstat(stream.fileno())
    return state.st_size, state.st_mtime_ns
