"""Searches: requests are validated by these models, answers are documented (and tested) by them.

Answers are written by `shapes.py` as plain dictionaries: building models for twenty hits costs more than encoding them.
"""

from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Discriminator, Field, JsonValue, StringConstraints, Tag, WithJsonSchema

from vitrine.gateway.schemas.common import ItemId, ModelInfo, Request, TimeoutMs
from vitrine.gateway.schemas.items import ItemAnswer

MAX_PARTS: Final = 16
"""Parts of one query."""
MAX_WEIGHT: Final = 100.0
MAX_OFFSET: Final = 16_384
"""Milvus's own window: offset + limit may not pass it."""
DEFAULT_LIMIT: Final = 20

Weight = Annotated[
    float, Field(ge=-MAX_WEIGHT, le=MAX_WEIGHT, allow_inf_nan=False, description="Share; negative: away from it.")
]
Limit = Annotated[int, Field(ge=1, description="Hits in one answer; `GET /v1/ui-config` names the most.")]
Offset = Annotated[int, Field(ge=0, le=MAX_OFFSET, description="Hits to pass over.")]
MinScore = Annotated[float, Field(ge=-1, le=1, allow_inf_nan=False, description="Least cosine similarity of a hit.")]

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


IndexOptions = Annotated[
    dict[Annotated[str, StringConstraints(pattern="^[a-z_]{1,32}$")], int],
    Field(
        max_length=8, description="Settings of the index for this search, by Milvus's own names.", examples=[{"ef": 64}]
    ),
]


class TextQuery(Request):
    """A text and its weight."""

    text: str
    weight: Weight = 1.0


class ImageQuery(Request):
    """A picture as a `data:` URL in base64, and its weight."""

    image: str = Field(description="`data:image/jpeg;base64,...`")
    weight: Weight = 1.0


class ItemQuery(Request):
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


class SearchBody(Request):
    """One search."""

    query: str | Annotated[list[QueryPartBody], Field(min_length=1, max_length=MAX_PARTS)] = Field(
        description="A text, or weighted parts.", examples=["red floral dress"]
    )
    limit: Limit = DEFAULT_LIMIT
    offset: Offset = 0
    filter: Annotated[JsonValue, WithJsonSchema(FILTER_SCHEMA)] = None
    min_score: MinScore | None = None
    params: IndexOptions = Field(default_factory=dict)
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
