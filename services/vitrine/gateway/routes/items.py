"""Products by their id."""

from typing import Annotated

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from vitrine.errors import ItemNotFound
from vitrine.gateway.dependencies import Alias, TimeoutHeader, services_of
from vitrine.gateway.openapi import ITEM_ERRORS, problems
from vitrine.gateway.requests import deadline_for
from vitrine.gateway.schemas.common import ItemId
from vitrine.gateway.schemas.items import ItemAnswer
from vitrine.gateway.shapes import item_answer, json_response

router = APIRouter(tags=["items"])


# `:path`, because a shop's key may hold a slash.
@router.get("/v1/collections/{alias}/items/{item_id:path}", response_model=ItemAnswer, responses=problems(ITEM_ERRORS))
async def item(
    alias: Alias, item_id: Annotated[ItemId, Path()], request: Request, timeout_ms: TimeoutHeader = None
) -> Response:
    """One product of a collection."""
    services = services_of(request)
    deadline = deadline_for(timeout_ms, services.settings.gateway)
    collection = await services.searcher.directory.resolve(alias, deadline)
    found = await services.searcher.vectors.items_of(collection.name, [item_id], deadline, fields=collection.fields)
    if item_id not in found:
        raise ItemNotFound(f"Collection {collection.name} has no item {item_id!r}.", id=item_id)
    return json_response(item_answer(found[item_id], services.media_base_url))
