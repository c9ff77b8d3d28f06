"""What a folder of bulk files says about itself. Written last: a folder without it is unfinished."""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vitrine.domain import FieldSpec, FieldType
from vitrine.errors import InvalidInput
from vitrine.indexer.bulk.layout import schema_digest

MANIFEST_FILE = "manifest.json"
_VERSION = 1
_NAME = re.compile(r"(?:rows|marks)-[0-9]{6}\.parquet")
_CHUNK_BYTES = 1024 * 1024


class BulkFilesInvalid(InvalidInput):
    """A folder that holds no complete bulk files, or whose manifest cannot be read."""

    code = "bulk_files_invalid"


@dataclass(frozen=True, slots=True)
class BulkFile:
    """One data file. `sha256` is of its bytes, hexadecimal."""

    name: str
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """Everything an import needs to know, and what a check compares the files with.

    Args:
        fingerprint: of the model that made the vectors.
        model: its name for people.
        dimension: of the vectors.
        fields: of the catalogue.
        group_name: what the catalogue calls its group column; empty when that is not known.
        read: kept rows looked at, of all parts.
        superseded: of those, rows that a later one of the same id replaced.
        rejected: of those, rows that cannot be stored.
        files: in their order; their rows are all the rest.
        marks: one beside each of them, see `marks.py`; not for Milvus.
    """

    fingerprint: str
    model: str
    dimension: int
    fields: tuple[FieldSpec, ...]
    group_name: str
    read: int
    superseded: int
    rejected: int
    files: tuple[BulkFile, ...]
    marks: tuple[BulkFile, ...] = ()

    @property
    def rows(self) -> int:
        """Rows in all files, each with an id of its own."""
        return sum(file.rows for file in self.files)

    @property
    def schema_digest(self) -> str:
        """See `layout.schema_digest`."""
        return schema_digest(self.fields, self.dimension)

    @property
    def digest(self) -> str:
        """Hexadecimal SHA-256 of the whole: names these very files."""
        return hashlib.sha256(self._text().encode()).hexdigest()

    def write(self, folder: Path) -> None:
        """Puts it into the folder in one step."""
        unfinished = folder / f".{MANIFEST_FILE}.unfinished"
        with unfinished.open("w", encoding="utf-8") as file:
            file.write(self._text())
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(folder / MANIFEST_FILE)
        sync_folder(folder)

    @classmethod
    def read_from(cls, folder: Path) -> "Manifest":
        """Raises BulkFilesInvalid: there is none, or it is none of ours."""
        path = folder / MANIFEST_FILE
        try:
            content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise BulkFilesInvalid(
                f"{folder} has no {MANIFEST_FILE}: it holds no bulk files, or their writing was interrupted."
            ) from error
        except (OSError, ValueError) as error:
            raise BulkFilesInvalid(f"{path} cannot be read: {error}") from error
        try:
            return _from_json(content)
        except (KeyError, TypeError, ValueError) as error:
            raise BulkFilesInvalid(f"{path} is no manifest of bulk files: {error!r}") from error

    def _text(self) -> str:
        content = {"version": _VERSION, "schema_digest": self.schema_digest, "rows": self.rows} | asdict(self)
        return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def file_digest(path: Path) -> str:
    """Hexadecimal SHA-256 of a file. Raises OSError."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def sync_folder(folder: Path) -> None:
    """Makes renames within it survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _from_json(content: Mapping[str, Any]) -> Manifest:
    if content["version"] != _VERSION:
        raise ValueError(f"version {content['version']} is not {_VERSION}")
    manifest = Manifest(
        fingerprint=str(content["fingerprint"]),
        model=str(content["model"]),
        dimension=int(content["dimension"]),
        fields=tuple(FieldSpec(**{**field, "type": FieldType(field["type"])}) for field in content["fields"]),
        group_name=str(content["group_name"]),
        read=int(content["read"]),
        superseded=int(content["superseded"]),
        rejected=int(content["rejected"]),
        files=tuple(BulkFile(**file) for file in content["files"]),
        marks=tuple(BulkFile(**file) for file in content["marks"]),
    )
    if content["schema_digest"] != manifest.schema_digest:
        raise ValueError("its schema digest does not belong to its fields")
    if content["rows"] != manifest.rows:
        raise ValueError(f"it says {content['rows']} rows, its files sum up to {manifest.rows}")
    names = [file.name for file in (*manifest.files, *manifest.marks)]
    # Names go into paths, here and on the server.
    if len(set(names)) < len(names) or not all(_NAME.fullmatch(name) for name in names):
        raise ValueError("a file's name is repeated or none of ours")
    return manifest
