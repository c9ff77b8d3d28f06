"""The document's word on items and collections holds: whatever is sent, the answer is one that it describes."""

from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode

from tests.unit.gateway.test_openapi_holds import CHECKS, _patient, schema  # noqa: F401 - the fixture, by its name

ITEMS: Final = "/v1/collections/{alias}/items"
OPERATIONS: Final = [
    *((f"{ITEMS}/{{item_id}}", method) for method in ("GET", "PUT", "DELETE")),
    (ITEMS, "POST"),
    (f"{ITEMS}:delete", "POST"),
    ("/v1/collections", "GET"),
    ("/v1/collections/{alias}", "GET"),
    ("/v1/collections/{name}/load", "POST"),
    ("/v1/collections/{name}/release", "POST"),
]
quick = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
@pytest.mark.parametrize("mode", list(GenerationMode))
def test_whatever_is_sent_the_answer_is_documented(
    schema: Any,  # noqa: F811
    path: str,
    method: str,
    mode: GenerationMode,
) -> None:
    @quick
    @given(case=schema[path][method].as_strategy(generation_mode=mode))
    def check(case: Any) -> None:
        if isinstance(case.path_parameters, dict) and mode is GenerationMode.POSITIVE:
            # Of all names there are two that name something.
            case.path_parameters |= {"alias": "products"} if "{alias}" in path else {"name": "products_v1"}
        response = _patient(case).call(headers={"Host": "localhost"})
        case.validate_response(response, checks=CHECKS)

    check()
