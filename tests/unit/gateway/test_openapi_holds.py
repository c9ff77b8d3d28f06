"""What the document allows is accepted, what it forbids is refused, and every answer is one that it describes."""

from typing import Any, Final

import pytest
import schemathesis
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.errors import InvalidSchema
from schemathesis.specs.openapi import checks

from tests.unit.gateway.conftest import Api

PATH: Final = "/v1/collections/{alias}/search"
OPERATIONS: Final = [(PATH, "GET"), (PATH, "POST"), (f"{PATH}/image", "POST"), ("/v1/multi_search", "POST")]
MEANINGS: Final = {
    "query_empty",
    "query_too_large",
    "filter_invalid",
    "image_corrupt",
    "image_too_large",
    "image_format_unsupported",
    "image_unrecognised",
    "image_url_refused",
    "route_not_found",
}
"""Refusals for what a value means: no schema says which texts are a filter, or which data is a picture."""
CHECKS: Final = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
]
LEAST_CASES: Final = 50
# The same cases each time; the contract test against running engines looks for new ones.
quick = settings(
    max_examples=100, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
)


@pytest.fixture
def schema(api: Api) -> Any:
    """The document of the application, without its lifespan, which would open the engines' clients."""

    async def served(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            await api.app(scope, receive, send)
            return
        for phase in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{phase}.complete"})

    return schemathesis.openapi.from_asgi("/openapi.json", served, headers={"Host": "localhost"})


def _patient(case: Any) -> Any:
    """The case with time enough: what a millisecond does not suffice for is answered 504, and rightly so."""
    for where in (case.headers, case.query, case.body):
        for name in ("X-Timeout-Ms", "timeout_ms"):
            if isinstance(where, dict) and str(where.get(name, "")).isdigit():
                where[name] = max(int(where[name]), 5_000)
    return case


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
@pytest.mark.parametrize("mode", list(GenerationMode))
def test_whatever_is_sent_the_answer_is_documented(schema: Any, path: str, method: str, mode: GenerationMode) -> None:
    seen: set[int] = set()
    cases = schema[path][method].as_strategy(generation_mode=mode)
    asked = 0

    @quick
    @given(data=st.data())
    def check(data: st.DataObject) -> None:
        nonlocal asked
        try:
            case = data.draw(cases)
        except InvalidSchema:
            # Of some negations of a recursive schema (our filters) schemathesis finds, while drawing, that it can
            # make no example.
            reject()
        asked += 1
        response = _patient(case).call(headers={"Host": "localhost"})
        seen.add(response.status_code)
        case.validate_response(response, checks=CHECKS)
        if mode is GenerationMode.POSITIVE and response.status_code >= 400:
            problem = response.json()
            no_list = path.endswith("/image") and problem.get("details", {}).get("field") == "query"
            assert problem["code"] in MEANINGS or no_list, (case.as_curl_command(), problem)

    check()
    assert asked >= LEAST_CASES
    assert 200 in seen or mode is GenerationMode.NEGATIVE
    assert seen - {200} or mode is GenerationMode.POSITIVE
