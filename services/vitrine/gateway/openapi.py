"""The OpenAPI document: what routes cannot say by their signatures alone."""

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from vitrine import errors
from vitrine.errors import VitrineError
from vitrine.gateway.bodies import MULTIPART
from vitrine.gateway.bounds import bounds_of, member_of
from vitrine.gateway.errors import (
    ANSWERS,
    PROBLEM_TYPE,
    BodyTimedOut,
    BodyTooLarge,
    ClientGone,
    ContentTypeUnsupported,
    FormMalformed,
    JsonMalformed,
    RouteNotFound,
)
from vitrine.gateway.schemas.filters import FILTER, FILTER_SCHEMA
from vitrine.gateway.schemas.items import BulkBody, BulkDeleteBody, BulkItem, ItemBody
from vitrine.gateway.schemas.multi_search import MultiSearchBody, SearchItem
from vitrine.gateway.schemas.problems import Problem
from vitrine.gateway.schemas.search import SearchBody
from vitrine.settings import Settings

ErrorKinds = tuple[type[VitrineError], ...]

_EVERYWHERE: Final[ErrorKinds] = (BodyTooLarge, errors.Overloaded, errors.InternalError)
"""What the edge answers before a route is asked, or after it failed."""
STORE_ERRORS: Final[ErrorKinds] = (
    errors.InvalidInput,
    errors.LimitExceeded,
    errors.VectorStoreUnavailable,
    errors.Overloaded,
    errors.DeadlineExceeded,
    errors.InternalError,
)
COLLECTION_ERRORS: Final[ErrorKinds] = (
    *STORE_ERRORS,
    errors.CollectionNotFound,
    errors.CollectionNotReady,
    # An alias with a slash in it is another path.
    RouteNotFound,
)
ITEM_ERRORS: Final[ErrorKinds] = (*COLLECTION_ERRORS, errors.ItemNotFound)
READ_ERRORS: Final[ErrorKinds] = (
    *ITEM_ERRORS,
    errors.QueryEmpty,
    errors.QueryTooLarge,
    errors.TextMalformed,
    errors.QueryCancelsOut,
    errors.FilterInvalid,
    errors.CursorInvalid,
    errors.CursorExpired,
    errors.EncoderUnavailable,
    errors.ContractMismatch,
)
BODY_ERRORS: Final[ErrorKinds] = (BodyTooLarge, BodyTimedOut, ClientGone, ContentTypeUnsupported)
IMAGE_ERRORS: Final[ErrorKinds] = (
    errors.ImageTooLarge,
    errors.ImageTooManyPixels,
    errors.ImageFormatUnsupported,
    errors.ImageUnrecognised,
    errors.ImageCorrupt,
    errors.ImageUrlRefused,
    errors.ImageUrlFailed,
)
JSON_ERRORS: Final[ErrorKinds] = (*READ_ERRORS, *BODY_ERRORS, *IMAGE_ERRORS, errors.TextMalformed, JsonMalformed)
UPLOAD_ERRORS: Final[ErrorKinds] = (*READ_ERRORS, *BODY_ERRORS, *IMAGE_ERRORS, FormMalformed)
MULTI_ERRORS: Final[ErrorKinds] = (
    *BODY_ERRORS,
    JsonMalformed,
    errors.InvalidInput,
    errors.LimitExceeded,
    errors.TextMalformed,
    errors.Overloaded,
    errors.DeadlineExceeded,
    errors.InternalError,
)

_BODIES: Final[tuple[type[BaseModel], ...]] = (
    SearchBody,
    SearchItem,
    MultiSearchBody,
    ItemBody,
    BulkItem,
    BulkBody,
    BulkDeleteBody,
    Problem,
)
_IDENTITY: Final = {
    "X-Request-ID": {
        "description": "The caller's own, or a new one; the log has it too.",
        "required": True,
        "schema": {"type": "string", "minLength": 1, "maxLength": 128},
    },
    "X-Trace-Id": {
        "description": "The request's trace, the caller's own when it sent a `traceparent`; only with tracing on.",
        "required": False,
        "schema": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
    },
}
_RETRY_AFTER: Final = {
    "Retry-After": {
        "description": "Seconds after which the same request may succeed.",
        "required": True,
        "schema": {"type": "integer", "minimum": 1},
    }
}
_CACHING: Final = {
    "ETag": {
        "description": "Of what the answer says; send it as `If-None-Match`.",
        "required": True,
        "schema": {"type": "string", "pattern": '^W/"[0-9a-f]+"$'},
    },
    "Cache-Control": {"required": True, "schema": {"type": "string"}},
    "Vary": {"required": True, "schema": {"type": "string"}},
}
_MAXIMUM_OF: Final = {"integer": "maximum", "array": "maxItems"}
_ALWAYS_RETRY: Final = frozenset({429, 503})


def problems(kinds: Iterable[type[VitrineError]]) -> dict[int | str, dict[str, Any]]:
    """A route's `responses`: the codes it can answer with, by status. What the edge answers everywhere is added."""
    codes: dict[int, list[str]] = {}
    for kind in dict.fromkeys((*kinds, *_EVERYWHERE)):
        codes.setdefault(ANSWERS[kind].status, []).append(kind.code)
    return {status: _problem(status, codes[status]) for status in sorted(codes)}


