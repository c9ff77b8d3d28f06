"""Searches: requests are validated by these models, answers are documented (and tested) by them.

Answers are written by `shapes.py` as plain dictionaries: building models for twenty hits costs more than encoding them.
"""

from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, JsonValue, StringConstraints, Tag
from pydantic_core import PydanticCustomError

from vitrine.gateway.schemas.common import WHOLE, ItemId, ModelInfo, Request, TimeoutMs
from vitrine.gateway.schemas.filters import FILTER_IN_JSON, TEXT_SCHEMA
from vitrine.gateway.schemas.items import ItemAnswer
from vitrine.gateway.schemas.written import WRITTEN_FLAG, WRITTEN_NUMBER, WRITTEN_WHOLE
from vitrine.search.request import DEPTH_REACHED, PREVIOUS_COLLECTION, QUERY_TRUNCATED

MAX_PARTS: Final = 16
"""Parts of one query."""
MAX_WEIGHT: Final = 100.0
MAX_OFFSET: Final = 16_000
"""Milvus has a window of 16,384 for offset and limit together."""
DEFAULT_LIMIT: Final = 20
MAX_CURSOR_CHARS: Final = 128 * 1024
"""Far above what a walk of the greatest depth that can be set needs."""
MAX_CURSOR_CHARS_IN_ADDRESS: Final = 16 * 1024
"""What leaves room for the rest of an address, which HTTP servers cut at 64 KiB. Longer ones go into a body."""
MAX_PARAMS: Final = 8

Weight = Annotated[
    float, Field(ge=-MAX_WEIGHT, le=MAX_WEIGHT, allow_inf_nan=False, description="Share; negative: away from it.")
]
Limit = Annotated[int, Field(ge=1, description="Hits, or groups of them, in one answer."), WHOLE]
Offset = Annotated[int, Field(ge=0, le=MAX_OFFSET, description="Hits to pass over; not together with `cursor`."), WHOLE]
Cursor = Annotated[
    str,
    StringConstraints(min_length=1, max_length=MAX_CURSOR_CHARS),
    Field(description="`next_cursor` of the answer before; all else but `limit` and `timeout_ms` must be the same."),
]
MinScore = Annotated[float, Field(ge=-1, le=1, allow_inf_nan=False, description="Least cosine similarity of a hit.")]
RelativeCut = Annotated[
    float,
    Field(ge=0, le=1, allow_inf_nan=False, description="Least share of the best hit's score that a hit must have."),
]
_FIELD_PATTERN: Final = "[A-Za-z][A-Za-z0-9_]{0,254}"
FieldName = Annotated[str, StringConstraints(pattern=f"^{_FIELD_PATTERN}$")]
GroupBy = Annotated[FieldName, Field(description="A field; of the hits that share its value only the best is given.")]
_PARAM_PATTERN: Final = "[a-z_]{1,32}"
IndexOptions = Annotated[
    dict[Annotated[str, StringConstraints(pattern=f"^{_PARAM_PATTERN}$")], Annotated[int, WHOLE]],
    Field(
        max_length=MAX_PARAMS,
        description="Settings of the index for this search, by Milvus's own names.",
        examples=[{"ef": 64}],
        json_schema_extra={"additionalProperties": False},
    ),
]
QueryText = Annotated[
    str,
    # The pattern stays out of the validation: what is wrong with a text has codes of its own.
    Field(
        description="A text with at least one visible character.",
        json_schema_extra={"minLength": 1, "pattern": "^[^\\u0000]*$"},
    ),
]


class TextQuery(Request):
    """A text and its weight."""

    text: QueryText
    weight: Weight = 1.0


class ImageQuery(Request):
    """A picture as a `data:` URL in base64, or as an address that the server is allowed to fetch; and its weight."""

    image: str = Field(
        description="`data:image/jpeg;base64,...`, or `https://...` of an allowed host.",
        examples=["data:image/gif;base64,R0lGODlhAQABAIAAAP///wAAACwAAAAAAQABAAACAkQBADs="],
        # Stays out of the validation like that of texts.
        json_schema_extra={
            "pattern": "^(data:image/[A-Za-z0-9.+-]+(;[A-Za-z0-9.+-]+=[A-Za-z0-9.+-]+)*;base64,|https?:)"
        },
    )
    weight: Weight = 1.0


class ItemQuery(Request):
    """A product of this collection, and its weight. It is not among its own hits."""

    id: ItemId
    weight: Weight = 1.0


def _kind(part: object) -> str | None:
    """Which of the three a part is, so that its errors speak of that one alone."""
    members = part.keys() if isinstance(part, dict) else getattr(part, "model_fields_set", ())
    return next((name for name in PART_KINDS if name in members), None)


PART_KINDS: Final = ("text", "image", "id")
QueryPartBody = Annotated[
    Annotated[TextQuery, Tag("text")] | Annotated[ImageQuery, Tag("image")] | Annotated[ItemQuery, Tag("id")],
    Discriminator(
        _kind,
        custom_error_type="part_kind",
        custom_error_message="A part has exactly one of `text`, `image` and `id`",
    ),
]


def _as_parts(query: object) -> object:
    """A text alone is short for one part."""
    if isinstance(query, str):
        return [{"text": query}]
    if not isinstance(query, list):
        raise PydanticCustomError("query_type", "A query is a text or a list of parts")
    return query


def _text_or_parts(schema: dict[str, Any]) -> None:
    """Documents `_as_parts`, which pydantic cannot look into."""
    parts = {key: schema.pop(key) for key in ("type", "items", "minItems", "maxItems")}
    schema["oneOf"] = [{"type": "string", "minLength": 1, "pattern": "^[^\\u0000]*$"}, parts]


