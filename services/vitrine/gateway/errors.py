"""The one table from errors to HTTP, and how an error is written: RFC 9457 problem+json with a stable `code`."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import orjson
from starlette.responses import Response

from vitrine import errors
from vitrine.errors import Unavailable, VitrineError
from vitrine.gateway.auth.errors import CrossSite, IssuerUnavailable, RateLimited, ScopeMissing, Unauthenticated
from vitrine.gateway.context import RequestContext
from vitrine.gateway.items.errors import ItemDuplicate, WriteUnconfirmed
from vitrine.telemetry.metrics import ShedReason

PROBLEM_TYPE: Final = "application/problem+json"
RETRY_AFTER_S: Final = 1
"""What `Retry-After` says: dependencies come back within seconds, and permits within milliseconds."""


class BodyTooLarge(VitrineError):
    """A request body over the limit, found in Content-Length or while it arrives."""

    code = "body_too_large"


class BodyTimedOut(VitrineError):
    """A request body that did not arrive in time."""

    code = "body_timed_out"


class ContentTypeUnsupported(VitrineError):
    """A request body of a type that the route does not read."""

    code = "content_type_unsupported"


class JsonMalformed(VitrineError):
    """A request body that is not JSON."""

    code = "json_malformed"


class FormMalformed(VitrineError):
    """A request body that is not the multipart form its header promises."""

    code = "form_malformed"


class RouteNotFound(VitrineError):
    """No route of that path."""

    code = "route_not_found"


class MethodNotAllowed(VitrineError):
    """The route exists, but not with that method."""

    code = "method_not_allowed"


class RequestRefused(VitrineError):
    """Any other refusal of the HTTP framework, by its own status."""

    code = "request_refused"


class NotReady(Unavailable):
    """A search would not work now; the report's checks say why."""

    code = "not_ready"


class Draining(Unavailable):
    """The process is about to end and wants no new requests."""

    code = "draining"


class ClientGone(VitrineError):
    """The caller closed the connection before there was an answer; nobody reads this one, but logs count it."""

    code = "client_gone"


BODY_CUT_OFF: Final = "The connection was closed before the request body was complete."


@dataclass(frozen=True, slots=True)
class Answer:
    """How one kind of error is answered.

    Args:
        status: the HTTP status.
        title: what is the same for every occurrence.
        retry: the same request may succeed soon, so `Retry-After` is sent.
        close: bytes of the request may still be on their way, so the connection is not used again.
        told: the error's own sentence and details are for callers; else they stay in the log, since they may name
            addresses and other matters of the house.
    """

    status: int
    title: str
    retry: bool = False
    close: bool = False
    told: bool = True


ANSWERS: Final[Mapping[type[VitrineError], Answer]] = {
    errors.InvalidInput: Answer(422, "The request cannot be served as it stands"),
    errors.QueryEmpty: Answer(422, "The text query is empty"),
    errors.QueryTooLarge: Answer(413, "The text query is too long"),
    errors.TextMalformed: Answer(422, "The text is malformed"),
    errors.QueryCancelsOut: Answer(422, "The parts of the query cancel out"),
    errors.ImageRejected: Answer(422, "The image cannot be used"),
    errors.ImageMissing: Answer(422, "The image is missing"),
    errors.ImageUnreadable: Answer(422, "The image cannot be read"),
    errors.ImageTooLarge: Answer(413, "The image has too many bytes"),
    errors.ImageTooManyPixels: Answer(413, "The image has too many pixels"),
    errors.ImageFormatUnsupported: Answer(415, "The image format is not supported"),
    errors.ImageUnrecognised: Answer(422, "The data is no image"),
    errors.ImageUrlRefused: Answer(422, "The image's address is refused"),
    errors.ImageUrlFailed: Answer(422, "The image's address gave no image"),
    errors.ImageCorrupt: Answer(422, "The image is damaged"),
    errors.CatalogueInvalid: Answer(422, "The catalogue cannot be used"),
    errors.RowRejected: Answer(422, "The row cannot be used"),
    errors.FilterInvalid: Answer(422, "The filter cannot be used"),
    errors.CursorInvalid: Answer(422, "The cursor cannot be used"),
    errors.CursorExpired: Answer(410, "The cursor has expired"),
    errors.LimitExceeded: Answer(422, "A limit is exceeded"),
    errors.NotFound: Answer(404, "Not found"),
    errors.CollectionNotFound: Answer(404, "No such collection"),
    errors.ItemNotFound: Answer(404, "No such item"),
    errors.ModelNotFound: Answer(404, "No such model"),
    errors.Unavailable: Answer(503, "Temporarily unavailable", retry=True, told=False),
    errors.EncoderUnavailable: Answer(503, "The encoder does not answer", retry=True, told=False),
    errors.VectorStoreUnavailable: Answer(503, "The vector store does not answer", retry=True, told=False),
    errors.CollectionNotReady: Answer(503, "The collection is not ready", retry=True),
    errors.Overloaded: Answer(503, "Overloaded", retry=True),
    errors.DeadlineExceeded: Answer(504, "Out of time"),
    errors.ContractMismatch: Answer(503, "Two models would be mixed", retry=True),
    errors.ModelInvalid: Answer(500, "The model repository cannot be used", told=False),
    errors.StackError: Answer(500, "The embedded stack failed", told=False),
    errors.SettingsInvalid: Answer(500, "The settings cannot be used", told=False),
    errors.InternalError: Answer(500, "Internal error", told=False),
    VitrineError: Answer(500, "Internal error", told=False),
    BodyTooLarge: Answer(413, "The request body is too large", close=True),
    BodyTimedOut: Answer(408, "The request body did not arrive in time", close=True),
    ContentTypeUnsupported: Answer(415, "The content type is not supported"),
    JsonMalformed: Answer(400, "The body is not JSON"),
    FormMalformed: Answer(400, "The body is not a form"),
    Unauthenticated: Answer(401, "Credentials are needed"),
    IssuerUnavailable: Answer(503, "Tokens cannot be checked now", retry=True, told=False),
    ScopeMissing: Answer(403, "Not allowed"),
    CrossSite: Answer(403, "Not allowed from another site"),
    RateLimited: Answer(429, "Too many requests"),
    ItemDuplicate: Answer(422, "Two entries have one id"),
    WriteUnconfirmed: Answer(503, "The write is not confirmed", retry=True),
    RouteNotFound: Answer(404, "No such path"),
    MethodNotAllowed: Answer(405, "The method is not allowed here"),
    RequestRefused: Answer(400, "The request is refused"),
    NotReady: Answer(503, "Not ready", retry=True),
    Draining: Answer(503, "Shutting down", retry=True, close=True),
    ClientGone: Answer(400, "The request is incomplete", close=True),
}

