"""Embeddings kept as Parquet: what was embedded once need not be embedded again to build another index.

A folder of parts, each complete in itself: `part-000001.parquet` and so on, written under another name first. Their
schema metadata says which model made the vectors. Where an id stands in several parts, the last one counts.
"""

import json
import os
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vitrine.domain import FieldSpec, FieldType
from vitrine.errors import ContractMismatch, InvalidInput
from vitrine.indexer.shards.sharding import Shard
from vitrine.indexer.states import Embedded, Mark

PART_BYTES = 8 * 1024 * 1024  # of vectors: about 4,000 products of 512 dimensions
HEADER_KEY = b"vitrine"
_SHARD = re.compile(r"shard-[0-9]+-of-[0-9]+")
_PART = re.compile(r"part-(?P<number>[0-9]{6})\.parquet")
_ARROW_TYPES = {
    FieldType.TEXT: pa.string(),
    FieldType.INTEGER: pa.int64(),
    FieldType.NUMBER: pa.float64(),
    FieldType.FLAG: pa.bool_(),
}


class KeptEmbeddingsInvalid(InvalidInput):
    """A folder or part that is no kept embeddings of ours, or parts that do not belong together."""

    code = "kept_embeddings_invalid"


@dataclass(frozen=True, slots=True)
class KeptHeader:
    """What every part of a folder says about itself, as JSON in its schema metadata.

    Args:
        fingerprint: of the model that made the vectors.
        model: its name for people.
        dimension: of the vectors.
        fields: of the catalogue.
        mapping: name of the mapping file.
        mapping_digest: of its content.
        group_name: the column that groups came from; empty when there was none, or in older parts.
    """

    fingerprint: str
    model: str
    dimension: int
    fields: tuple[FieldSpec, ...]
    mapping: str
    mapping_digest: str
    group_name: str = ""

    def schema(self) -> pa.Schema:
        """Columns of a part: id, embedding, title, group, image_path, content_hash, then the catalogue's fields."""
        columns = [
            pa.field("id", pa.string(), nullable=False),
            pa.field("embedding", pa.list_(pa.float32(), self.dimension), nullable=False),
            pa.field("title", pa.string(), nullable=False),
            pa.field("group", pa.string(), nullable=False),
            pa.field("image_path", pa.string(), nullable=False),
            pa.field("content_hash", pa.binary(32), nullable=False),
            *(pa.field(field.name, _ARROW_TYPES[field.type]) for field in self.fields),
        ]
        return pa.schema(columns, metadata={HEADER_KEY: json.dumps(asdict(self)).encode()})

    @classmethod
    def of_part(cls, path: Path) -> "KeptHeader":
        """Raises KeptEmbeddingsInvalid: no Parquet, or none of ours."""
        try:
            content = json.loads((pq.read_schema(path).metadata or {})[HEADER_KEY])
            fields = tuple(FieldSpec(**{**field, "type": FieldType(field["type"])}) for field in content.pop("fields"))
            return cls(fields=fields, **content)
        except (OSError, pa.ArrowException, KeyError, TypeError, ValueError) as error:
            raise KeptEmbeddingsInvalid(f"{path} is no file of kept embeddings: {error}") from error


def parts_of(folder: Path) -> list[Path]:
    """The folder's complete parts in their order; a folder that does not exist has none."""
    if not folder.is_dir():
        return []
    folders = [folder, *sorted(entry for entry in folder.iterdir() if entry.is_dir() and _SHARD.fullmatch(entry.name))]
    return [part for one in folders for part in sorted(one.iterdir()) if _PART.fullmatch(part.name)]


def shard_folder(folder: Path, shard: Shard) -> Path:
    """Where one shard keeps its parts, since two processes cannot number theirs together.

    Raises:
        KeptEmbeddingsInvalid: the folder was kept by an undivided run or by another number of shards; which of two
            states of one product is the later could not be told.
    """
    mine = f"of-{shard.count}"
    if folder.is_dir():
        for entry in folder.iterdir():
            others = _SHARD.fullmatch(entry.name) and not entry.name.endswith(f"-{mine}")
            if others or _PART.fullmatch(entry.name):
                raise KeptEmbeddingsInvalid(
                    f"{folder} holds {entry.name}, which {shard.count} shards did not keep; use another folder."
                )
    return folder / shard.suffix.removeprefix(".")


