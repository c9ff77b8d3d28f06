"""The mapping file: which column of a catalogue means what. TOML, one per kind of catalogue."""

import hashlib
import json
import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from vitrine.domain import FieldSpec, FieldType
from vitrine.errors import CatalogueInvalid

RESERVED_FIELDS = frozenset({"id", "embedding", "title", "group", "group_key", "image_path", "score", "vector"})
"""Names that every collection, or the search API, uses already."""

MAX_MAPPING_BYTES = 256 * 1024
_PLACEHOLDER = re.compile(r"\{(?P<column>[^{}:]+)(?::\.(?P<first>[1-9][0-9]?))?\}")
_BUILT_IN = re.compile(r"[a-z0-9_]+")


@dataclass(frozen=True, slots=True)
class ImageTemplate:
    """Where a row's picture is: text with `{column}` or `{column:.3}` (the first three characters) in it.

    `{id}` is the product's id after the mapping's rules; every other name is a column of the file. This is not
    Python's format language: nothing else can be said, so a mapping file cannot reach into objects.
    """

    pieces: tuple[tuple[str, str, int | None], ...]
    """(text before, column, first characters or None) in order; a column of "" ends the template."""

    @classmethod
    def parse(cls, text: str) -> "ImageTemplate":
        """Raises ValueError: a brace that belongs to no placeholder, or no placeholder at all."""
        pieces: list[tuple[str, str, int | None]] = []
        end = 0
        for match in _PLACEHOLDER.finditer(text):
            first = match["first"]
            pieces.append((text[end : match.start()], match["column"], int(first) if first else None))
            end = match.end()
        pieces.append((text[end:], "", None))
        if len(pieces) == 1:
            raise ValueError("an image template needs a placeholder such as {id}")
        if any("{" in piece[0] or "}" in piece[0] for piece in pieces):
            raise ValueError("braces in an image template stand for {column} or {column:.3} only")
        return cls(tuple(pieces))

    @property
    def columns(self) -> frozenset[str]:
        """Columns of the file that the template reads (`id` is none of them)."""
        return frozenset(column for _, column, _ in self.pieces if column not in ("", "id"))

    @property
    def folder(self) -> str:
        """The folder that every path begins with; empty when there is none."""
        return self.pieces[0][0].rpartition("/")[0]

    def render(self, value_of: Callable[[str], str]) -> str:
        """The path, with `value_of(column)` in each placeholder. It is not checked here: see `catalogue.py`."""
        return "".join(before + (value_of(column)[:first] if column else "") for before, column, first in self.pieces)


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _contained(path: str) -> str:
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or not pure.parts:
        raise ValueError("must be a path inside the catalogue's folder")
    return path


def _parsable(template: str) -> str:
    ImageTemplate.parse(template)
    return template


class FileFormat(StrEnum):
    """How the catalogue's file is written; one class each in `formats/`."""

    CSV = "csv"
    TSV = "tsv"
    JSONL = "jsonl"
    PARQUET = "parquet"


_SUFFIXES = {
    ".tsv": FileFormat.TSV,
    ".tab": FileFormat.TSV,
    ".jsonl": FileFormat.JSONL,
    ".ndjson": FileFormat.JSONL,
    ".parquet": FileFormat.PARQUET,
}


def _format_by_suffix(validated: dict[str, Any]) -> FileFormat:
    return _SUFFIXES.get(PurePosixPath(validated["file"]).suffix.lower(), FileFormat.CSV)


def _delimiter_of_format(validated: dict[str, Any]) -> str:
    return "\t" if validated["format"] is FileFormat.TSV else ","


class ColumnRule(_Frozen):
    """One column with a fixed meaning."""

    column: str = Field(min_length=1)
    digits: int | None = Field(None, ge=1, le=64, description="Digits-only values are zero-filled to this length.")


class FieldRule(_Frozen):
    """One column that becomes a typed field of the collection."""

    name: str = Field(pattern="^[A-Za-z][A-Za-z0-9_]{0,62}$")
    column: str = Field("", description="Empty: the column is called like the field.")
    type: FieldType
    max_bytes: int = Field(256, ge=1, le=65_535)
    filterable: bool = True
    facetable: bool = False
    optional: bool = Field(False, description="The column may be absent; the collection then lacks the field.")

    @property
    def source(self) -> str:
        return self.column or self.name

    @property
    def spec(self) -> FieldSpec:
        return FieldSpec(self.name, self.type, self.max_bytes, self.filterable, self.facetable)


