"""What a collection is made of: the specification to make one from, what Milvus tells about one, and its schema.

What is not data stands in the collection's properties, under keys that start with `vitrine_`: the description is public
text that any tool may show or edit.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pymilvus import AsyncMilvusClient, DataType

from vitrine.domain import FieldSpec, FieldType
from vitrine.errors import CollectionNotFound, InvalidInput, LimitExceeded
from vitrine.vectorstore.index_params import IndexParams, index_from_description
from vitrine.vectorstore.lineage import NO_LINEAGE, PROPERTY_LINEAGE, Lineage

ID, EMBEDDING, TITLE, GROUP, IMAGE_PATH = "id", "embedding", "title", "group_key", "image_path"
METRIC = "IP"
ID_BYTES, TITLE_BYTES, GROUP_BYTES, IMAGE_PATH_BYTES = 128, 512, 128, 1_024

RESERVED_NAMES = frozenset({ID, EMBEDDING, TITLE, GROUP, IMAGE_PATH, "group", "score", "vector"})
"""Names no declared field may have: columns of every collection, and words of the API."""

# Words of Milvus's expression grammar (2.3 to 2.6), which knows them in lower and upper case.
_GRAMMAR_WORDS = frozenset(
    {"and", "or", "not", "in", "like", "exists", "true", "false", "is", "null", "iso", "interval", "threshold"}
    | {"text_match", "phrase_match", "random_sample", "minimum_should_match", "element_filter"}
    | {"match_all", "match_any", "match_least", "match_most", "match_exact"}
    | {"json_contains", "json_contains_all", "json_contains_any"}
    | {"array_contains", "array_contains_all", "array_contains_any", "array_length"}
    | {"st_equals", "st_touches", "st_overlaps", "st_crosses", "st_contains", "st_intersects", "st_within"}
    | {"st_dwithin", "st_isvalid"}
)

_COLLECTION_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,199}")
_FIELD_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,99}")
_MAX_FIELDS = 56  # Milvus takes 64 in all
_MAX_TEXT_BYTES = 65_535
_MAX_GROUP_NAME_BYTES = 256
_DIMENSIONS = (2, 32_768)

PROPERTY_BUILD_ID = "vitrine_build_id"
PROPERTY_ATTEMPT = "vitrine_attempt"
PROPERTY_BULK_SOURCE = "vitrine_bulk_source"
PROPERTY_SEARCH_DEFAULTS = "vitrine_search_defaults"
_PROPERTY_FIELDS = "vitrine_fields"
_PROPERTY_INDEX = "vitrine_index"
_PROPERTY_FINGERPRINT = "vitrine_fingerprint"
_PROPERTY_MODEL = "vitrine_model"
_PROPERTY_GROUP_NAME = "vitrine_group_name"
_PROPERTY_CREATED = "vitrine_created_at"

COLUMN_TYPES = {
    FieldType.TEXT: DataType.VARCHAR,
    FieldType.INTEGER: DataType.INT64,
    FieldType.NUMBER: DataType.DOUBLE,
    FieldType.FLAG: DataType.INT8,  # not BOOL: it must be able to say "not known"
}


@dataclass(frozen=True, slots=True)
class CollectionSpec:
    """A collection to be made.

    Args:
        name: a letter or `_`, then letters, digits and `_`, 200 at most.
        dimension: of the vectors.
        fields: the declared scalar fields.
        index: kind and settings of the vector index.
        fingerprint: of the model contract whose vectors it will hold.
        model: that model's name for people.
        group_name: what the catalogue calls the column that groups come from; empty when it has none.
        bulk_source: digest of the bulk files that it is made for; empty when it is not.
        alias: that it is made for, the first word of its lineage; empty when nobody says.

    Raises:
        InvalidInput: a name, dimension or field that Milvus or the API cannot have.
        LimitExceeded: too many fields, or one too wide.
    """

    name: str
    dimension: int
    fields: tuple[FieldSpec, ...]
    index: IndexParams
    fingerprint: str
    model: str
    group_name: str = ""
    bulk_source: str = ""
    alias: str = ""

    def __post_init__(self) -> None:
        if not valid_collection_name(self.name):
            raise InvalidInput(
                f"A collection's name starts with a letter or _, followed by up to 199 letters, digits or _; "
                f"{self.name!r} does not.",
                name=self.name,
            )
        least, most = _DIMENSIONS
        if not least <= self.dimension <= most:
            raise LimitExceeded(
                f"The dimension must be from {least} to {most}, not {self.dimension}.", minimum=least, maximum=most
            )
        self.index.check_dimension(self.dimension)
        _check_fields(self.fields)
        if len(self.group_name.encode()) > _MAX_GROUP_NAME_BYTES:
            raise LimitExceeded(
                f"The group column's name has {_MAX_GROUP_NAME_BYTES} bytes at most.", maximum=_MAX_GROUP_NAME_BYTES
            )


@dataclass(frozen=True, slots=True)
class CollectionInfo:
    """What Milvus tells about one of the product's collections.

    Args:
        name: the collection's own name, never an alias.
        dimension: of its vectors.
        rows: what a search sees, when the collection is loaded and its rows were counted; else Milvus's estimate, in
            which rows not flushed yet are missing and replaced ones count twice. `CollectionReader.count` is exact.
        fields: declared scalar fields.
        index: kind of the vector index and the defaults of a search.
        fingerprint: of the model whose vectors it holds.
        model: that model's name.
        build_id: random, made with the collection: a later one of the same name has another. Empty when the creation
            did not finish.
        created_at: in UTC.
        loaded: in memory, so that it can be searched.
        aliases: names that point at it now.
        group_name: what its catalogue calls the group column; empty when that is not known.
        lineage: where it comes from.
        bulk_source: digest of the bulk files that it was made for; empty when it was not.
    """

    name: str
    dimension: int
    rows: int
    fields: tuple[FieldSpec, ...]
    index: IndexParams
    fingerprint: str
    model: str
    build_id: str
    created_at: datetime
    loaded: bool
    aliases: tuple[str, ...]
    group_name: str = ""
    lineage: Lineage = NO_LINEAGE
    bulk_source: str = ""

    @property
    def complete(self) -> bool:
        """Whether its creation finished."""
        return self.build_id != ""

    @property
    def awaits_bulk_files(self) -> bool:
        """Whether a bulk import into it was begun and not finished: files may arrive that would double its ids."""
        return self.bulk_source != "" and self.lineage.finished_at is None and self.lineage.rows == 0


def valid_collection_name(name: str) -> bool:
    """Whether a collection or alias can have the name."""
    return _COLLECTION_NAME.fullmatch(name) is not None


def build_schema(spec: CollectionSpec) -> Any:
    """pymilvus's schema of the collection."""
    schema = AsyncMilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field(ID, DataType.VARCHAR, max_length=ID_BYTES, is_primary=True)
    schema.add_field(EMBEDDING, DataType.FLOAT_VECTOR, dim=spec.dimension)
    schema.add_field(TITLE, DataType.VARCHAR, max_length=TITLE_BYTES)
    schema.add_field(GROUP, DataType.VARCHAR, max_length=GROUP_BYTES)
    schema.add_field(IMAGE_PATH, DataType.VARCHAR, max_length=IMAGE_PATH_BYTES)
    for field in spec.fields:
        extra = {"max_length": field.max_bytes} if field.type is FieldType.TEXT else {}
        schema.add_field(field.name, COLUMN_TYPES[field.type], **extra)
    return schema


