"""What the web page needs to know before its first search."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from vitrine.gateway.auth.principal import Scope
from vitrine.gateway.dependencies import caller_of, services_of
from vitrine.gateway.page import EXAMPLES
from vitrine.gateway.schemas.page import UiConfigAnswer
from vitrine.gateway.shapes import json_response

router = APIRouter(tags=["page"])


@router.get("/v1/ui-config", response_model=UiConfigAnswer)
async def ui_config(request: Request) -> Response:
    """The collection to search, queries to offer, and the limits to tell people before the server has to."""
    caller_of(request).require(Scope.SEARCH)
    services = services_of(request)
    gateway = services.settings.gateway
    return json_response(
        {
            "collection": gateway.default_collection,
            "examples": EXAMPLES,
            "max_image_bytes": services.settings.images.max_bytes,
            "max_limit": gateway.max_limit,
        }
    )
