"""How what became of items is told."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from vitrine.domain import Hit
from vitrine.errors import VitrineError
from vitrine.gateway.context import RequestContext
from vitrine.gateway.errors import problem_of
from vitrine.gateway.items.writing import Deleted, Stored, Written
from vitrine.gateway.shapes import item_answer, took_ms


def address_of(alias: str, item_id: str) -> str:
    """The path that an item is asked for at."""
    return f"/v1/collections/{alias}/items/{quote(item_id, safe='/')}"


def stored_answer(
    stored: Stored, collection: str, context: RequestContext, media_base_url: str | None
) -> dict[str, Any]:
    """One item as it is stored now."""
    item = stored.item
    hit = Hit(item.id, 1.0, item.title, item.group, item.image_path, item.fields)
    return {
        **item_answer(hit, media_base_url),
        "created": stored.created,
        "collection": collection,
        "request_id": context.request_id,
    }


def bulk_answer(written: Written, ids: Iterable[str | None], context: RequestContext) -> dict[str, Any]:
    """What became of the entries of a bulk request."""
    outcomes = [
        _refused(item_id, outcome, context)
        if isinstance(outcome, VitrineError)
        else _done(item_id, HTTPStatus.CREATED if outcome.created else HTTPStatus.OK)
        for item_id, outcome in zip(ids, written.outcomes, strict=True)
    ]
    return _tallied("written", written.collection.name, outcomes, context)


def bulk_delete_answer(deleted: Deleted, ids: Iterable[str], context: RequestContext) -> dict[str, Any]:
    """What became of the ids of a bulk deletion."""
    outcomes = [
        _done(item_id, HTTPStatus.NO_CONTENT) if refusal is None else _refused(item_id, refusal, context)
        for item_id, refusal in ((item_id, deleted.refusal_of(item_id)) for item_id in ids)
    ]
    return _tallied("deleted", deleted.collection.name, outcomes, context)


def _done(item_id: str | None, status: int) -> dict[str, Any]:
    return {"id": item_id, "status": int(status)}


def _refused(item_id: str | None, error: VitrineError, context: RequestContext) -> dict[str, Any]:
    return {"id": item_id, **problem_of(error, context)}


def _tallied(done: str, collection: str, outcomes: list[dict[str, Any]], context: RequestContext) -> dict[str, Any]:
    rejected = sum(outcome["status"] >= HTTPStatus.BAD_REQUEST for outcome in outcomes)
    counts = {"read": len(outcomes), done: len(outcomes) - rejected, "rejected": rejected}
    context.facts.update(collection=collection, **counts)
    return {
        "collection": collection,
        **counts,
        "results": outcomes,
        "took_ms": took_ms(context.clock),
        "request_id": context.request_id,
    }
