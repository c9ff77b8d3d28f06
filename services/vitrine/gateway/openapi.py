"""The OpenAPI document: what routes cannot say by their signatures alone."""

from collections.abc import Iterable
from functools import cache
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from vitrine import errors
from vitrine.errors import VitrineError
from vitrine.gateway.bodies import MULTIPART
from vitrine.gateway.errors import (
    ANSWERS,
    PROBLEM_TYPE,
    BodyTimedOut,
    BodyTooLarge,
    ClientGone,
    ContentTypeUnsupported,
    FormMalformed,
    JsonMalformed,
)
from vitrine.gateway.schemas.problems import Problem
from vitrine.gateway.schemas.search import ImageForm, SearchBody
from vitrine.settings import GatewaySettings

ErrorKinds = tuple[type[VitrineError], ...]

STORE_ERRORS: Final[ErrorKinds] = (
    errors.InvalidInput,
    errors.LimitExceeded,
    errors.VectorStoreUnavailable,
    errors.Overloaded,
    errors.DeadlineExceeded,
    errors.InternalError,
)
COLLECTION_ERRORS: Final[ErrorKinds] = (*STORE_ERRORS, errors.CollectionNotFound, errors.CollectionNotReady)
ITEM_ERRORS: Final[ErrorKinds] = (*COLLECTION_ERRORS, errors.ItemNotFound)
READ_ERRORS: Final[ErrorKinds] = (
    *ITEM_ERRORS,
    errors.QueryEmpty,
    errors.QueryTooLarge,
    errors.TextMalformed,
    errors.QueryCancelsOut,
    errors.EncoderUnavailable,
    errors.ContractMismatch,
)
_BODY_ERRORS: Final[ErrorKinds] = (
    BodyTooLarge,
    BodyTimedOut,
    ClientGone,
    ContentTypeUnsupported,
    errors.FilterInvalid,
    errors.ImageTooLarge,
    errors.ImageTooManyPixels,
    errors.ImageFormatUnsupported,
    errors.ImageCorrupt,
)
JSON_ERRORS: Final[ErrorKinds] = (*READ_ERRORS, *_BODY_ERRORS, JsonMalformed)
UPLOAD_ERRORS: Final[ErrorKinds] = (*READ_ERRORS, *_BODY_ERRORS, FormMalformed)

_BODIES: Final[tuple[type[BaseModel], ...]] = (SearchBody, ImageForm, Problem)


def problems(kinds: Iterable[type[VitrineError]]) -> dict[int | str, dict[str, Any]]:
    """A route's `responses`: the codes it can answer with, by status."""
    codes: dict[int, list[str]] = {}
    for kind in kinds:
        codes.setdefault(ANSWERS[kind].status, []).append(kind.code)
    return {
        status: {
            "description": "Problem with code " + ", ".join(f"`{code}`" for code in codes[status]) + ".",
            "content": {PROBLEM_TYPE: {"schema": _reference(Problem)}},
        }
        for status in sorted(codes)
    }


def json_body(model: type[BaseModel]) -> dict[str, Any]:
    """A route's `openapi_extra`: it reads a model from JSON, by itself."""
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": _reference(model)}}}}


def form_body(model: type[BaseModel], file_field: str) -> dict[str, Any]:
    """A route's `openapi_extra`: it reads a file and the members of a model from a multipart form."""
    schema = model.model_json_schema()
    picture = {"type": "string", "contentMediaType": "application/octet-stream"}
    form = {**schema, "properties": {file_field: picture, **schema["properties"]}, "required": [file_field]}
    return {"requestBody": {"required": True, "content": {MULTIPART: {"schema": form}}}}


def describe(app: FastAPI, settings: GatewaySettings) -> None:
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
            schemas.setdefault(name, schema)
        _set_maxima(described, {"limit": settings.max_limit, "timeout_ms": settings.max_timeout_ms})
        return described

    app.openapi = document  # type: ignore[method-assign]  # FastAPI's own documented way


def _reference(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{model.__name__}"}


def _set_maxima(node: Any, maxima: dict[str, int]) -> None:
    """Writes the configured limits beside the lower bounds of the members and parameters of these names."""
    if isinstance(node, list):
        for child in node:
            _set_maxima(child, maxima)
    elif isinstance(node, dict):
        named = {**node.get("properties", {})} if isinstance(node.get("properties"), dict) else {}
        if isinstance(node.get("schema"), dict) and isinstance(node.get("name"), str):
            named[node["name"].removeprefix("X-").replace("-", "_").lower()] = node["schema"]
        for name, schema in named.items():
            for variant in (schema, *schema.get("anyOf", ())):
                if name in maxima and variant.get("type") == "integer":
                    variant["maximum"] = maxima[name]
        for child in node.values():
            _set_maxima(child, maxima)
