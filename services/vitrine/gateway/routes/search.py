"""Searching: by JSON, by query string, by an uploaded picture."""

import asyncio
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from vitrine.domain import Deadline
from vitrine.gateway.auth.principal import Scope
from vitrine.gateway.bodies import read_form, read_json
from vitrine.gateway.context import RequestContext
from vitrine.gateway.departures import ending_with_caller
from vitrine.gateway.dependencies import Alias, TimeoutHeader, caller_of, services_of
from vitrine.gateway.openapi import (
    JSON_ERRORS,
    READ_ERRORS,
    UPLOAD_ERRORS,
    cacheable,
    form_body,
    json_body,
    problems,
)
from vitrine.gateway.requests import deadline_for, from_body, from_form, from_params
from vitrine.gateway.schemas.search import ImageForm, SearchAnswer, SearchBody, SearchParams
from vitrine.gateway.shapes import cacheable_search_answer, search_answer
from vitrine.search.request import SearchRequest, SearchResult, TextPart
from vitrine.telemetry.metrics import GatewayMetrics
from vitrine.telemetry.stages import Hop

router = APIRouter(tags=["search"])

PATH: Final = "/v1/collections/{alias}/search"
IMAGE_FIELD: Final = "image"
GRACE_S: Final = 0.25
"""What a search may overstay its deadline: each hop has its own share of it and says better what was slow."""


@router.post(PATH, response_model=SearchAnswer, responses=problems(JSON_ERRORS), openapi_extra=json_body(SearchBody))
async def search(alias: Alias, request: Request, timeout_ms: TimeoutHeader = None) -> Response:
    """Searches a collection by a text, or by weighted texts, pictures and products."""
    caller = caller_of(request)
    caller.require(Scope.SEARCH, alias)
    body = await read_json(request, SearchBody)
    services = services_of(request)
    deadline = deadline_for(body.timeout_ms, services.settings.gateway, or_else=timeout_ms)
    wanted = await from_body(alias, body, caller, services, deadline)
    return _answer(request, await _found(request, wanted, deadline))


@router.get(PATH, response_model=SearchAnswer, responses=cacheable() | problems(READ_ERRORS))
async def search_by_address(
    alias: Alias, params: Annotated[SearchParams, Query()], request: Request, timeout_ms: TimeoutHeader = None
) -> Response:
    """The same for one text or one product, in an address that can be bookmarked and cached."""
    caller = caller_of(request)
    caller.require(Scope.SEARCH, alias)
    services = services_of(request)
    deadline = deadline_for(params.timeout_ms, services.settings.gateway, or_else=timeout_ms)
    wanted = from_params(alias, params, caller, services.settings)
    result = await _found(request, wanted, deadline)
    return cacheable_search_answer(request, result, services.media_base_url, services.settings)


@router.post(
    f"{PATH}/image",
    response_model=SearchAnswer,
    responses=problems(UPLOAD_ERRORS),
    openapi_extra=form_body(ImageForm, IMAGE_FIELD),
)
async def search_by_upload(alias: Alias, request: Request, timeout_ms: TimeoutHeader = None) -> Response:
    """Searches by a picture file sent as a multipart form, which spares the third that base64 adds."""
    caller = caller_of(request)
    caller.require(Scope.SEARCH, alias)
    form, picture = await read_form(request, ImageForm, IMAGE_FIELD)
    services = services_of(request)
    deadline = deadline_for(form.timeout_ms, services.settings.gateway, or_else=timeout_ms)
    wanted = await from_form(alias, form, picture, caller, services, deadline)
    return _answer(request, await _found(request, wanted, deadline))


def count_found(metrics: GatewayMetrics, wanted: SearchRequest, result: SearchResult) -> None:
    """Counts a search by what it found. A further page says nothing of that: the best hits were on the first."""
    if wanted.cursor is None and wanted.offset == 0:
        metrics.searches.observe_best(result.hits[0].score if result.hits else None)


async def _found(request: Request, wanted: SearchRequest, deadline: Deadline) -> SearchResult:
    services, context = services_of(request), RequestContext.of(request.scope)
    if services.settings.telemetry.log_queries:
        context.facts["query"] = [part.text for part in wanted.parts if isinstance(part, TextPart)]
    context.clock.note_left(Hop.ACCEPTED, deadline)
    try:
        with deadline.bounding("searching"), ending_with_caller(request):
            async with asyncio.timeout(deadline.remaining() + GRACE_S):
                result = await services.searcher.search(wanted, deadline, context.clock)
    finally:
        context.clock.note_left(Hop.ANSWERED, deadline)
    count_found(services.metrics, wanted, result)
    context.facts.update(collection=result.collection, hits=len(result.hits))
    return result


def _answer(request: Request, result: SearchResult) -> Response:
    return search_answer(result, RequestContext.of(request.scope), services_of(request).media_base_url)
