"""Searching: by JSON, by query string, by an uploaded picture."""

import asyncio
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from vitrine.domain import Deadline
from vitrine.gateway.bodies import read_form, read_json
from vitrine.gateway.context import RequestContext
from vitrine.gateway.dependencies import Alias, TimeoutHeader, services_of
from vitrine.gateway.openapi import JSON_ERRORS, READ_ERRORS, UPLOAD_ERRORS, form_body, json_body, problems
from vitrine.gateway.requests import deadline_for, from_body, from_form, from_params
from vitrine.gateway.schemas.search import ImageForm, SearchAnswer, SearchBody, SearchParams
from vitrine.gateway.shapes import search_answer
from vitrine.search.request import SearchRequest, TextPart

router = APIRouter(tags=["search"])

PATH: Final = "/v1/collections/{alias}/search"
IMAGE_FIELD: Final = "image"
# What a search may overstay its deadline: each hop has its own share of it and says better what was slow.
_GRACE_S: Final = 0.25


@router.post(PATH, response_model=SearchAnswer, responses=problems(JSON_ERRORS), openapi_extra=json_body(SearchBody))
async def search(alias: Alias, request: Request, timeout_ms: TimeoutHeader = None) -> Response:
    """Searches a collection by a text, or by weighted texts, pictures and products."""
    body = await read_json(request, SearchBody)
    settings = services_of(request).settings
    deadline = deadline_for(body.timeout_ms or timeout_ms, settings.gateway)
    return await _answer(request, await from_body(alias, body, services_of(request), deadline), deadline)


@router.get(PATH, response_model=SearchAnswer, responses=problems(READ_ERRORS))
async def search_by_address(
    alias: Alias, params: Annotated[SearchParams, Query()], request: Request, timeout_ms: TimeoutHeader = None
) -> Response:
    """The same for one text or one product, in an address that can be bookmarked and cached."""
    settings = services_of(request).settings
    deadline = deadline_for(params.timeout_ms or timeout_ms, settings.gateway)
    return await _answer(request, from_params(alias, params, settings), deadline)


@router.post(
    f"{PATH}/image",
    response_model=SearchAnswer,
    responses=problems(UPLOAD_ERRORS),
    openapi_extra=form_body(ImageForm, IMAGE_FIELD),
)
async def search_by_upload(alias: Alias, request: Request, timeout_ms: TimeoutHeader = None) -> Response:
    """Searches by a picture file sent as a multipart form, which spares the third that base64 adds."""
    form, picture = await read_form(request, ImageForm, IMAGE_FIELD)
    settings = services_of(request).settings
    deadline = deadline_for(form.timeout_ms or timeout_ms, settings.gateway)
    return await _answer(request, from_form(alias, form, picture, settings), deadline)


async def _answer(request: Request, wanted: SearchRequest, deadline: Deadline) -> Response:
    services, context = services_of(request), RequestContext.of(request.scope)
    if services.settings.telemetry.log_queries:
        context.facts["query"] = [part.text for part in wanted.parts if isinstance(part, TextPart)]
    with deadline.bounding("searching"):
        async with asyncio.timeout(deadline.remaining() + _GRACE_S):
            result = await services.searcher.search(wanted, deadline, context.clock)
    context.facts.update(collection=result.collection, hits=len(result.hits))
    return search_answer(result, context, services.media_base_url)
