"""What the web page needs to know."""

from pydantic import BaseModel, Field

from vitrine.gateway.schemas.collections import FieldAnswer


class UiConfigAnswer(BaseModel):
    """What the web page needs to know."""

    collection: str
    examples: list[str]
    max_image_bytes: int
    max_limit: int
    max_facets: int
    fields: list[FieldAnswer] = Field(
        description="Fields that can be filtered or counted; empty while the collection is not there."
    )
    group_name: str = Field(description="What `group_by` may also be called in this collection; may be empty.")
