"""The shortest way to the one route that most requests are for.

The framework matches a path against its tables, opens stacks for dependencies and for clean-up, and reads parameters
one by one: a quarter of all function calls of a search. A search by JSON needs none of it but the name in its path.
"""

import re
from typing import Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from vitrine.gateway.routes import search
from vitrine.gateway.schemas.common import NAME_PATTERN

_ALIAS: Final = "alias"
_HEADER: Final = b"x-timeout-ms"


class DirectSearch:
    """Takes plain searches; all others, wrong ones too, are left to the route that documents them.

    Args:
        app: the next ASGI application, which is the framework.
        router: has that route.
    """

    def __init__(self, app: ASGIApp, router: APIRouter) -> None:
        self._app = app
        self._documented = next(route for route in router.routes if getattr(route, "endpoint", None) is search.search)
        name = NAME_PATTERN.strip("^$")
        self._path = re.compile(re.escape(search.PATH).replace(re.escape(f"{{{_ALIAS}}}"), f"({name})"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        alias = self._alias_of(scope)
        if alias is None:
            await self._app(scope, receive, send)
            return
        scope["path_params"], scope["route"] = {_ALIAS: alias}, self._documented
        await self.handle(scope, receive, send)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As the framework would, without what this route has no use for. `Observe` answers errors."""
        response = await search.search(scope["path_params"][_ALIAS], Request(scope, receive, send))
        await response(scope, receive, send)

    def _alias_of(self, scope: Scope) -> str | None:
        """The collection that a plain search is for; None: it is none."""
        if scope["type"] != "http" or scope["method"] != "POST" or scope.get("root_path"):
            return None
        found = self._path.fullmatch(scope["path"])
        if found is None:
            return None
        for name, _ in scope["headers"]:
            if name == _HEADER:
                return None
        return found[1]