def properties_of(spec: CollectionSpec, *, attempt: str, created_at: datetime) -> dict[str, str]:
    """Properties a collection is created with; `vitrine_build_id` follows when all the rest is done."""
    return {
        PROPERTY_ATTEMPT: attempt,
        _PROPERTY_FIELDS: json.dumps([_field_as_json(field) for field in spec.fields]),
        _PROPERTY_INDEX: json.dumps(spec.index.describe()),
        _PROPERTY_FINGERPRINT: spec.fingerprint,
        _PROPERTY_MODEL: spec.model,
        _PROPERTY_GROUP_NAME: spec.group_name,
        _PROPERTY_CREATED: created_at.isoformat(),
        PROPERTY_LINEAGE: Lineage(alias=spec.alias).as_text(),
    } | ({PROPERTY_BULK_SOURCE: spec.bulk_source} if spec.bulk_source else {})


def info_from(description: Mapping[str, Any], *, rows: int, loaded: bool) -> CollectionInfo:
    """Reads pymilvus's description of a collection.

    Raises:
        CollectionNotFound: Vitrine did not make it, or its properties were edited by hand.
    """
    name = str(description["collection_name"])
    properties = description.get("properties", {})
    try:
        return CollectionInfo(
            name=name,
            dimension=_dimension(description),
            rows=rows,
            fields=tuple(_field_from_json(field) for field in json.loads(properties[_PROPERTY_FIELDS])),
            index=_index_from(properties),
            fingerprint=properties[_PROPERTY_FINGERPRINT],
            model=properties[_PROPERTY_MODEL],
            build_id=properties.get(PROPERTY_BUILD_ID, ""),
            created_at=datetime.fromisoformat(properties[_PROPERTY_CREATED]),
            loaded=loaded,
            aliases=tuple(sorted(description.get("aliases", ()))),
            group_name=properties.get(_PROPERTY_GROUP_NAME, ""),
            lineage=Lineage.from_text(properties.get(PROPERTY_LINEAGE, "{}")),
            bulk_source=properties.get(PROPERTY_BULK_SOURCE, ""),
        )
    except (KeyError, ValueError, TypeError, InvalidInput) as error:
        raise CollectionNotFound(
            f"Milvus has a collection {name!r}, but Vitrine did not make it.", collection=name, foreign=True
        ) from error


