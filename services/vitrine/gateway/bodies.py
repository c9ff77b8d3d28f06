"""Request bodies: read whole (the edge has bounded them), checked for their type, parsed once, straight into models."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError
from python_multipart.multipart import parse_options_header
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from vitrine.errors import InvalidInput, TextMalformed, VitrineError
from vitrine.gateway.bounds import Bounds, bounds_of, member_of
from vitrine.gateway.context import RequestContext
from vitrine.gateway.dependencies import services_of
from vitrine.gateway.errors import BODY_CUT_OFF, ClientGone, ContentTypeUnsupported, FormMalformed, JsonMalformed
from vitrine.gateway.schemas.search import PART_KINDS

MULTIPART: Final = "multipart/form-data"
_JSON: Final = "application/json"
MAX_FORM_FIELDS: Final = 16
MAX_FIELD_BYTES: Final = 256 * 1024
"""Sixteen parts with texts of 8 KiB, and some."""
_MOST_ERRORS_TOLD: Final = 20
_LONGEST_PATH_TOLD: Final = 200

Model = TypeVar("Model", bound=BaseModel)


async def read_json(request: Request, model: type[Model]) -> Model:
    """The body as a model.

    Raises:
        ContentTypeUnsupported, JsonMalformed, TextMalformed, InvalidInput: it is no JSON, or not of that shape.
        BodyTooLarge, BodyTimedOut, ClientGone: see `admission.BodyLimit`.
    """
    kind = _content_type(request)
    if kind != _JSON and not (kind.startswith("application/") and kind.endswith("+json")):
        raise ContentTypeUnsupported(f"This route reads {_JSON}, not {kind or 'a body without a type'}.", given=kind)
    body = await _whole(request)
    RequestContext.of(request.scope).clock.restart()
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise _json_error(error, body, _bounds(request)) from error


async def read_form(request: Request, model: type[Model], file_field: str) -> tuple[Model, bytes]:
    """A multipart form of one file and the members of a model.

    Raises:
        ContentTypeUnsupported, FormMalformed, InvalidInput: it is no such form.
        BodyTooLarge, BodyTimedOut, ClientGone: see `admission.BodyLimit`.
    """
    form, content = await read_fields(request, model, file_field)
    if content is None:
        raise InvalidInput(f"The form needs a file in its field `{file_field}`.", field=file_field)
    return form, content


async def read_fields(request: Request, model: type[Model], file_field: str) -> tuple[Model, bytes | None]:
    """A multipart form of the members of a model and perhaps a file.

    Raises: as `read_form`.
    """
    kind = _content_type(request)
    if kind != MULTIPART:
        raise ContentTypeUnsupported(
            f"This route reads {MULTIPART}, not {kind or 'a body without a type'}.", given=kind
        )
    parser = MultiPartParser(
        request.headers,
        request.stream(),
        max_files=1,
        max_fields=MAX_FORM_FIELDS,
        max_part_size=MAX_FIELD_BYTES,
    )
    # A picture stays in memory, which the body limit bounds: the process may run on a read-only file system.
    parser.spool_max_size = sys.maxsize
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise FormMalformed(f"The form cannot be read: {error.message}") from error
    RequestContext.of(request.scope).clock.restart()
    try:
        upload = form.get(file_field)
        if upload is not None and not isinstance(upload, UploadFile):
            raise InvalidInput(f"The form's field `{file_field}` must be a file.", field=file_field)
        fields = {name: value for name, value in form.multi_items() if name != file_field}
        read = _validated(model, fields, _bounds(request))
        return read, None if upload is None else await upload.read()
    finally:
        await form.close()


def invalid_input(errors: Sequence[Mapping[str, Any]], bounds: Mapping[str, Bounds]) -> VitrineError:
    """Pydantic's findings as one of our errors; what the caller sent is not echoed.

    Args:
        errors: findings.
        bounds: from `bounds_of`; told with the members they are of, whatever is wrong with those.
    """
    told = [_finding(error, bounds) for error in errors[:_MOST_ERRORS_TOLD]]
    first = told[0]
    where = f"{first['path']}: " if first["path"] else ""
    between = f" (from {first['minimum']:g} to {first['maximum']:g})" if "minimum" in first else ""
    limits = {key: first[key] for key in ("minimum", "maximum") if key in first}
    return InvalidInput(f"{where}{first['message']}{between}.", field=first["path"], **limits, errors=told)


def _finding(error: Mapping[str, Any], bounds: Mapping[str, Bounds]) -> dict[str, Any]:
    steps = [step for n, step in enumerate(error["loc"]) if not _is_tag(error["loc"], n)]
    told = {"path": ".".join(map(str, steps))[:_LONGEST_PATH_TOLD], "message": error["msg"], "type": error["type"]}
    return told | (found._asdict() if (found := bounds.get(member_of(steps))) else {})


def _is_tag(path: Sequence[object], n: int) -> bool:
    """Whether a step is not into what was sent, but which of its kinds a part was taken for."""
    return 0 < n < len(path) - 1 and isinstance(path[n - 1], int) and path[n] in PART_KINDS


def _bounds(request: Request) -> Mapping[str, Bounds]:
    return bounds_of(services_of(request).settings)


def _validated(model: type[Model], fields: Mapping[str, object], bounds: Mapping[str, Bounds]) -> Model:
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        raise invalid_input(findings_of(error), bounds) from error


def findings_of(error: ValidationError) -> Sequence[Mapping[str, Any]]:
    """What pydantic found, without what was sent."""
    return error.errors(include_url=False, include_input=False, include_context=False)


async def _whole(request: Request) -> bytes:
    """The body. Most come in one piece, for which the framework's own way is long."""
    pieces: list[bytes] = []
    more = True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientGone(BODY_CUT_OFF)
        pieces.append(message.get("body", b""))
        more = message.get("more_body", False)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _content_type(request: Request) -> str:
    given = request.headers.get("content-type", "")
    if given == _JSON:
        return given
    kind, _ = parse_options_header(given)
    return kind.decode("latin-1").lower()


def _json_error(error: ValidationError, body: bytes, bounds: Mapping[str, Bounds]) -> VitrineError:
    findings = findings_of(error)
    if findings[0]["type"] != "json_invalid":
        return invalid_input(findings, bounds)
    message = str(findings[0]["msg"])
    if ("escape" in message or "surrogate" in message) and _is_json(body):
        return TextMalformed("A text in the body holds half a surrogate pair, which is no Unicode.")
    return JsonMalformed(f"{message}.")


def _is_json(body: bytes) -> bool:
    """Whether the grammar of JSON holds; Python's own parser lets halves of surrogate pairs pass."""
    try:
        json.loads(body)
    except (ValueError, RecursionError):
        return False
    return True
