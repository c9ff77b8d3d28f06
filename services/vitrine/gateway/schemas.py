"""What the API takes and gives, as models: requests are validated by them, answers are documented (and tested) by them.

Answers are written by `shapes.py` as plain dictionaries: building models for twenty hits costs more than encoding them.
"""

from datetime import datetime
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Discriminator, Field, JsonValue, StringConstraints, Tag, WithJsonSchema

MAX_PARTS: Final = 16
"""Parts of one query."""
MAX_WEIGHT: Final = 100.0
MAX_OFFSET: Final = 16_384
"""Milvus's own window: offset + limit may not pass it."""
DEFAULT_LIMIT: Final = 20

NAME_PATTERN: Final = r"^[A-Za-z_][A-Za-z0-9_]{0,254}$"
"""Collections and aliases; anything else can name none."""

ItemId = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[^\x00]+$")]
Weight = Annotated[
    float, Field(ge=-MAX_WEIGHT, le=MAX_WEIGHT, allow_inf_nan=False, description="Share; negative: away from it.")
]
Limit = Annotated[int, Field(ge=1, description="Hits in one answer; `GET /v1/ui-config` names the most.")]
Offset = Annotated[int, Field(ge=0, le=MAX_OFFSET, description="Hits to pass over.")]
MinScore = Annotated[float, Field(ge=-1, le=1, allow_inf_nan=False, description="Least cosine similarity of a hit.")]
TimeoutMs = Annotated[int, Field(ge=1, description="Time for this request in milliseconds, from its last byte.")]

_OPERATORS: Final = ("eq", "ne", "lt", "le", "gt", "ge", "in", "exists", "prefix")
_SCALAR: Final[dict[str, Any]] = {"type": ["string", "number", "boolean"]}
FILTER_SCHEMA: Final[dict[str, Any]] = {
    "description": "A condition over the collection's fields, or all/any/not over further filters.",
    "oneOf": [
        {
            "type": "object",
            "required": [key],
            "additionalProperties": False,
            "properties": {key: {"type": "array", "minItems": 1, "items": {"type": "object"}}},
        }
        for key in ("all", "any")
    ]
    + [
        {
            "type": "object",
            "required": ["not"],
            "additionalProperties": False,
            "properties": {"not": {"type": "object"}},
        },
        {
            "type": "object",
            "required": ["field", "op"],
            "additionalProperties": False,
            "properties": {
                "field": {"type": "string"},
                "op": {"enum": list(_OPERATORS)},
                "value": {"anyOf": [_SCALAR, {"type": "array", "items": _SCALAR}]},
            },
        },
    ],
}


class _Request(BaseModel):
    """Unknown members are errors: a misspelt `limt` would otherwise be ignored in silence."""

    model_config = ConfigDict(extra="forbid", strict=True)


class TextQuery(_Request):
    """A text and its weight."""

    text: str
    weight: Weight = 1.0


class ImageQuery(_Request):
    """A picture as a `data:` URL in base64, and its weight."""

    image: str = Field(description="`data:image/jpeg;base64,...`")
    weight: Weight = 1.0


class ItemQuery(_Request):
    """A product of this collection, and its weight. It is not among its own hits."""

    id: ItemId
    weight: Weight = 1.0


def _kind(part: object) -> str | None:
    """Which of the three a part is, so that its errors speak of that one alone."""
    members = part.keys() if isinstance(part, dict) else getattr(part, "model_fields_set", ())
    return next((name for name in ("text", "image", "id") if name in members), None)


QueryPartBody = Annotated[
    Annotated[TextQuery, Tag("text")] | Annotated[ImageQuery, Tag("image")] | Annotated[ItemQuery, Tag("id")],
    Discriminator(
        _kind,
        custom_error_type="part_kind",
        custom_error_message="A part has exactly one of `text`, `image` and `id`",
    ),
]