def _index_from(properties: Mapping[str, str]) -> IndexParams:
    """As it was made, with the search defaults that were set since."""
    index = index_from_description(json.loads(properties[_PROPERTY_INDEX]))
    return index.with_search(json.loads(properties.get(PROPERTY_SEARCH_DEFAULTS, "{}")))


def _dimension(description: Mapping[str, Any]) -> int:
    columns = {field["name"]: field for field in description["fields"]}
    return int(columns[EMBEDDING]["params"]["dim"])


def _check_fields(fields: tuple[FieldSpec, ...]) -> None:
    if len(fields) > _MAX_FIELDS:
        raise LimitExceeded(f"A collection has {_MAX_FIELDS} fields at most, not {len(fields)}.", maximum=_MAX_FIELDS)
    seen: set[str] = set()
    for field in fields:
        if not _FIELD_NAME.fullmatch(field.name):
            raise InvalidInput(
                f"A field's name is a letter, then up to 99 letters, digits or _; {field.name!r} is not.",
                field=field.name,
            )
        if field.name.lower() in RESERVED_NAMES | _GRAMMAR_WORDS:
            raise InvalidInput(f"{field.name!r} is a reserved name.", field=field.name)
        if field.name.lower() in seen:
            raise InvalidInput(f"Field {field.name!r} is declared twice (case does not count).", field=field.name)
        if field.type is FieldType.TEXT and not 1 <= field.max_bytes <= _MAX_TEXT_BYTES:
            raise LimitExceeded(
                f"Field {field.name!r} must have from 1 to {_MAX_TEXT_BYTES} bytes, not {field.max_bytes}.",
                field=field.name,
                maximum=_MAX_TEXT_BYTES,
            )
        seen.add(field.name.lower())


def _field_as_json(field: FieldSpec) -> dict[str, Any]:
    return {
        "name": field.name,
        "type": field.type.value,
        "max_bytes": field.max_bytes,
        "filterable": field.filterable,
        "facetable": field.facetable,
    }


def _field_from_json(data: Mapping[str, Any]) -> FieldSpec:
    return FieldSpec(
        name=data["name"],
        type=FieldType(data["type"]),
        max_bytes=data["max_bytes"],
        filterable=data["filterable"],
        facetable=data["facetable"],
    )
