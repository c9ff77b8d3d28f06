"""Searches as calls, and the reading of their answers."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Required, TypeAlias, TypedDict, Unpack

from vitrine.client.answers import SearchAnswer
from vitrine.client.call import Call, Received, as_model, json_call, problem_error, refusal, said, segment, unexpected
from vitrine.client.errors import ApiError
from vitrine.client.parts import Picture, Query, image_bytes, kind_of, query_body

Filter: TypeAlias = str | Mapping[str, object]
"""A filter in its text form, `colour:red AND price<50`, or as the tree of the API."""


class SearchMembers(TypedDict, total=False):
    """What a search may say besides its query. What is None, like what is left out, the server chooses.

    limit: hits, or groups of them. offset: hits to pass over. cursor: `next_cursor` of the page before.
    filter: see `Filter`. min_score: least cosine. relative_cut: least share of the best hit's score.
    group_by: a field; one hit for each of its values. facets: fields whose values are counted.
    params: the index's own settings, such as {"ef": 128}. with_vectors: hits carry their vectors.
    """

    limit: int | None
    offset: int | None
    cursor: str | None
    filter: Filter | None
    min_score: float | None
    relative_cut: float | None
    group_by: str | None
    facets: Sequence[str] | None
    params: Mapping[str, int] | None
    with_vectors: bool | None


class SearchOptions(SearchMembers, total=False):
    """`SearchMembers`, and `timeout_ms`: how long the server may take."""

    timeout_ms: int | None


class OneSearch(SearchMembers, total=False):
    """One search of several: `SearchMembers`, and what to look for where."""

    collection: Required[str]
    query: Required[Query]


def search(collection: str, query: Query, **options: Unpack[SearchOptions]) -> Call[SearchAnswer]:
    """One search."""
    body = {"query": query_body(query), **said(options)}
    return json_call("POST", f"/v1/collections/{segment(collection)}/search", body, as_model(SearchAnswer))


def search_image(
    collection: str,
    picture: bytes | Picture,
    query: Query | None,
    weight: float | None,
    **options: Unpack[SearchOptions],
) -> Call[SearchAnswer]:
    """A search by an uploaded picture, which spares the third that base64 adds.

    Raises:
        ImageMissing, ImageUnreadable
    """
    data = image_bytes(picture)
    members = said({"weight": weight, "query": None if query is None else _parts_of(query), **options})
    return Call(
        "POST",
        f"/v1/collections/{segment(collection)}/search/image",
        as_model(SearchAnswer),
        form={name: _form_value(name, value) for name, value in members.items() if not _is_empty(value)},
        files={"image": ("picture", data, kind_of(data))},
    )


def multi_search(searches: Sequence[OneSearch], timeout_ms: int | None) -> Call[tuple[SearchAnswer | ApiError, ...]]:
    """Several searches; each is answered or refused by itself."""
    bodies = [said({**one, "query": query_body(one["query"])}) for one in searches]
    return json_call("POST", "/v1/multi_search", said({"searches": bodies, "timeout_ms": timeout_ms}), _each)


def _each(received: Received) -> tuple[SearchAnswer | ApiError, ...]:
    if not received.is_success:
        raise refusal(received)
    try:
        answer = json.loads(received.content)
        # What all of them share stands beside them.
        shared = {"took_ms": answer["took_ms"], "request_id": answer["request_id"]}
        return tuple(_one(result, shared) for result in answer["results"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise unexpected(received, "an answer of another shape") from error


def _one(result: Mapping[str, Any], shared: Mapping[str, object]) -> SearchAnswer | ApiError:
    status = int(result["status"])
    return SearchAnswer.model_validate({**shared, **result}) if status < 400 else problem_error(result, status, {})


def _parts_of(query: Query) -> list[object]:
    # In a form a text could be taken for a list, if it begins like one.
    body = query_body(query)
    return [{"text": body}] if isinstance(body, str) else body


def _is_empty(value: object) -> bool:
    """Whether a list or mapping says nothing; a form has no way to write that."""
    return isinstance(value, Sequence | Mapping) and not isinstance(value, str) and not value


def _form_value(name: str, value: object) -> str:
    """A member of a search as a form carries it."""
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case Mapping() if name == "params":
            return ",".join(f"{setting}:{number}" for setting, number in value.items())
        case Sequence() if name == "facets":
            return ",".join(value)
        case Sequence() | Mapping():
            return json.dumps(value)
        case _:
            return str(value)