class SearchBody(_Request):
    """One search."""

    query: str | Annotated[list[QueryPartBody], Field(min_length=1, max_length=MAX_PARTS)] = Field(
        description="A text, or weighted parts.", examples=["red floral dress"]
    )
    limit: Limit = DEFAULT_LIMIT
    offset: Offset = 0
    filter: Annotated[JsonValue, WithJsonSchema(FILTER_SCHEMA)] = None
    min_score: MinScore | None = None
    params: Annotated[dict[Annotated[str, StringConstraints(pattern="^[a-z_]{1,32}$")], int], Field(max_length=8)] = {}
    timeout_ms: TimeoutMs | None = None
    with_vectors: bool = False


class SearchParams(BaseModel):
    """The same as query parameters, for one text or one product."""

    model_config = ConfigDict(extra="forbid")

    q: str | None = Field(None, description="Text query.", examples=["red floral dress"])
    id: ItemId | None = Field(None, description="Products like this one.")
    limit: Limit = DEFAULT_LIMIT
    offset: Offset = 0
    min_score: MinScore | None = None
    timeout_ms: TimeoutMs | None = None


class ImageForm(BaseModel):
    """A picture sent as it is, in a multipart form, with the members of a search beside it."""

    model_config = ConfigDict(extra="forbid")

    limit: Limit = DEFAULT_LIMIT
    offset: Offset = 0
    min_score: MinScore | None = None
    timeout_ms: TimeoutMs | None = None
    filter: str | None = Field(None, description="The filter of a search, as JSON text.")


class ModelInfo(BaseModel):
    """The embedding model: a name for people, a fingerprint for comparing."""

    name: str
    fingerprint: str


class ItemAnswer(BaseModel):
    """One product."""

    id: str
    title: str
    group: str = Field(description="Shared by the products of one design; empty when the catalogue has none.")
    image_url: str | None
    metadata: dict[str, str | int | float | bool]


class HitAnswer(ItemAnswer):
    """One product found. `score` is cosine similarity, higher is better."""

    score: float
    vector: list[float] | None = Field(None, description="Only with `with_vectors`.")


class SearchAnswer(BaseModel):
    """The answer to a search."""

    hits: list[HitAnswer]
    took_ms: dict[str, float] = Field(
        description="Milliseconds: `total`, and by stage.", examples=[{"total": 9.1, "embed": 3.2, "search": 5.4}]
    )
    collection: str = Field(description="The collection behind the alias.")
    model: ModelInfo
    degraded: bool
    warnings: list[str] = Field(examples=[["query_truncated"]])
    request_id: str


class IndexAnswer(BaseModel):
    """The index of a collection, with Milvus's own parameter names."""

    type: str
    params: dict[str, str | int | bool]


class FieldAnswer(BaseModel):
    """One typed field of a collection."""

    name: str
    type: str
    filterable: bool
    facetable: bool


class CollectionAnswer(BaseModel):
    """One collection."""

    name: str
    aliases: list[str]
    rows: int = Field(description="An estimate: rows written in the last seconds may be missing.")
    dimension: int
    index: IndexAnswer
    model: ModelInfo
    fields: list[FieldAnswer]
    loaded: bool
    created_at: datetime


class CollectionsAnswer(BaseModel):
    """All collections there are."""

    collections: list[CollectionAnswer]


class UiConfigAnswer(BaseModel):
    """What the web page needs to know."""

    collection: str
    examples: list[str]
    max_image_bytes: int
    max_limit: int


class Problem(BaseModel):
    """An error, after RFC 9457. Match on `code`, never on the texts."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    trace_id: str | None = None
    details: dict[str, Any] | None = None


class CheckAnswer(BaseModel):
    """One line of a readiness report."""

    name: str
    ok: bool
    code: str | None = None
    detail: str | None = None
    details: dict[str, Any] | None = None


class ReadyAnswer(BaseModel):
    """All is well."""

    status: str
    fingerprint: str
    checks: list[CheckAnswer]


class NotReadyProblem(Problem):
    """What is not well."""

    fingerprint: str
    checks: list[CheckAnswer]
