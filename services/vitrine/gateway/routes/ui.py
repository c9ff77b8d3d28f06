"""What the web page needs to know before its first search."""

from contextlib import suppress
from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from vitrine.domain import Deadline
from vitrine.errors import DeadlineExceeded, NotFound, Unavailable
from vitrine.gateway.auth.principal import Scope
from vitrine.gateway.dependencies import Services, caller_of, services_of
from vitrine.gateway.openapi import problems
from vitrine.gateway.page import EXAMPLES
from vitrine.gateway.schemas.page import UiConfigAnswer
from vitrine.gateway.shapes import json_response
from vitrine.vectorstore.collection import CollectionInfo

router = APIRouter(tags=["page"])

# How long the page waits for what it can do without.
_PATIENCE_S: Final = 1.0


@router.get("/v1/ui-config", response_model=UiConfigAnswer, responses=problems(()))
async def ui_config(request: Request) -> Response:
    """The collection to search, queries to offer, and the limits to tell people before the server has to."""
    caller = caller_of(request)
    caller.require(Scope.SEARCH)
    services = services_of(request)
    gateway = services.settings.gateway
    described = await _described(services) if caller.sees(gateway.default_collection) else None
    return json_response(
        {
            "collection": gateway.default_collection,
            "examples": EXAMPLES,
            "max_image_bytes": services.settings.images.max_bytes,
            "max_limit": gateway.max_limit,
            "max_facets": services.settings.search.max_facets,
            "fields": [
                {
                    "name": spec.name,
                    "type": spec.type.value,
                    "filterable": spec.filterable,
                    "facetable": spec.facetable,
                }
                for spec in (described.fields if described else ())
                if spec.filterable or spec.facetable
            ],
            "group_name": described.group_name if described else "",
        }
    )


async def _described(services: Services) -> CollectionInfo | None:
    """The default collection; None where there is none now. The page can begin without, and its search will say why."""
    name = services.settings.gateway.default_collection
    with suppress(NotFound, Unavailable, DeadlineExceeded):
        return await services.searcher.directory.resolve(name, Deadline.after(_PATIENCE_S))
    return None
