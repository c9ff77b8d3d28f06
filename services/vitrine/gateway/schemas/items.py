"""Products by their id: as they are read, as they are written, and what became of each."""

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, WithJsonSchema

from vitrine.gateway.schemas.common import ItemId, Request
from vitrine.gateway.schemas.problems import Problem

_TEXT: Final = r"^[^\x00]*$"

WrittenId = Annotated[
    str,
    StringConstraints(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f]+$"),
    Field(
        description="The shop's own key: 128 bytes of UTF-8 at most, no control characters, no `.` or `..` between /."
    ),
]
"""An id that an item may be stored under; more can be asked for than can be stored."""

ImagePath = Annotated[
    str,
    StringConstraints(max_length=1024, pattern=_TEXT),
    Field(
        description="Where the picture is below the server's folder of pictures, with `/`. Hits carry it as "
        "`image_url`, and without an `image` the picture is read from there."
    ),
]
Title = Annotated[
    str, StringConstraints(max_length=512, pattern=_TEXT), Field(description="What a person calls it; 512 bytes.")
]
Group = Annotated[
    str,
    StringConstraints(max_length=128, pattern=_TEXT),
    Field(description="Shared by the products of one design; 128 bytes."),
]
Fields = Annotated[
    dict[str, str | int | float | bool | None],
    Field(
        max_length=64,
        description="Values of the collection's own fields, in their types; null and a missing one are the same.",
    ),
]


class ItemAnswer(BaseModel):
    """One product."""

    id: str
    title: str
    group: str = Field(description="Shared by the products of one design; empty when the catalogue has none.")
    image_url: str | None
    metadata: dict[str, str | int | float | bool]


# A picture comes with the request, or lies below the server's folder.
_PICTURED: Final[dict[str, Any]] = {
    "anyOf": [
        {"required": ["image"], "properties": {"image": {"type": "string"}}},
        {"required": ["image_path"], "properties": {"image_path": {"minLength": 1}}},
    ]
}


class ItemBody(Request):
    """A product to be stored in place of what its id had before; what is left out is empty afterwards."""

    model_config = ConfigDict(json_schema_extra=_PICTURED)

    image: str | None = Field(None, description="The picture: a `data:` URL in base64, or an allowed address.")
    image_path: ImagePath = ""
    title: Title = ""
    group: Group = ""
    fields: Fields = Field(default_factory=dict)


class ItemForm(Request):
    """The same in a multipart form, beside the picture's file."""

    image_path: ImagePath = ""
    title: Title = ""
    group: Group = ""
    fields: Annotated[str, Field(description="Values of the collection's own fields, as a JSON object.")] = "{}"


class BulkItem(ItemBody):
    """One product among many."""

    id: WrittenId


class BulkBody(Request):
    """Products to be stored together."""

    # Read as they are, so that one that is malformed fails alone.
    items: Annotated[
        list[dict[str, Any]],
        Field(
            min_length=1,
            description="Each a `BulkItem`; what is none is refused in its own place. `GET /v1/limits` tells how many.",
        ),
        WithJsonSchema(
            {
                "type": "array",
                "minItems": 1,
                "items": {"anyOf": [{"$ref": "#/components/schemas/BulkItem"}, {"type": "object"}]},
            }
        ),
    ]


class BulkDeleteBody(Request):
    """Products to be deleted together."""

    ids: Annotated[list[ItemId], Field(min_length=1, description="`GET /v1/limits` tells how many.")]


class ItemWritten(ItemAnswer):
    """A product as it is stored now, acknowledged by Milvus."""

    created: bool = Field(description="No item had this id when the request began; else one was replaced.")
    collection: str = Field(description="The one collection it was written to.")
    request_id: str


class ItemDone(BaseModel):
    """An entry that was done."""

    id: str
    status: Literal[200, 201, 204] = Field(description="201: created, 200: replaced, 204: deleted.")


class ItemRefused(Problem):
    """An entry that was not: the problem that it would have been answered with alone."""

    id: str | None = Field(description="Null when the entry has none that could be one.")
    status: int = Field(ge=400, le=599)


class _BulkOutcome(BaseModel):
    collection: str = Field(description="The one collection that was written to.")
    read: int = Field(description="Entries of the request.")
    rejected: int = Field(description="Those that were refused: the rest of `read`.")
    results: list[ItemDone | ItemRefused] = Field(description="One for each entry, in their order.")
    took_ms: dict[str, float]
    request_id: str


class BulkAnswer(_BulkOutcome):
    """What became of products to be stored."""

    written: int


class BulkDeleteAnswer(_BulkOutcome):
    """What became of products to be deleted."""

    deleted: int
