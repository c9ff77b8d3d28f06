"""Bulk files compared with their format, their manifest and, where it is given, a collection: no server needed.

Milvus 2.3 checks names and types alone, so what is not found here is found by shoppers.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vitrine.indexer.bulk.layout import MAX_FILE_BYTES, arrow_schema, data_files
from vitrine.indexer.bulk.manifest import BulkFile, BulkFilesInvalid, Manifest, file_digest
from vitrine.indexer.bulk.problems import CheckReport, Problem
from vitrine.indexer.bulk.values import Finding, check_batch
from vitrine.indexer.bulk.writing import Told
from vitrine.vectorstore.collection import ID

_BATCH_ROWS = 8_192
_REPEATED_SHOWN = 20


def check_bulk_files(folder: Path, told: Told) -> CheckReport:
    """Reads every byte and every value. What is wrong comes back in the report and is not raised.

    Ids stay in memory: about 100 bytes for each.
    """
    try:
        manifest = Manifest.read_from(folder)
    except BulkFilesInvalid as error:
        return CheckReport(str(folder), 0, 0, (Problem("manifest_invalid", error.message),))
    checked = [_FileCheck(folder / file.name, file, manifest) for file in manifest.files]
    problems = [*_unlisted(folder, manifest)]
    done = 0
    for check in checked:
        problems += check.problems()
        done += check.entry.rows
        told("checking", done / max(1, manifest.rows))
    problems += _repeated_ids(checked)
    problems += _marks(folder, manifest)
    told("checking", 1.0)
    return CheckReport(str(folder), sum(check.rows for check in checked), len(checked), tuple(problems))


class _FileCheck:
    """One file; `ids` and `rows` are there once it was looked at."""

    def __init__(self, path: Path, entry: BulkFile, manifest: Manifest) -> None:
        self.entry = entry
        self.ids: list[pa.Array] = []
        self.rows = 0
        self._path = path
        self._manifest = manifest

    def problems(self) -> Iterator[Problem]:
        """Everything wrong with the file itself."""
        try:
            yield from self._bytes()
            with pq.ParquetFile(self._path) as file:
                yield from self._columns(file.schema_arrow)
                yield from self._values(file)
        except FileNotFoundError:
            yield self._problem("file_missing", "the manifest lists a file that is not there")
        except (OSError, pa.ArrowException) as error:
            yield self._problem("file_unreadable", f"no readable Parquet: {error}".splitlines()[0][:300])

    def _bytes(self) -> Iterator[Problem]:
        size = self._path.stat().st_size
        if size > MAX_FILE_BYTES:
            yield self._problem("file_too_large", f"{size} bytes; Milvus takes {MAX_FILE_BYTES}")
        if size != self.entry.bytes:
            yield self._problem("file_differs", f"{size} bytes; the manifest says {self.entry.bytes}")
        elif file_digest(self._path) != self.entry.sha256:
            yield self._problem("file_differs", "its bytes are not those that the manifest was written for")

    def _columns(self, found: pa.Schema) -> Iterator[Problem]:
        expected = arrow_schema(self._manifest.fields)
        self._sound: set[str] = set()
        for name, times in Counter(found.names).items():
            if name not in expected.names:
                yield self._problem("column_unknown", "the collection has no such field", name)
            elif times > 1:
                yield self._problem("column_repeated", f"is there {times} times", name)
            elif not _same_type(found.field(name).type, expected.field(name).type):
                wanted = expected.field(name).type
                yield self._problem("column_type", f"is {found.field(name).type}; Milvus needs {wanted}", name)
            else:
                self._sound.add(name)
        for name in expected.names:
            if name not in found.names:
                yield self._problem("column_missing", "is not in the file", name)

    def _values(self, file: pq.ParquetFile) -> Iterator[Problem]:
        found: dict[tuple[str, str], tuple[Finding, int, int]] = {}
        names = sorted(self._sound)
        for batch in file.iter_batches(_BATCH_ROWS, columns=names):
            for finding in check_batch(batch, self._manifest.fields, self._manifest.dimension, self._sound):
                first, row, count = found.get(
                    (finding.column, finding.code), (finding, self.rows + finding.first + 1, 0)
                )
                found[finding.column, finding.code] = (first, row, count + finding.count)
            if ID in self._sound:
                self.ids.append(batch.column(ID))
            self.rows += batch.num_rows
        for finding, row, count in found.values():
            yield Problem(finding.code, finding.message, self.entry.name, row, finding.column, count)
        if file.metadata.num_rows != self.entry.rows:
            told = self.entry.rows
            yield self._problem("rows_differ", f"holds {file.metadata.num_rows} rows; the manifest says {told}")

    def _problem(self, code: str, message: str, column: str = "") -> Problem:
        return Problem(code, message, self.entry.name, column=column)


def _same_type(found: pa.DataType, expected: pa.DataType) -> bool:
    """Whether a list's elements may be null, or how they are called, means nothing to Milvus."""
    if pa.types.is_list(expected):
        return bool(pa.types.is_list(found) and found.value_type == expected.value_type)
    return bool(found == expected)


def _unlisted(folder: Path, manifest: Manifest) -> Iterator[Problem]:
    listed = {file.name for file in manifest.files}
    for path in data_files(folder):
        if path.name not in listed:
            yield Problem("file_unlisted", "is not in the manifest and would not be imported", path.name)


def _marks(folder: Path, manifest: Manifest) -> Iterator[Problem]:
    """What the ledger would be told must belong to these files."""
    for file in manifest.marks:
        try:
            same = file_digest(folder / file.name) == file.sha256
        except OSError:
            same = False
        if not same:
            yield Problem("file_differs", "is not there, or not as the manifest was written for", file.name)


def _repeated_ids(checked: list[_FileCheck]) -> Iterator[Problem]:
    """Ids that stand in several rows, of whichever files: Milvus would keep all of them."""
    try:
        ids = pa.chunked_array([chunk for check in checked for chunk in check.ids], pa.string())
        if pc.count_distinct(ids, mode="all").as_py() == len(ids):
            return
        counts = pc.value_counts(ids)
    except pa.ArrowInvalid:  # not UTF-8: told already
        return
    repeated = counts.filter(pc.greater(counts.field("counts"), 1)).field("values")
    shown = 0
    for check in checked:
        if not check.ids:
            continue
        column = pa.chunked_array(check.ids)
        for position in np.flatnonzero(pc.is_in(column, repeated).to_numpy()):
            if shown == _REPEATED_SHOWN:
                yield Problem("id_repeated", f"{len(repeated)} ids stand in several rows; not all are listed")
                return
            shown += 1
            message = f"{column[int(position)].as_py()!r} stands in several rows"
            yield Problem("id_repeated", message, check.entry.name, int(position) + 1, ID)
