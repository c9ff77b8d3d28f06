"""What the web page needs to know."""

from pydantic import BaseModel


class UiConfigAnswer(BaseModel):
    """What the web page needs to know."""

    collection: str
    examples: list[str]
    max_image_bytes: int
    max_limit: int
