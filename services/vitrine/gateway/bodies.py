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

from vitrine.errors import FilterInvalid, InvalidInput, TextMalformed, VitrineError
from vitrine.gateway.context import RequestContext
from vitrine.gateway.errors import ContentTypeUnsupported, FormMalformed, JsonMalformed

MULTIPART: Final = "multipart/form-data"
_JSON: Final = "application/json"
_MAX_FORM_FIELDS: Final = 16
_MAX_FIELD_BYTES: Final = 64 * 1024
_MOST_ERRORS_TOLD: Final = 20

Model = TypeVar("Model", bound=BaseModel)


async def read_json(request: Request, model: type[Model]) -> Model:
    """The body as a model.

    Raises:
        ContentTypeUnsupported, JsonMalformed, TextMalformed, InvalidInput: it is no JSON, or not of that shape.
        BodyTooLarge, BodyTimedOut, ClientGone: see `admission.BodyLimit`.
    """
    kind, _ = _content_type(request)
    if kind != _JSON and not (kind.startswith("application/") and kind.endswith("+json")):
        raise ContentTypeUnsupported(f"This route reads {_JSON}, not {kind or 'a body without a type'}.", given=kind)
    body = await request.body()
    RequestContext.of(request.scope).clock.restart()
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise _json_error(error, body) from error


async def read_form(request: Request, model: type[Model], file_field: str) -> tuple[Model, bytes]:
    """A multipart form of one file and the members of a model.

    Raises:
        ContentTypeUnsupported, FormMalformed, InvalidInput: it is no such form.
        BodyTooLarge, BodyTimedOut, ClientGone: see `admission.BodyLimit`.
    """
    kind, _ = _content_type(request)
    if kind != MULTIPART:
        raise ContentTypeUnsupported(
            f"This route reads {MULTIPART}, not {kind or 'a body without a type'}.", given=kind
        )
    parser = MultiPartParser(
        request.headers,
        request.stream(),
        max_files=1,
        max_fields=_MAX_FORM_FIELDS,
        max_part_size=_MAX_FIELD_BYTES,
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
        if not isinstance(upload, UploadFile):
            raise InvalidInput(f"The form needs a file in its field `{file_field}`.", field=file_field)
        fields = {name: value for name, value in form.multi_items() if name != file_field}
        return _validated(model, fields), await upload.read()
    finally:
        await form.close()


def invalid_input(errors: Sequence[Mapping[str, Any]]) -> VitrineError:
    """Pydantic's findings as one of our errors; what the caller sent is not echoed."""
    told = [
        {"path": ".".join(str(step) for step in error["loc"]), "message": error["msg"], "type": error["type"]}
        for error in errors[:_MOST_ERRORS_TOLD]
    ]
    first = told[0]
    where = f"{first['path']}: " if first["path"] else ""
    return InvalidInput(f"{where}{first['message']}.", errors=told)


def parse_filter_text(text: str) -> object:
    """A filter that came as text.

    Raises:
        FilterInvalid: it is no JSON.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FilterInvalid("The filter is not JSON.") from error


def _validated(model: type[Model], fields: Mapping[str, object]) -> Model:
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        raise invalid_input(error.errors(include_url=False, include_input=False, include_context=False)) from error


def _content_type(request: Request) -> tuple[str, Mapping[bytes, bytes]]:
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    return kind.decode("latin-1").lower(), options


def _json_error(error: ValidationError, body: bytes) -> VitrineError:
    findings = error.errors(include_url=False, include_input=False, include_context=False)
    if findings[0]["type"] != "json_invalid":
        return invalid_input(findings)
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
