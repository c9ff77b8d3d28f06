"""What the API refuses to do more of."""

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from vitrine import errors
from vitrine.gateway.auth.principal import Scope
from vitrine.gateway.dependencies import caller_of, services_of
from vitrine.gateway.limits import Limit, limits_of
from vitrine.gateway.openapi import problems
from vitrine.gateway.schemas.limits import LimitsAnswer
from vitrine.gateway.shapes import json_response

router = APIRouter(tags=["operation"])


@router.get("/v1/limits", response_model=LimitsAnswer, responses=problems((errors.Overloaded, errors.InternalError)))
async def limits(request: Request) -> Response:
    """Every limit that this server enforces, where it comes from, and the code that more is refused with."""
    caller_of(request).require(Scope.SEARCH)
    services = services_of(request)
    found = limits_of(services.settings, services.searcher.encoder.contract)
    return json_response({"limits": [_described(limit) for limit in found]})


def _described(limit: Limit) -> dict[str, Any]:
    return {
        "name": limit.name,
        "value": limit.value,
        "unit": limit.unit,
        "setting": limit.setting,
        "code": None if limit.error is None else limit.error.code,
        "description": limit.description,
    }
