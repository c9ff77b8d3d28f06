"""What a file of a bulk import is made of: Parquet, one column for each field of the collection, nothing else.

Milvus 2.3 takes vectors as lists and refuses lists of a fixed size; 2.6 takes both. It compares column names and types
with the collection's, but 2.3 neither widths nor values: a title wider than its column goes in.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa

from vitrine.domain import FieldSpec, FieldType
from vitrine.settings import MIB
from vitrine.vectorstore.collection import EMBEDDING, GROUP, ID, IMAGE_PATH, TITLE

MAX_FILE_BYTES = 16 * 1024 * MIB
"""Milvus refuses a larger file (2.3: common.ImportMaxFileSize, 2.6: dataNode.import.maxImportFileSizeInGB)."""

FILE_MIB = 512
"""About the values in one file unless told otherwise: half a segment of Milvus's (1 GiB), each file is one job."""

GROUP_BYTES_MOST = 64 * MIB
"""Most a row group may weigh unpacked: a reader holds at least one of them."""

_DATA_FILE = re.compile(r"rows-[0-9]{6}\.parquet")
_OUR_FILE = re.compile(r"\.?(?:rows|marks)-[0-9]{6}\.parquet(?:\.unfinished)?")
_ARROW_TYPES = {
    FieldType.TEXT: pa.string(),
    FieldType.INTEGER: pa.int64(),
    FieldType.NUMBER: pa.float64(),
    FieldType.FLAG: pa.int8(),
}


def arrow_schema(fields: Sequence[FieldSpec]) -> pa.Schema:
    """Columns in the collection's order. No null can be written: absent values have a sentinel in each type."""
    vector = pa.list_(pa.field("element", pa.float32(), nullable=False))
    types = {ID: pa.string(), EMBEDDING: vector, TITLE: pa.string(), GROUP: pa.string(), IMAGE_PATH: pa.string()}
    types |= {field.name: _ARROW_TYPES[field.type] for field in fields}
    return pa.schema([pa.field(name, kind, nullable=False) for name, kind in types.items()])


def schema_digest(fields: Sequence[FieldSpec], dimension: int) -> str:
    """Hexadecimal SHA-256 of what a collection must have for the files to fit: columns, types, widths, dimension."""
    columns = [
        [name, str(kind)] for name, kind in zip(arrow_schema(fields).names, arrow_schema(fields).types, strict=True)
    ]
    content = {"dimension": dimension, "columns": columns, "fields": [asdict(field) for field in fields]}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def data_file(number: int) -> str:
    """The name of the file of that number, counted from 1."""
    return f"rows-{number:06d}.parquet"


def marks_file(number: int) -> str:
    """The name of what stands beside it."""
    return f"marks-{number:06d}.parquet"


def our_files(folder: Path) -> list[Path]:
    """Everything that a writing puts into a folder but the manifest, finished or not."""
    return sorted(entry for entry in folder.iterdir() if _OUR_FILE.fullmatch(entry.name))


def data_files(folder: Path) -> list[Path]:
    """Files in the folder with names of data files, complete or not told here, in their order."""
    return sorted(entry for entry in folder.iterdir() if _DATA_FILE.fullmatch(entry.name))
