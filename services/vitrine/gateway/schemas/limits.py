"""What the API refuses to do more of."""

from pydantic import BaseModel, Field


class LimitAnswer(BaseModel):
    """One limit, as it is enforced by the server that answers."""

    name: str
    value: int | float | list[str] = Field(description="The most that is accepted; a list names all that is.")
    unit: str = Field(examples=["bytes"])
    setting: str | None = Field(description="What an operator changes it with; null: it is fixed.")
    code: str | None = Field(description="Of the error that more is answered with; null: `description` tells.")
    description: str


class LimitsAnswer(BaseModel):
    """Every limit."""

    limits: list[LimitAnswer]
