"""Products by their id: read, stored, deleted; one of them or many."""

from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from vitrine import errors
from vitrine.domain import Deadline
from vitrine.errors import ItemNotFound, VitrineError
from vitrine.gateway.auth.principal import Scope
from vitrine.gateway.bodies import read_json
from vitrine.gateway.context import RequestContext
from vitrine.gateway.dependencies import Alias, TimeoutHeader, caller_of, services_of
from vitrine.gateway.errors import FormMalformed, JsonMalformed
from vitrine.gateway.items.answers import address_of, bulk_answer, bulk_delete_answer, stored_answer
from vitrine.gateway.items.errors import WriteUnconfirmed
from vitrine.gateway.items.sent import IMAGE_FIELD, check_count, from_entries, id_of, read_item
from vitrine.gateway.openapi import (
    BODY_ERRORS,
    COLLECTION_ERRORS,
    IMAGE_ERRORS,
    ITEM_ERRORS,
    cacheable,
    form_body,
    json_body,
    problems,
)
from vitrine.gateway.requests import deadline_for
from vitrine.gateway.schemas.common import ItemId
from vitrine.gateway.schemas.items import (
    BulkAnswer,
    BulkBody,
    BulkDeleteAnswer,
    BulkDeleteBody,
    ItemAnswer,
    ItemBody,
    ItemForm,
    ItemWritten,
    WrittenId,
)
from vitrine.gateway.shapes import cacheable_response, item_answer, json_response
from vitrine.settings import Settings

router = APIRouter(tags=["items"])

ITEMS: Final = "/v1/collections/{alias}/items"
# `:path`, because a shop's key may hold a slash.
ITEM: Final = f"{ITEMS}/{{item_id:path}}"

_WRITE_ERRORS: Final = (*COLLECTION_ERRORS, WriteUnconfirmed)
_JSON_ERRORS: Final = (*_WRITE_ERRORS, *BODY_ERRORS, JsonMalformed, errors.TextMalformed)
_BULK_ERRORS: Final = (*_JSON_ERRORS, errors.EncoderUnavailable, errors.ContractMismatch)
_PUT_ERRORS: Final = (*_BULK_ERRORS, *IMAGE_ERRORS, errors.ImageMissing, errors.ImageUnreadable, FormMalformed)


def _put_body() -> dict[str, Any]:
    """JSON or a form, told apart by their content type."""
    kinds = (json_body(ItemBody), form_body(ItemForm, IMAGE_FIELD))
    content = {kind: schema for body in kinds for kind, schema in body["requestBody"]["content"].items()}
    return {"requestBody": {"required": True, "content": content}}


@router.get(ITEM, response_model=ItemAnswer, responses=cacheable() | problems(ITEM_ERRORS))
async def get_item(
    alias: Alias, item_id: Annotated[ItemId, Path()], request: Request, timeout_ms: TimeoutHeader = None
) -> Response:
    """One product of a collection."""
    caller_of(request).require(Scope.SEARCH, alias)
    services = services_of(request)
    deadline = deadline_for(timeout_ms, services.settings.gateway)
    collection = await services.searcher.directory.resolve(alias, deadline)
    found = await services.searcher.vectors.items_of(collection.name, [item_id], deadline, fields=collection.fields)
    if item_id not in found:
        raise _not_found(collection.name, item_id)
    told = item_answer(found[item_id], services.media_base_url)
    return cacheable_response(request, told, max_age_s=services.settings.cache.answer_max_age_s)


