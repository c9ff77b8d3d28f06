"""What the OpenAPI document says of credentials: how they are sent, and how a request without them is answered."""

from functools import cache
from typing import Any, Final

from fastapi import FastAPI

from vitrine.errors import VitrineError
from vitrine.gateway.admission import API_PREFIX
from vitrine.gateway.auth.edge import SAFE_METHODS
from vitrine.gateway.auth.errors import CrossSite, IssuerUnavailable, RateLimited, ScopeMissing, Unauthenticated
from vitrine.gateway.errors import ANSWERS
from vitrine.gateway.openapi import problems

SCHEMES: Final[dict[str, dict[str, str]]] = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key (`vitrine_...`) or a JSON Web Token of the configured issuer.",
    },
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "An API key (`vitrine_...`)."},
}
_KNOWN_CALLERS: Final = (Unauthenticated, ScopeMissing, RateLimited, IssuerUnavailable)
_ANY_CALLER: Final = (CrossSite,)
_KINDS: Final = {kind.code: kind for kind in ANSWERS}


def describe_access(app: FastAPI, *, authenticated: bool) -> None:
    """Completes what `app.openapi` gives for every operation below /v1/.

    Args:
        authenticated: whether callers must show who they are; a document that asks for needless credentials is wrong.
    """
    without = app.openapi

    @cache
    def document() -> dict[str, Any]:
        described = without()
        if authenticated:
            described.setdefault("components", {})["securitySchemes"] = SCHEMES
        for path, operations in described["paths"].items():
            if path.startswith(API_PREFIX):
                for method, operation in operations.items():
                    _describe(method, operation, authenticated=authenticated)
        return described

    app.openapi = document  # type: ignore[method-assign]  # FastAPI's own documented way


def _describe(method: str, operation: dict[str, Any], *, authenticated: bool) -> None:
    if authenticated:
        operation["security"] = [{scheme: []} for scheme in SCHEMES]
        _add(operation["responses"], _KNOWN_CALLERS)
    elif method.upper() not in SAFE_METHODS:
        _add(operation["responses"], _ANY_CALLER)


def _add(responses: dict[str, Any], kinds: tuple[type[VitrineError], ...]) -> None:
    for kind in kinds:
        status = ANSWERS[kind].status
        present = responses.get(str(status), {}).get("description", "")
        # An answer's description names its codes in backticks; `problems` wrote it, and writes the longer one.
        known = [_KINDS[code] for code in present.split("`")[1::2]]
        responses[str(status)] = problems([*known, *(() if kind in known else (kind,))])[status]
