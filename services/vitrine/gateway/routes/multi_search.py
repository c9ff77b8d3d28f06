"""Several searches in one request: one embedding call for all of them, a status for each."""

import asyncio

from fastapi import APIRouter, Request
from starlette.responses import Response

from vitrine.domain import Deadline
from vitrine.errors import VitrineError
from vitrine.gateway.auth.principal import Scope
from vitrine.gateway.bodies import read_json
from vitrine.gateway.context import RequestContext
from vitrine.gateway.departures import ending_with_caller
from vitrine.gateway.dependencies import TimeoutHeader, caller_of, services_of
from vitrine.gateway.errors import shed_reason
from vitrine.gateway.openapi import MULTI_ERRORS, json_body, problems
from vitrine.gateway.requests import check_searches, deadline_for, from_items
from vitrine.gateway.routes.search import GRACE_S, count_found
from vitrine.gateway.schemas.multi_search import MultiSearchAnswer, MultiSearchBody
from vitrine.gateway.shapes import multi_search_answer
from vitrine.search.request import SearchRequest, SearchResult, TextPart
from vitrine.telemetry.stages import Hop

router = APIRouter(tags=["search"])


@router.post(
    "/v1/multi_search",
    response_model=MultiSearchAnswer,
    responses=problems(MULTI_ERRORS),
    openapi_extra=json_body(MultiSearchBody),
)
async def multi_search(request: Request, timeout_ms: TimeoutHeader = None) -> Response:
    """Runs several searches at once; one that fails does so alone, with the problem it would have been answered."""
    caller, services, context = caller_of(request), services_of(request), RequestContext.of(request.scope)
    caller.require(Scope.SEARCH)
    body = await read_json(request, MultiSearchBody)
    check_searches(len(body.searches), services.settings)
    context.charge(len(body.searches) - 1)
    deadline = deadline_for(body.timeout_ms, services.settings.gateway, or_else=timeout_ms)
    asked = await from_items(body.searches, caller, services, deadline)
    results = await _found(request, asked, deadline)
    _note(request, results)
    return multi_search_answer(results, context, services.media_base_url)


async def _found(
    request: Request, asked: list[SearchRequest | VitrineError], deadline: Deadline
) -> list[SearchResult | VitrineError]:
    """A result for each search that is one; errors stay where they are."""
    services, context = services_of(request), RequestContext.of(request.scope)
    context.clock.note_left(Hop.ACCEPTED, deadline)
    wanted = [search for search in asked if isinstance(search, SearchRequest)]
    if services.settings.telemetry.log_queries:
        context.facts["query"] = [part.text for search in wanted for part in search.parts if isinstance(part, TextPart)]
    found: list[SearchResult | VitrineError] = []
    if wanted:
        try:
            with deadline.bounding("searching"), ending_with_caller(request):
                async with asyncio.timeout(deadline.remaining() + GRACE_S):
                    found = await services.searcher.search_many(wanted, deadline, context.clock)
        finally:
            context.clock.note_left(Hop.ANSWERED, deadline)
        for search, result in zip(wanted, found, strict=True):
            if isinstance(result, SearchResult):
                count_found(services.metrics, search, result)
    following = iter(found)
    return [next(following) if isinstance(search, SearchRequest) else search for search in asked]


def _note(request: Request, results: list[SearchResult | VitrineError]) -> None:
    """What the log line and the metrics tell of the searches inside."""
    metrics = services_of(request).metrics
    failures = [result for result in results if isinstance(result, VitrineError)]
    for failure in failures:
        metrics.count_error(failure.code, shed_reason(failure))
    RequestContext.of(request.scope).facts.update(searches=len(results), failed=len(failures))
