"""Products by their id."""

from pydantic import BaseModel, Field


class ItemAnswer(BaseModel):
    """One product."""

    id: str
    title: str
    group: str = Field(description="Shared by the products of one design; empty when the catalogue has none.")
    image_url: str | None
    metadata: dict[str, str | int | float | bool]
