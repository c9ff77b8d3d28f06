"""What several requests and answers have in common."""

from typing import Annotated, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

NAME_PATTERN: Final = r"^[A-Za-z_][A-Za-z0-9_]{0,254}$"
"""Collections and aliases; anything else can name none."""

ItemId = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[^\x00]+$")]


def _integral(sent: object) -> object:
    return int(sent) if isinstance(sent, float) and sent.is_integer() else sent


WHOLE: Final = BeforeValidator(_integral)
"""JSON has one kind of number, and JSON Schema calls 20.0 an integer."""
TimeoutMs = Annotated[int, Field(ge=1, description="Time for this request in milliseconds, from its last byte."), WHOLE]


class Request(BaseModel):
    """Unknown members are errors: a misspelt `limt` would otherwise be ignored in silence."""

    model_config = ConfigDict(extra="forbid", strict=True)


class ModelInfo(BaseModel):
    """The embedding model: a name for people, a fingerprint for comparing."""

    name: str
    fingerprint: str
