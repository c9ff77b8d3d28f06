"""One call of the API: what is sent, whether it may be repeated, and how its answer is read."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ValidationError

from vitrine.client.errors import UNEXPECTED_ANSWER, ApiError
from vitrine.client.waiting import seconds_asked_for
from vitrine.errors import TextMalformed

T = TypeVar("T")
Model = TypeVar("Model", bound=BaseModel)

_JSON: Final = {"Content-Type": "application/json"}
_NO_HEADERS: Final[Mapping[str, str]] = {}
Files = Mapping[str, tuple[str, bytes, str]]
"""Parts of a multipart form that are files: name, data, media type."""


@dataclass(frozen=True, slots=True)
class Received:
    """An answer, read whole."""

    status: int
    headers: httpx.Headers
    content: bytes
    url: str

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """A request and what its answer means.

    Args:
        read: turns a received answer into the call's result; raises ApiError for a refusal.
        content: body, where there is one.
        patient: a 429 or 503 is worth waiting for; to some calls it is the answer.
    """

    method: str
    path: str
    read: Callable[[Received], T] = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    params: Mapping[str, str] | None = None
    content: bytes | None = field(default=None, repr=False)
    form: Mapping[str, str] | None = field(default=None, repr=False)
    files: Files | None = field(default=None, repr=False)
    patient: bool = True


def json_call(
    method: str, path: str, body: object, read: Callable[[Received], T], headers: Mapping[str, str] = _NO_HEADERS
) -> Call[T]:
    """A call with a JSON body. What the server must refuse (NaN, half a surrogate pair) is left for it to refuse."""
    return Call(method, path, read, {**_JSON, **headers}, content=json.dumps(body, separators=(",", ":")).encode())


def timeout_header(timeout_ms: int | None) -> Mapping[str, str]:
    """How long the server may take, where it is not said in the body."""
    return _NO_HEADERS if timeout_ms is None else {"X-Timeout-Ms": str(timeout_ms)}


def said(members: Mapping[str, object]) -> dict[str, object]:
    """The members that say something."""
    return {name: value for name, value in members.items() if value is not None}


def segment(name: str) -> str:
    """A name as one segment of a path, such that no slash and no dots of it mean anything.

    Raises:
        TextMalformed: no UTF-8 can be made of it.
    """
    try:
        quoted = quote(name, safe="")
    except UnicodeEncodeError as error:
        raise TextMalformed("A name holds half a surrogate pair, which is no Unicode.") from error
    # httpx resolves `.` and `..` as in a file system.
    return quoted.replace(".", "%2E") if quoted in (".", "..") else quoted


def as_model(model: type[Model]) -> Callable[[Received], Model]:
    """Reads a successful answer as a model, and any other as an ApiError."""

    def read(received: Received) -> Model:
        if not received.is_success:
            raise refusal(received)
        try:
            return model.model_validate_json(received.content)
        except ValidationError as error:
            raise unexpected(received, f"an answer of another shape: {error.errors()[0]['msg']}") from error

    return read


def as_bytes(received: Received) -> bytes:
    """The content of a successful answer.

    Raises:
        ApiError
    """
    if not received.is_success:
        raise refusal(received)
    return received.content


def refusal(received: Received) -> ApiError:
    """Reads problem+json; anything else on the way (a proxy's own page) keeps its status and gets a code of ours."""
    try:
        return problem_error(json.loads(received.content), received.status, received.headers)
    except (ValueError, KeyError, TypeError, RecursionError):
        return unexpected(received, f"HTTP {received.status} without a problem document")


def problem_error(problem: Any, status: int, headers: Mapping[str, str]) -> ApiError:
    """A problem document as an error.

    Raises:
        KeyError, TypeError: it is none.
    """
    details = problem.get("details") if isinstance(problem, dict) else None
    return ApiError(
        status,
        str(problem["code"]),
        str(problem["detail"]),
        str(problem.get("request_id", "")),
        details if isinstance(details, dict) else None,
        retry_after_s=seconds_asked_for(headers),
    )


def unexpected(received: Received, what: str) -> ApiError:
    """An answer that no gateway gives."""
    return ApiError(
        received.status,
        UNEXPECTED_ANSWER,
        f"{what[0].upper()}{what[1:]}, from {received.url}.",
        received.headers.get("x-request-id", ""),
        retry_after_s=seconds_asked_for(received.headers),
    )