def common_header(parts: Sequence[Path]) -> KeptHeader:
    """The header of parts that belong together.

    Raises:
        KeptEmbeddingsInvalid: there are none, one is damaged, or they differ in more than the mapping they name.
    """
    if not parts:
        raise KeptEmbeddingsInvalid("There are no kept embeddings (part-000001.parquet, ...) in that folder.")
    header = KeptHeader.of_part(parts[0])
    for path in parts[1:]:
        other = KeptHeader.of_part(path)
        if (other.fingerprint, other.dimension, other.fields) != (header.fingerprint, header.dimension, header.fields):
            raise KeptEmbeddingsInvalid(f"{path} and {parts[0].name} are of different models or catalogues.")
    return header


class EmbeddingKeeper:
    """Adds parts to a folder. Blocks; to be called from one thread at a time.

    Raises:
        ContractMismatch: the folder holds embeddings of another model.
        KeptEmbeddingsInvalid: or of another catalogue, or something else.
    """

    def __init__(self, folder: Path, header: KeptHeader, *, part_bytes: int = PART_BYTES) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._schema = header.schema()
        self._header = header
        self._part_bytes = part_bytes
        self._pending: list[Embedded] = []
        self._hashes: dict[str, bytes] = {}
        parts = parts_of(folder)
        if any(part.parent != folder for part in parts):
            raise KeptEmbeddingsInvalid(f"{folder} holds what shards kept; use another folder.")
        if parts:
            self._take_over(parts)
        self._number = _number(parts[-1]) + 1 if parts else 1

    def holds(self, mark: Mark) -> bool:
        """Whether this very content is kept already: only then may a run skip it."""
        return self._hashes.get(mark.id) == mark.content_hash

    def known(self, ids: Sequence[str]) -> dict[str, Mark]:
        """What is kept of these products: for a run that has no ledger. Nothing is known of their rows and files."""
        return {key: Mark(key, self._hashes[key], b"") for key in ids if key in self._hashes}

    def add(self, batch: Sequence[Embedded]) -> None:
        """Keeps vectors, and writes a part when enough came together."""
        self._pending += batch
        if len(self._pending) * self._header.dimension * 4 >= self._part_bytes:
            self._write_part()

    def flush(self) -> None:
        """Writes what came together so far as a part, however little."""
        if self._pending:
            self._write_part()

    def close(self) -> None:
        """Writes what is left as the last part."""
        self.flush()

    def _take_over(self, parts: Sequence[Path]) -> None:
        found = common_header(parts)
        if found.fingerprint != self._header.fingerprint:
            raise ContractMismatch(
                f"{self._folder} keeps embeddings of model fingerprint {found.fingerprint}, "
                f"this run makes {self._header.fingerprint}; use another folder.",
                expected=self._header.fingerprint,
                found=found.fingerprint,
            )
        if found.fields != self._header.fields:
            raise KeptEmbeddingsInvalid(f"{self._folder} keeps embeddings of a catalogue with other fields.")
        for path in parts:
            table = pq.read_table(path, columns=["id", "content_hash"])
            self._hashes.update(zip(table["id"].to_pylist(), table["content_hash"].to_pylist(), strict=True))

    def _write_part(self) -> None:
        path = self._folder / f"part-{self._number:06d}.parquet"
        unfinished = path.with_name(f".{path.name}.unfinished")
        with unfinished.open("wb") as file:
            pq.write_table(self._table(), file, compression="zstd")
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
        self._number += 1
        self._hashes.update((one.mark.id, one.mark.content_hash) for one in self._pending)
        self._pending = []

    def _table(self) -> pa.Table:
        items = [one.item.item for one in self._pending]
        flat = np.concatenate([np.asarray(one.item.vector, np.float32).ravel() for one in self._pending])
        columns = [
            pa.array([item.id for item in items], pa.string()),
            pa.FixedSizeListArray.from_arrays(pa.array(flat), self._header.dimension),
            pa.array([item.title for item in items], pa.string()),
            pa.array([item.group for item in items], pa.string()),
            pa.array([item.image_path for item in items], pa.string()),
            pa.array([one.mark.content_hash for one in self._pending], pa.binary(32)),
            *(
                pa.array([item.fields.get(field.name) for item in items], _ARROW_TYPES[field.type])
                for field in self._header.fields
            ),
        ]
        return pa.Table.from_arrays(columns, schema=self._schema)


def _number(part: Path) -> int:
    match = _PART.fullmatch(part.name)
    if match is None:
        raise KeptEmbeddingsInvalid(f"{part.name} is not the name of a part.")
    return int(match["number"])
