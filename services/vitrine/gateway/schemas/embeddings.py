"""Embeddings and models in OpenAI's shape, so that clients written for it work unchanged."""

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from vitrine.gateway.schemas.common import Request

MAX_INPUTS: Final = 128
"""Texts and pictures of one request."""
MAX_PICTURES: Final = 16
"""Pictures among them: decoding one can take as long as embedding a hundred texts."""
DEFAULT_MODEL: Final = "default"
"""Names whatever model is served."""


_TEXT: Final[dict[str, Any]] = {"type": "string", "minLength": 1, "pattern": "^[^\\u0000]*$"}


def _as_list(sent: object) -> object:
    """A text alone is short for a list of one."""
    if isinstance(sent, str):
        return [sent]
    if not isinstance(sent, list):
        raise PydanticCustomError("input_type", "Input is a text or a list of texts")
    if any(isinstance(entry, int | list) for entry in sent):
        raise PydanticCustomError("token_ids", "Token ids are not accepted; send the text itself")
    return sent


def _text_or_list(schema: dict[str, Any]) -> None:
    """Documents `_as_list`, which pydantic cannot look into."""
    several = {key: schema.pop(key) for key in ("type", "minItems", "maxItems")}
    del schema["items"]
    schema["oneOf"] = [_TEXT, {**several, "items": _TEXT}]


class EmbeddingsBody(Request):
    """What is to be embedded, and how the figures are written."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"model": DEFAULT_MODEL, "input": ["red dress", "floral top"]}]}
    )

    input: Annotated[
        list[str],
        Field(
            min_length=1,
            max_length=MAX_INPUTS,
            description="Texts, and pictures as `data:` URLs in base64.",
            json_schema_extra=_text_or_list,
        ),
        BeforeValidator(_as_list),
    ]
    model: str = Field(
        min_length=1, max_length=256, description=f"The model's name or fingerprint, or `{DEFAULT_MODEL}`."
    )
    encoding_format: Literal["float", "base64"] = Field(
        "float", description="`base64`: the bytes of little-endian float32, a third of the size."
    )
    dimensions: int | None = Field(None, ge=1, description="The model's own; no other length can be given.")
    user: str | None = Field(None, max_length=1_024, description="Accepted for the sake of clients, and not used.")


class EmbeddingAnswer(BaseModel):
    """One embedding, of unit length."""

    object: Literal["embedding"] = "embedding"
    index: int = Field(description="Where its input stood.")
    embedding: list[float] | str = Field(description="Numbers, or base64 of little-endian float32.")


class Usage(BaseModel):
    """Token ids that the model read, both special ones of each text included; pictures have none."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingsAnswer(BaseModel):
    """Embeddings in the order of the inputs."""

    object: Literal["list"] = "list"
    data: list[EmbeddingAnswer]
    model: str
    usage: Usage
    warnings: list[str] = Field(description="`query_truncated`: a text was longer than the model reads.")


class ServedModel(BaseModel):
    """A model."""

    id: str = Field(description="Its name.")
    object: Literal["model"] = "model"
    created: int = Field(description="Always 0: a model repository does not say when it was made.")
    owned_by: Literal["vitrine"] = "vitrine"
    fingerprint: str = Field(description="Of the embedding contract; vectors of equal fingerprints can be compared.")
    dimensions: int
    max_tokens: int = Field(description="Ids it reads of a text; what is longer is cut.")


class ServedModelsAnswer(BaseModel):
    """The one model that is served."""

    object: Literal["list"] = "list"
    data: list[ServedModel]
