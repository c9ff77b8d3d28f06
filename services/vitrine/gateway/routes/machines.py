"""What machines ask: probes and scrapes."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from vitrine.gateway.context import RequestContext
from vitrine.gateway.dependencies import services_of
from vitrine.gateway.schemas.problems import NotReadyProblem, ReadyAnswer
from vitrine.gateway.scraping import PATH, exposition
from vitrine.gateway.shapes import json_response

router = APIRouter(tags=["operation"])
scrape_router = APIRouter(tags=["operation"])
"""Not of the API when metrics have a port of their own."""


@router.get("/livez")
async def livez() -> Response:
    """Alive. Depends on nothing: a restart would cure neither a dependency nor load."""
    return json_response({"status": "alive"}, headers={"Cache-Control": "no-store"})


@router.get(
    "/readyz",
    response_model=ReadyAnswer,
    responses={503: {"description": "A search would not work now.", "model": NotReadyProblem}},
)
async def readyz(request: Request) -> Response:
    """Whether a search of the default collection would work now: Triton, the tokenizer and Milvus share one model."""
    return await services_of(request).readiness.response(RequestContext.of(request.scope))


@scrape_router.get(PATH, response_class=Response)
async def metrics(request: Request) -> Response:
    """Prometheus metrics; OpenMetrics for scrapers that ask for it."""
    services = services_of(request)
    return await exposition(services.readiness, services.metrics, request.headers.get("accept", ""))