CODES: Final = frozenset(kind.code for kind in ANSWERS)
"""Every code an error answer can carry."""

# By kind, parents looked up: under overload refusals are most of what the gateway does, and each asks several times.
_KNOWN: Final[dict[type[VitrineError], Answer]] = {}


def statuses_of(kinds: Iterable[type[VitrineError]]) -> dict[int, list[str]]:
    """The codes of some errors by the status they are answered with: what a route's documentation lists."""
    found: dict[int, list[str]] = {}
    for kind in kinds:
        found.setdefault(ANSWERS[kind].status, []).append(kind.code)
    return found


def answer_of(error: VitrineError) -> Answer:
    """The table's line for an error, or for the nearest of its parents."""
    kind = type(error)
    if (known := _KNOWN.get(kind)) is None:
        known = _KNOWN[kind] = next(ANSWERS[parent] for parent in kind.__mro__ if parent in ANSWERS)
    return known


def shed_reason(error: VitrineError) -> ShedReason | None:
    """What there was too little of; None: the error is no matter of load."""
    if isinstance(error, RateLimited):
        return ShedReason.RATE_LIMIT
    if isinstance(error, errors.Overloaded):
        by_triton = error.details.get("reason") == ShedReason.TRITON_QUEUE
        return ShedReason.TRITON_QUEUE if by_triton else ShedReason.IN_FLIGHT
    return None


def detail_of(error: VitrineError) -> str:
    """What a caller is told of an error: its own sentence, or that the log has one."""
    answer = answer_of(error)
    return error.message if answer.told else f"{answer.title}. The log says more under this request's id."


def problem_of(
    error: VitrineError, context: RequestContext, extension: Mapping[str, object] | None = None
) -> dict[str, object]:
    """The problem+json document of an error.

    Args:
        extension: further members of the document.
    """
    answer = answer_of(error)
    document: dict[str, object] = {
        "type": f"urn:vitrine:problem:{error.code}",
        "title": answer.title,
        "status": answer.status,
        "detail": detail_of(error),
        "code": error.code,
        "request_id": context.request_id,
    }
    if context.trace_id is not None:
        document["trace_id"] = context.trace_id
    if error.details and answer.told:
        document["details"] = error.details
    document.update(extension or {})
    return document


def problem_response(
    error: VitrineError,
    context: RequestContext,
    extension: Mapping[str, object] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The HTTP answer to an error."""
    answer = answer_of(error)
    sent = {"Cache-Control": "no-store", **(headers or {})}
    if answer.retry:
        sent["Retry-After"] = str(RETRY_AFTER_S)
    if isinstance(error, RateLimited):
        sent["Retry-After"] = str(error.retry_after_s)
    if isinstance(error, Unauthenticated):
        sent["WWW-Authenticate"] = "Bearer"
    if answer.close:
        sent["Connection"] = "close"
    body = orjson.dumps(problem_of(error, context, extension), default=str)
    return Response(body, answer.status, sent, PROBLEM_TYPE)
