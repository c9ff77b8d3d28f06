"""Collections, and what they are made of."""

from datetime import datetime

from pydantic import BaseModel, Field

from vitrine.gateway.schemas.common import ModelInfo


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