class CatalogueMapping(_Frozen):
    """A mapping file, checked."""

    version: Literal[1]
    name: str = Field(pattern="^[a-z0-9][a-z0-9_-]{0,62}$")
    file: Annotated[str, AfterValidator(_contained)]
    format: FileFormat = Field(default_factory=_format_by_suffix, description="By default as the file's suffix says.")
    delimiter: str = Field(default_factory=_delimiter_of_format, pattern="^[,;|\t]$", description="CSV and TSV only.")
    quoted: bool = Field(True, description="CSV and TSV only: whether quotes enclose cells.")
    image: Annotated[str, AfterValidator(_parsable)]
    id: ColumnRule
    title: ColumnRule
    group: ColumnRule | None = None
    fields: tuple[FieldRule, ...] = Field((), max_length=48)

    @model_validator(mode="after")
    def _fields_are_distinct(self) -> Self:
        names = [rule.name for rule in self.fields]
        twice = sorted({name for name in names if names.count(name) > 1})
        taken = sorted(RESERVED_FIELDS.intersection(names))
        if twice or taken:
            raise ValueError(f"field names must be distinct and not reserved: {', '.join(twice + taken)}")
        return self

    @model_validator(mode="after")
    def _keys_suit_the_format(self) -> Self:
        if self.format in (FileFormat.JSONL, FileFormat.PARQUET):
            idle = sorted({"delimiter", "quoted"} & self.model_fields_set)
            if idle:
                raise ValueError(f"{' and '.join(idle)} mean nothing in a file of format {self.format}")
        return self

    @property
    def columns(self) -> frozenset[str]:
        """Every column of the file that the mapping reads, the optional ones included."""
        return self.identifying_columns | {self.title.column} | {rule.source for rule in self.fields}

    @property
    def required_columns(self) -> frozenset[str]:
        """Those that the file must have."""
        fields = {rule.source for rule in self.fields if not rule.optional}
        return self.identifying_columns | {self.title.column} | fields

    @property
    def identifying_columns(self) -> frozenset[str]:
        """Columns that ids, groups and pictures' paths are made of."""
        group = frozenset() if self.group is None else frozenset({self.group.column})
        return self.template.columns | group | {self.id.column}

    @property
    def template(self) -> ImageTemplate:
        return ImageTemplate.parse(self.image)

    @property
    def digest(self) -> str:
        """16 hexadecimal digits over everything the mapping says: kept beside what was made with it."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def load_mapping(name_or_file: str) -> CatalogueMapping:
    """Reads a mapping that ships with the indexer (`hm`) or a TOML file.

    Raises:
        CatalogueInvalid: no such mapping, or the first thing that is wrong in it.
    """
    text, origin = _mapping_text(name_or_file)
    try:
        return CatalogueMapping.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise CatalogueInvalid(f"Mapping {origin} is no TOML: {error}.") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise CatalogueInvalid(f"Mapping {origin}: {where}: {first['msg']}.", mapping=origin) from error


def _mapping_text(name_or_file: str) -> tuple[str, str]:
    shipped = resources.files("vitrine.indexer") / "mappings"
    if _BUILT_IN.fullmatch(name_or_file):
        built_in = shipped / f"{name_or_file}.toml"
        if built_in.is_file():
            return built_in.read_text(encoding="utf-8"), name_or_file
    path = Path(name_or_file)
    try:
        with path.open("rb") as file:
            data = file.read(MAX_MAPPING_BYTES + 1)
    except OSError as error:
        names = ", ".join(sorted(entry.name.removesuffix(".toml") for entry in shipped.iterdir()))
        raise CatalogueInvalid(
            f"Mapping {name_or_file} is neither a readable file nor one that ships ({names})."
        ) from error
    if len(data) > MAX_MAPPING_BYTES:
        raise CatalogueInvalid(f"Mapping {path} is larger than {MAX_MAPPING_BYTES} bytes.")
    try:
        return data.decode("utf-8-sig"), str(path)
    except UnicodeDecodeError as error:
        raise CatalogueInvalid(f"Mapping {path} is not UTF-8.") from error
