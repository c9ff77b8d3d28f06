"""Kept embeddings to files that Milvus imports: values by the rules of every upsert, the latest state of each id."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vitrine.domain import EmbeddedItem, Vectors
from vitrine.errors import InvalidInput, LimitExceeded
from vitrine.indexer.backfill import KeptEmbeddings
from vitrine.indexer.bulk.layout import GROUP_BYTES_MOST, arrow_schema, data_file, marks_file, our_files
from vitrine.indexer.bulk.manifest import MANIFEST_FILE, BulkFile, BulkFilesInvalid, Manifest, file_digest, sync_folder
from vitrine.indexer.bulk.marks import MARKS_SCHEMA, marks_table
from vitrine.indexer.rejections import FieldInvalid, Rejection, RejectsFile
from vitrine.indexer.states import Embedded
from vitrine.vectorstore.collection import EMBEDDING, ID
from vitrine.vectorstore.columns import stored_columns
from vitrine.vectorstore.writer import estimate_bytes

_CHUNK_ROWS = 8_192

Told = Callable[[str, float], None]
"""Called with what is being done and the share done, from 0.0 to 1.0."""


@dataclass(frozen=True, slots=True)
class WriteRequest:
    """What to write.

    Args:
        output: folder for the files; made if need be.
        file_bytes: about the values in one file.
        replace: write anew where a finished set of bulk files is.
        rejects: CSV of rows that cannot be stored; None: they are only counted.
        max_rejects: more than this many fail the writing; None: any number is fine.
    """

    output: Path
    file_bytes: int
    replace: bool = False
    rejects: Path | None = None
    max_rejects: int | None = None


def write_bulk_files(kept: KeptEmbeddings, request: WriteRequest, told: Told) -> Manifest:
    """Writes all kept products, deterministically: the same parts and limits give the same bytes.

    Killed on the way it leaves complete files without a manifest, and the same command begins anew.

    Raises:
        BulkFilesInvalid: the folder holds a finished set already.
        KeptEmbeddingsInvalid: a part is damaged; nothing finished is left.
        LimitExceeded: too much was rejected.
        OSError: the folder cannot be written.
    """
    _clear(request.output, replace=request.replace)
    with RejectsFile(request.rejects) if request.rejects is not None else nullcontext() as rejects:
        writing = _Writing(kept, request, rejects)
        for chunk in _chunks(kept):
            writing.add(chunk)
            told("writing", writing.settled / max(1, len(kept)))
        writing.finish()
    manifest = Manifest(
        fingerprint=kept.header.fingerprint,
        model=kept.header.model,
        dimension=kept.header.dimension,
        fields=kept.header.fields,
        group_name=kept.header.group_name,
        read=len(kept) + kept.superseded,
        superseded=kept.superseded,
        rejected=writing.rejected,
        files=tuple(writing.files),
        marks=tuple(writing.marks),
    )
    manifest.write(request.output)
    told("writing", 1.0)
    return manifest


class _Writing:
    """One pass over the kept rows; a file is closed when it is full."""

    def __init__(self, kept: KeptEmbeddings, request: WriteRequest, rejects: RejectsFile | None) -> None:
        self._header = kept.header
        self._request = request
        self._rejects = rejects
        self._schema = arrow_schema(kept.header.fields)
        self._open: _DataFile | None = None
        self._open_marks: _DataFile | None = None
        self.files: list[BulkFile] = []
        self.marks: list[BulkFile] = []
        self.rejected = 0

    @property
    def settled(self) -> int:
        """Rows whose fate is known."""
        open_rows = self._open.rows if self._open is not None else 0
        return self.rejected + open_rows + sum(file.rows for file in self.files)

    def add(self, rows: Sequence[Embedded | Rejection]) -> None:
        """Writes a chunk as one or more row groups."""
        for row in rows:
            if isinstance(row, Rejection):
                self._reject(row)
        items = [row for row in rows if isinstance(row, Embedded)]
        for group in self._storable(items):
            if self._open is None or self._open_marks is None:
                output, number = self._request.output, len(self.files) + 1
                self._open = _DataFile(output / data_file(number), self._schema)
                self._open_marks = _DataFile(output / marks_file(number), MARKS_SCHEMA)
            self._open.add(group)
            self._open_marks.add(_Group(marks_table([row.mark for row in group.rows]), 0, ()))
            if self._open.weight >= self._request.file_bytes:
                self.finish()

    def finish(self) -> None:
        """Closes the file under way, if there is one."""
        if self._open is not None and self._open_marks is not None:
            self.files.append(self._open.close())
            self.marks.append(self._open_marks.close())
            self._open = self._open_marks = None

    def _storable(self, rows: list[Embedded]) -> Iterator["_Group"]:
        """All rows at once; one by one only where something is wrong with one of them."""
        if not rows:
            return
        try:
            yield self._group(rows)
        except InvalidInput:
            good = []
            for row in rows:
                try:
                    self._group([row])
                except InvalidInput as reason:
                    kind = FieldInvalid(reason.message)
                    self._reject(Rejection.of(kind, product_id=row.mark.id, line=row.mark.line, owns_id=True))
                else:
                    good.append(row)
            if good:
                yield self._group(good)

    def _group(self, rows: list[Embedded]) -> "_Group":
        items: list[EmbeddedItem] = [row.item for row in rows]
        stored, matrix = stored_columns(items, self._header.fields, self._header.dimension)
        columns = {name: pa.array(values, self._schema.field(name).type) for name, values in stored.items()}
        columns[EMBEDDING] = _vectors(matrix, self._schema.field(EMBEDDING).type)
        table = pa.Table.from_arrays([columns[name] for name in self._schema.names], schema=self._schema)
        return _Group(table, sum(estimate_bytes(item) for item in items), tuple(rows))

    def _reject(self, rejection: Rejection) -> None:
        self.rejected += 1
        if self._rejects is not None:
            self._rejects.add(rejection)
        most = self._request.max_rejects
        if most is not None and self.rejected > most:
            raise LimitExceeded(f"More than {most} rows cannot be stored: {rejection.message}", limit=most)


@dataclass(frozen=True, slots=True)
class _Group:
    """Rows that become one row group, and about what they weigh."""

    table: pa.Table
    weight: int
    rows: tuple[Embedded, ...]


class _DataFile:
    """A Parquet file that gets its name when it is complete."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._path = path
        self._unfinished = path.with_name(f".{path.name}.unfinished")
        self._file = self._unfinished.open("wb")
        # Vectors do not repeat: a dictionary of them would only be tried and thrown away.
        texts = [name for name in schema.names if pa.types.is_string(schema.field(name).type) and name != ID]
        self._writer = pq.ParquetWriter(self._file, schema, compression="zstd", use_dictionary=texts)
        self.rows = 0
        self.weight = 0

    def add(self, group: _Group) -> None:
        self._writer.write_table(group.table, row_group_size=group.table.num_rows)
        self.rows += group.table.num_rows
        self.weight += group.weight

    def close(self) -> BulkFile:
        self._writer.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        size, digest = self._unfinished.stat().st_size, file_digest(self._unfinished)
        self._unfinished.replace(self._path)
        sync_folder(self._path.parent)
        return BulkFile(self._path.name, self.rows, size, digest)


def _vectors(matrix: Vectors, kind: pa.DataType) -> pa.Array:
    rows, dimension = matrix.shape
    offsets = pa.array(np.arange(0, rows * dimension + 1, dimension, dtype=np.int32))
    return pa.ListArray.from_arrays(offsets, pa.array(matrix.ravel()), type=kind)


def _chunks(kept: KeptEmbeddings) -> Iterator[list[Embedded | Rejection]]:
    """Row groups: small enough for a reader's memory, however wide a vector is."""
    size = max(1, min(_CHUNK_ROWS, GROUP_BYTES_MOST // (4 * kept.header.dimension)))
    rows = kept.rows()
    while chunk := list(islice(rows, size)):
        yield chunk


def _clear(folder: Path, *, replace: bool) -> None:
    """Makes room: files that an interrupted writing left, and a finished set only when told so."""
    folder.mkdir(parents=True, exist_ok=True)
    manifest = folder / MANIFEST_FILE
    if manifest.exists():
        if not replace:
            raise BulkFilesInvalid(f"{folder} holds a finished set of bulk files. Use another folder, or --replace.")
        manifest.unlink()  # first: from here on the folder is unfinished
        sync_folder(folder)
    for path in our_files(folder):
        path.unlink()
