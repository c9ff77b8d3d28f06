"""Collections, and what they are made of."""

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, Field

from vitrine.gateway.schemas.common import ModelInfo


class CollectionState(StrEnum):
    """Whether a collection is in memory. Only a loaded one can be searched or written to."""

    RELEASED = "released"
    LOADING = "loading"
    LOADED = "loaded"


class IndexAnswer(BaseModel):
    """The index of a collection, with Milvus's own parameter names."""

    type: str
    params: dict[str, str | int | bool] = Field(description="What it was built with.")
    search_params: dict[str, int] = Field(description="Of a search that brings no `params` of its own.")


class FieldAnswer(BaseModel):
    """One typed field of a collection."""

    name: str
    type: str = Field(description="`text`, `integer`, `number` or `flag`.")
    filterable: bool
    facetable: bool


class StoredFieldAnswer(FieldAnswer):
    """The same with how much it holds."""

    max_bytes: int | None = Field(description="Most UTF-8 bytes of a text; null for the other types.")


class LoadAnswer(BaseModel):
    """How much of a collection is in memory."""

    name: str
    state: CollectionState
    progress: float = Field(description="Share that is in memory, 0 to 1.")


class CollectionAnswer(LoadAnswer):
    """One collection."""

    aliases: list[str]
    rows: int = Field(description="An estimate: rows written in the last seconds may be missing.")
    dimension: int
    index: IndexAnswer
    model: ModelInfo
    fields: list[StoredFieldAnswer]
    group_name: str = Field(description="What its catalogue calls the group; empty when that is not known.")
    loaded: bool
    created_at: datetime


class CollectionsAnswer(BaseModel):
    """All collections there are."""

    collections: list[CollectionAnswer]