def cacheable() -> dict[int | str, dict[str, Any]]:
    """A route's `responses`: it answers by `shapes.cacheable_response`."""
    return {
        200: {"description": "The answer.", "headers": _CACHING},
        304: {"description": "The caller has the answer already.", "headers": _CACHING},
    }


def json_body(model: type[BaseModel]) -> dict[str, Any]:
    """A route's `openapi_extra`: it reads a model from JSON, by itself."""
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": _reference(model)}}}}


def form_body(model: type[BaseModel], file_field: str) -> dict[str, Any]:
    """A route's `openapi_extra`: it reads a file and the members of a model from a multipart form."""
    schema = _without_null(model.model_json_schema())
    picture = {"type": "string", "contentMediaType": "application/octet-stream", "description": "A picture."}
    form = {**schema, "properties": {file_field: picture, **schema["properties"]}, "required": [file_field]}
    return {"requestBody": {"required": True, "content": {MULTIPART: {"schema": form}}}}


def operation_id(route: APIRoute) -> str:
    """The name of a route's function: what generated clients call their methods."""
    return route.name


def describe(app: FastAPI, settings: Settings) -> None:
    """Makes `app.openapi` give the whole document, with the limits of these settings in it."""

    @cache
    def document() -> dict[str, Any]:
        described = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=app.routes,
        )
        _, definitions = models_json_schema(
            [(model, "validation") for model in _BODIES], ref_template="#/components/schemas/{model}"
        )
        schemas = described.setdefault("components", {}).setdefault("schemas", {})
        for name, schema in definitions["$defs"].items():
            # What is any JSON at all is named by what it should be.
            if schema:
                schemas.setdefault(name, schema)
        schemas[FILTER] = FILTER_SCHEMA
        for operations in described["paths"].values():
            for operation in operations.values():
                _complete(operation)
        _set_maxima(described, _maxima(settings))
        return described

    app.openapi = document  # type: ignore[method-assign]  # FastAPI's own documented way


def _problem(status: int, codes: list[str]) -> dict[str, Any]:
    coded = {"properties": {"status": {"const": status}, "code": {"enum": codes}}}
    return {
        "description": "Problem with code " + ", ".join(f"`{code}`" for code in codes) + ".",
        "headers": _IDENTITY | (_RETRY_AFTER if status in _ALWAYS_RETRY else {}),
        "content": {PROBLEM_TYPE: {"schema": {"allOf": [_reference(Problem), coded]}}},
    }


def _complete(operation: dict[str, Any]) -> None:
    for parameter in operation.get("parameters", ()):
        # Nothing in an address or a header is null: it is there, or it is not.
        parameter["schema"] = _without_null(parameter["schema"])
    for response in operation["responses"].values():
        response["headers"] = _IDENTITY | response.get("headers", {})


def _reference(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{model.__name__}"}


def _without_null(node: Any) -> Any:
    """A schema whose alternatives to null are all there is, in itself and in its members."""
    if not isinstance(node, dict):
        return node
    schema = {key: value for key, value in node.items() if not (key == "default" and value is None)}
    if "properties" in schema:
        schema["properties"] = {name: _without_null(member) for name, member in schema["properties"].items()}
    if "anyOf" in schema:
        rest = [variant for variant in schema.pop("anyOf") if variant.get("type") != "null"]
        schema = {**rest[0], **schema} if len(rest) == 1 else {**schema, "anyOf": rest}
    return schema


def _maxima(settings: Settings) -> Mapping[str, float]:
    """What settings bound, by the names of the members: numbers, and the length of lists."""
    return {
        **{name: bounds.maximum for name, bounds in bounds_of(settings).items()},
        "facets": settings.search.max_facets,
        "searches": settings.search.max_searches,
        "items": settings.items.max_bulk,
        "ids": settings.items.max_bulk,
    }


def _set_maxima(node: Any, maxima: Mapping[str, float]) -> None:
    """Writes the limits that settings decide into the schemas of the members and parameters of these names."""
    for name, schema in _named_schemas(node):
        for variant in (schema, *schema.get("anyOf", ()), *schema.get("oneOf", ())):
            keyword = _MAXIMUM_OF.get(variant.get("type", ""))
            if name in maxima and keyword is not None:
                variant.setdefault(keyword, maxima[name])
            elif name in maxima and "pattern" in variant:
                # A list as text: one, and up to so many less one behind a comma each.
                variant["pattern"] = variant["pattern"].replace(")*$", f"){{0,{maxima[name] - 1:g}}}$")


def _named_schemas(node: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every member and parameter below a node of the document."""
    if isinstance(node, list):
        for child in node:
            yield from _named_schemas(child)
    elif isinstance(node, dict):
        if isinstance(node.get("properties"), dict):
            yield from ((name, schema) for name, schema in node["properties"].items() if isinstance(schema, dict))
        if isinstance(node.get("schema"), dict) and isinstance(node.get("name"), str):
            yield member_of([node["name"]]), node["schema"]
        for child in node.values():
            yield from _named_schemas(child)
