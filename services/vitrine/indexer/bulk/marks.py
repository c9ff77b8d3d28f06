"""What the files' products were made from, kept beside them: an imported collection gets its ledger from it.

Without one the first `vitrine index` of the catalogue would embed every picture again. Milvus never sees these files.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from vitrine.indexer.bulk.manifest import Manifest
from vitrine.indexer.ledger import Ledger, RunNote
from vitrine.indexer.ledger_files import LedgerFolder
from vitrine.indexer.states import Mark
from vitrine.settings import Settings
from vitrine.vectorstore.collection import CollectionInfo

MARKS_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("content_hash", pa.binary(32), nullable=False),
        pa.field("row_hash", pa.binary(32), nullable=False),
    ]
)
_BATCH_ROWS = 8_192


def marks_table(marks: Sequence[Mark]) -> pa.Table:
    """As `MARKS_SCHEMA`, in the order given."""
    columns = [[mark.id for mark in marks], [mark.content_hash for mark in marks], [mark.row_hash for mark in marks]]
    arrays = [pa.array(values, field.type) for values, field in zip(columns, MARKS_SCHEMA, strict=True)]
    return pa.Table.from_arrays(arrays, schema=MARKS_SCHEMA)


def record_in_ledger(folder: Path, manifest: Manifest, info: CollectionInfo, settings: Settings) -> int:
    """Tells the collection's ledger that it holds these products.

    Returns:
        How many; 0 when the folder has the manifest alone.

    Raises:
        LedgerBusy, LedgerInvalid: the ledger cannot be used.
        OSError, pa.ArrowException: the marks cannot be read.
    """
    if not manifest.marks or not all((folder / file.name).is_file() for file in manifest.marks):
        return 0
    path = LedgerFolder.of(settings).ledger(info.name)
    with Ledger(path, build_id=info.build_id, fingerprint=manifest.fingerprint) as ledger:
        ledger.begin_run(RunNote(str(folder), "", ""))
        recorded = 0
        for marks in _marks_in(folder, manifest):
            ledger.mark_written(marks)
            recorded += len(marks)
        # Not complete: that a catalogue's product is not among these files says nothing.
        ledger.end_run("done", {"read": recorded, "written": recorded}, complete=False)
    return recorded


def _marks_in(folder: Path, manifest: Manifest) -> Iterator[list[Mark]]:
    for file in manifest.marks:
        with pq.ParquetFile(folder / file.name) as marks:
            for batch in marks.iter_batches(_BATCH_ROWS):
                columns = (batch.column(name).to_pylist() for name in MARKS_SCHEMA.names)
                yield [Mark(*values) for values in zip(*columns, strict=True)]
