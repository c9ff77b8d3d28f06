"""Several searches in one request."""

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints, WithJsonSchema

from vitrine.gateway.schemas.common import NAME_PATTERN, Request, TimeoutMs
from vitrine.gateway.schemas.problems import Problem
from vitrine.gateway.schemas.search import SearchMembers, SearchOutcome, TookMs

_AS_IT_IS: Final = WithJsonSchema(
    {
        "type": "object",
        "title": "Search",
        "description": "What `#/components/schemas/SearchItem` describes. Any other object is answered in its place, "
        "with the problem that it is, so that it is not refused here.",
    }
)


class SearchItem(SearchMembers):
    """One of several searches, and where it looks. Their time is the request's."""

    collection: Annotated[str, StringConstraints(pattern=NAME_PATTERN)] = Field(
        description="Alias or name of a collection.", examples=["products"]
    )


class MultiSearchBody(Request):
    """Several searches. Each is valid or not by itself, and answered by itself."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "searches": [
                        {"collection": "products", "query": "red dress"},
                        {"collection": "products", "query": "blue jeans", "limit": 5},
                    ]
                }
            ]
        }
    )

    # Read as they are, so that one that is malformed fails alone.
    searches: list[Annotated[dict[str, JsonValue], _AS_IT_IS]] = Field(min_length=1)
    timeout_ms: TimeoutMs | None = None


class SearchDone(SearchOutcome):
    """A search that was answered."""

    status: Literal[200]


class SearchRefused(Problem):
    """A search that was not: the problem it would have been answered with alone."""

    status: int = Field(ge=400, le=599)


class MultiSearchAnswer(BaseModel):
    """An answer for each search, in their order."""

    results: list[SearchDone | SearchRefused]
    took_ms: TookMs
    request_id: str
