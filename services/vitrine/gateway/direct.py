"""The shortest way to the one route that most requests are for.

The framework matches a path against its tables, opens stacks for dependencies and reads parameters one by one: a
quarter of all function calls of a search. A search by JSON needs none of it but the name in its path.
"""

import re
from typing import Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send

from vitrine.gateway.routes import search
from vitrine.gateway.schemas.common import NAME_PATTERN

_ALIAS: Final = "alias"
_HEADER: Final = b"x-timeout-ms"


class DirectSearch(BaseRoute):
    """Takes plain searches; all others, wrong ones too, are left to the route that documents them.

    Args:
        router: has that route.
    """

    def __init__(self, router: APIRouter) -> None:
        self._documented = next(route for route in router.routes if getattr(route, "endpoint", None) is search.search)
        name = NAME_PATTERN.strip("^$")
        self._path = re.compile(re.escape(search.PATH).replace(re.escape(f"{{{_ALIAS}}}"), f"({name})"))

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Fully, or not at all."""
        if scope["type"] != "http" or scope["method"] != "POST" or scope.get("root_path"):
            return Match.NONE, {}
        found = self._path.fullmatch(scope["path"])
        if found is None or any(name == _HEADER for name, _ in scope["headers"]):
            return Match.NONE, {}
        return Match.FULL, {"path_params": {_ALIAS: found[1]}, "route": self._documented}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As the framework would, without what this route has no use for."""
        response = await search.search(scope["path_params"][_ALIAS], Request(scope, receive, send))
        await response(scope, receive, send)