@router.put(
    ITEM,
    response_model=ItemWritten,
    responses={
        HTTPStatus.OK: {"description": "An item was replaced."},
        HTTPStatus.CREATED: {"description": "There was no item of this id.", "model": ItemWritten},
        **problems(_PUT_ERRORS),
    },
    openapi_extra=_put_body(),
)
async def put_item(
    alias: Alias, item_id: Annotated[WrittenId, Path()], request: Request, timeout_ms: TimeoutHeader = None
) -> Response:
    """Stores a product in place of what its id had before; answered once Milvus has acknowledged it."""
    caller_of(request).require(Scope.WRITE, alias)
    services, context = services_of(request), RequestContext.of(request.scope)
    sent = await read_item(request, item_id)
    written = await services.items.write(alias, [sent], _deadline(timeout_ms, services.settings), context.clock)
    (outcome,) = written.outcomes
    if isinstance(outcome, VitrineError):
        raise outcome
    context.facts.update(collection=written.collection.name, created=outcome.created)
    return json_response(
        stored_answer(outcome, written.collection.name, context, services.media_base_url),
        HTTPStatus.CREATED if outcome.created else HTTPStatus.OK,
        {"Location": address_of(alias, item_id)} if outcome.created else None,
    )


@router.delete(
    ITEM,
    status_code=HTTPStatus.NO_CONTENT,
    response_class=Response,
    responses={
        HTTPStatus.NO_CONTENT: {"description": "It was there and is deleted."},
        **problems((*_WRITE_ERRORS, ItemNotFound)),
    },
)
async def delete_item(
    alias: Alias, item_id: Annotated[ItemId, Path()], request: Request, timeout_ms: TimeoutHeader = None
) -> Response:
    """Deletes a product. Repeating is safe: what is gone already is answered 404."""
    caller_of(request).require(Scope.WRITE, alias)
    services, context = services_of(request), RequestContext.of(request.scope)
    deleted = await services.items.delete(alias, [item_id], _deadline(timeout_ms, services.settings), context.clock)
    if item_id not in deleted.ids:
        raise _not_found(deleted.collection.name, item_id)
    context.facts.update(collection=deleted.collection.name)
    return Response(status_code=HTTPStatus.NO_CONTENT)


@router.post(
    ITEMS,
    response_model=BulkAnswer,
    responses={
        HTTPStatus.OK: {"description": "What became of each; an id that comes again is refused as `item_duplicate`."},
        **problems(_BULK_ERRORS),
    },
    openapi_extra=json_body(BulkBody),
)
async def put_items(alias: Alias, request: Request, timeout_ms: TimeoutHeader = None) -> Response:
    """Stores many products in one go; those that cannot be stored are told one by one, the others are stored."""
    caller_of(request).require(Scope.WRITE, alias)
    services, context = services_of(request), RequestContext.of(request.scope)
    body = await read_json(request, BulkBody)
    check_count("items", len(body.items), services.settings)
    context.charge(len(body.items) - 1)
    entries = from_entries(body.items, services.settings)
    written = await services.items.write(alias, entries, _deadline(timeout_ms, services.settings), context.clock)
    return json_response(bulk_answer(written, map(id_of, body.items), context))


@router.post(
    f"{ITEMS}:delete",
    response_model=BulkDeleteAnswer,
    responses=problems(_JSON_ERRORS),
    openapi_extra=json_body(BulkDeleteBody),
)
async def delete_items(alias: Alias, request: Request, timeout_ms: TimeoutHeader = None) -> Response:
    """Deletes many products in one go, and tells which of them were there."""
    caller_of(request).require(Scope.WRITE, alias)
    services, context = services_of(request), RequestContext.of(request.scope)
    body = await read_json(request, BulkDeleteBody)
    check_count("ids", len(body.ids), services.settings)
    context.charge(len(body.ids) - 1)
    deleted = await services.items.delete(alias, body.ids, _deadline(timeout_ms, services.settings), context.clock)
    return json_response(bulk_delete_answer(deleted, body.ids, context))


def _deadline(timeout_ms: int | None, settings: Settings) -> Deadline:
    """Of a write that names none: the longest there is. Nobody waits at a page, and half of it helps nobody."""
    return deadline_for(timeout_ms or settings.gateway.max_timeout_ms, settings.gateway)


def _not_found(collection: str, item_id: str) -> ItemNotFound:
    return ItemNotFound(f"Collection {collection} has no item {item_id!r}.", id=item_id)
