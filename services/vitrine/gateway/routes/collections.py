"""What collections there are, with which index and which model."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from vitrine.gateway.dependencies import Alias, TimeoutHeader, services_of
from vitrine.gateway.openapi import COLLECTION_ERRORS, STORE_ERRORS, problems
from vitrine.gateway.requests import deadline_for
from vitrine.gateway.schemas.collections import CollectionAnswer, CollectionsAnswer
from vitrine.gateway.shapes import collection_answer, json_response

router = APIRouter(tags=["collections"])


@router.get("/v1/collections", response_model=CollectionsAnswer, responses=problems(STORE_ERRORS))
async def collections(request: Request, timeout_ms: TimeoutHeader = None) -> Response:
    """All finished collections by name; half-made ones cannot be searched and are left out."""
    services = services_of(request)
    infos = await services.admin.list(deadline_for(timeout_ms, services.settings.gateway))
    return json_response({"collections": [collection_answer(info) for info in infos if info.complete]})


@router.get("/v1/collections/{alias}", response_model=CollectionAnswer, responses=problems(COLLECTION_ERRORS))
async def collection(alias: Alias, request: Request, timeout_ms: TimeoutHeader = None) -> Response:
    """The collection of a name, or behind an alias."""
    services = services_of(request)
    deadline = deadline_for(timeout_ms, services.settings.gateway)
    return json_response(collection_answer(await services.admin.describe(alias, deadline)))