Query = Annotated[
    list[QueryPartBody],
    Field(
        min_length=1,
        max_length=MAX_PARTS,
        description="A text, or weighted parts.",
        examples=["red floral dress"],
        json_schema_extra=_text_or_parts,
    ),
    BeforeValidator(_as_parts),
]


class SearchMembers(Request):
    """What is searched for, and how much of it is wanted."""

    query: Query
    limit: Limit = DEFAULT_LIMIT
    offset: Offset = 0
    cursor: Cursor | None = None
    filter: Annotated[JsonValue, FILTER_IN_JSON] = None
    min_score: MinScore | None = None
    relative_cut: RelativeCut | None = None
    group_by: GroupBy | None = None
    facets: list[FieldName] = Field(
        default_factory=list,
        description="Fields whose values are counted over the best hits.",
        examples=[["colour_group_name"]],
    )
    params: IndexOptions = Field(default_factory=dict)
    with_vectors: bool = Field(False, description="Also give each hit's vector.")


class SearchBody(SearchMembers):
    """One search."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"query": "red floral dress", "limit": 10},
                {
                    "query": [{"text": "red dress"}, {"text": "floral", "weight": -0.25}],
                    "filter": {"field": "price", "op": "lt", "value": 50},
                    "group_by": "group",
                    "facets": ["colour_group_name"],
                },
            ]
        }
    )

    timeout_ms: TimeoutMs | None = None


class FlatSearch(BaseModel):
    """A search's members as texts, as addresses and forms carry them."""

    model_config = ConfigDict(extra="forbid")

    limit: Annotated[Limit, WRITTEN_WHOLE] = DEFAULT_LIMIT
    offset: Annotated[Offset, WRITTEN_WHOLE] = 0
    cursor: Cursor | None = None
    filter: str | None = Field(None, json_schema_extra={"anyOf": [TEXT_SCHEMA, {"type": "null"}]})
    min_score: Annotated[MinScore, WRITTEN_NUMBER] | None = None
    relative_cut: Annotated[RelativeCut, WRITTEN_NUMBER] | None = None
    group_by: GroupBy | None = None
    facets: str | None = Field(
        None,
        pattern=f"^{_FIELD_PATTERN}(,{_FIELD_PATTERN})*$",
        max_length=2048,
        description="Fields whose values are counted over the best hits, with commas between them.",
        examples=["colour_group_name,product_type_name"],
    )
    params: str | None = Field(
        None,
        pattern=f"^{_PARAM_PATTERN}:-?[0-9]{{1,18}}(,{_PARAM_PATTERN}:-?[0-9]{{1,18}}){{0,{MAX_PARAMS - 1}}}$",
        description="Settings of the index for this search, with commas between them.",
        examples=["ef:64"],
    )
    timeout_ms: Annotated[TimeoutMs, WRITTEN_WHOLE] | None = None
    with_vectors: Annotated[bool, WRITTEN_FLAG] = False


class SearchParams(FlatSearch):
    """The same as query parameters, for one text, one product, or both."""

    q: QueryText | None = Field(None, description="Text query.", examples=["red floral dress"])
    cursor: Annotated[Cursor, StringConstraints(max_length=MAX_CURSOR_CHARS_IN_ADDRESS)] | None = None
    id: ItemId | None = Field(None, description="Products like this one.")


class ImageForm(FlatSearch):
    """A picture sent as it is, in a multipart form, with the members of a search beside it."""

    weight: Annotated[Weight, WRITTEN_NUMBER] = Field(1.0, description="Share of the uploaded picture.")
    query: QueryText | None = Field(
        None,
        description="Further parts: a text, or a JSON list of parts.",
        examples=['[{"text": "red", "weight": 1.5}]'],
    )


class HitAnswer(ItemAnswer):
    """One product found. `score` is cosine similarity, higher is better."""

    score: float
    siblings: int | None = Field(
        None, description="Only with `group_by`: further products of its group that satisfy the filter."
    )
    vector: list[float] | None = Field(None, description="Only with `with_vectors`.")


class FacetValueAnswer(BaseModel):
    """A value and how many of the counted hits have it."""

    value: str | int | float | bool
    count: int = Field(ge=1)


class FacetAnswer(BaseModel):
    """One field's values, most frequent first."""

    values: list[FacetValueAnswer]
    others: int = Field(ge=0, description="Counted hits whose value is not listed, because only so many are.")
    missing: int = Field(ge=0, description="Counted hits without a value.")


class SearchOutcome(BaseModel):
    """What a search found."""

    hits: list[HitAnswer]
    next_cursor: str | None = Field(description="For the next page; null: there is none, or `offset` was used.")
    facets: dict[str, FacetAnswer] = Field(description="By field, in the order they were asked for; first page only.")
    facets_over: int = Field(ge=0, description="How many of the best hits were counted for the facets.")
    collection: str = Field(description="The collection behind the alias.")
    model: ModelInfo
    degraded: bool
    warnings: list[str] = Field(
        description=f"`{QUERY_TRUNCATED}`: a text was longer than the model reads. `{DEPTH_REACHED}`: there may be "
        f"more hits than a walk by cursor can reach. `{PREVIOUS_COLLECTION}`: the alias points at a collection of "
        "another model already; this server still has the model of the one before and searched that.",
        examples=[[QUERY_TRUNCATED]],
    )


TookMs = Annotated[
    dict[str, float],
    Field(description="Milliseconds: `total`, and by stage.", examples=[{"total": 9.1, "embed": 3.2, "search": 5.4}]),
]


class SearchAnswer(SearchOutcome):
    """The answer to a search."""

    took_ms: TookMs
    request_id: str
