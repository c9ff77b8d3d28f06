"""Whatever a route or the framework raises, answered as a problem."""

from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

from vitrine.errors import VitrineError
from vitrine.gateway.bodies import invalid_input
from vitrine.gateway.bounds import bounds_of
from vitrine.gateway.context import RequestContext
from vitrine.gateway.dependencies import services_of
from vitrine.gateway.errors import MethodNotAllowed, RequestRefused, RouteNotFound, problem_response


def answer_failures(app: FastAPI, routers: Iterable[APIRouter]) -> None:
    """Registers the handlers. What they do not catch, `middleware.Observe` does.

    Args:
        app: gets the handlers.
        routers: all there are: several of their routes may share a path.
    """
    routes = [route for router in routers for route in router.routes if isinstance(route, Route)]

    @app.exception_handler(VitrineError)
    async def own(request: Request, error: VitrineError) -> Response:
        return _answer(request, error)

    @app.exception_handler(RequestValidationError)
    async def validation(request: Request, error: RequestValidationError) -> Response:
        return _answer(request, invalid_input(error.errors(), bounds_of(services_of(request).settings)))

    @app.exception_handler(HTTPException)
    async def framework(request: Request, error: HTTPException) -> Response:
        headers = dict(error.headers or {})
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            headers["Allow"] = ", ".join(_methods_at(request.url.path, routes))
        return _answer(request, _refusal(request, error), headers)


def _methods_at(path: str, routes: Sequence[Route]) -> list[str]:
    """All methods of a path. The router itself tells those of the first route alone."""
    return sorted({method for route in routes if route.path_regex.match(path) for method in route.methods or ()})


def _refusal(request: Request, error: HTTPException) -> VitrineError:
    """404 and 405 of the router, and whatever else the framework refuses by itself."""
    if error.status_code == HTTPStatus.NOT_FOUND:
        return RouteNotFound("There is nothing at this path.")
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        return MethodNotAllowed(f"This path does not take {request.method}.")
    return RequestRefused(str(error.detail))


def _answer(request: Request, error: VitrineError, headers: Mapping[str, str] | None = None) -> Response:
    context = RequestContext.of(request.scope)
    context.failure = error
    return problem_response(error, context, headers=headers)
