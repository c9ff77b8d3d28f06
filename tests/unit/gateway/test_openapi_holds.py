"""What the document allows is accepted, what it forbids is refused, and every answer is one that it describes."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import GenerationMode

from tests.unit.gateway.conftest import Api

Asgi = Callable[[dict[str, Any], Any, Any], Awaitable[None]]
# Reasons that lie in the meaning of a value: no schema says which texts are a filter, or which data is a picture.
MEANINGS = {
    "query_empty",
    "query_cancels_out",
    "query_too_large",
    "filter_invalid",
    "image_corrupt",
    "image_format_unsupported",
    "image_unrecognised",
    "image_url_refused",
}


@pytest.fixture
def described(api: Api) -> Any:
    """The schema of the application without its lifespan, which would open the engines' clients."""

    async def served(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            await api.app(scope, receive, send)
            return
        for phase in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{phase}.complete"})

    schema = schemathesis.openapi.from_asgi("/openapi.json", served, headers={"Host": "localhost"})
    schema.config.generation.modes = [GenerationMode.POSITIVE, GenerationMode.NEGATIVE]
    return schema.include(path_regex="search")


schema = schemathesis.pytest.from_fixture("described")


@schema.parametrize()
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_answers_are_those_that_are_documented(case: Any) -> None:
    response = case.call(headers={"Host": "localhost"})
    case.validate_response(response)
