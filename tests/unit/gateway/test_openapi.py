import re
from pathlib import Path
from typing import Any

import pytest

from tests.unit.gateway.conftest import Api, OpenApi
from vitrine.gateway.errors import ANSWERS, CODES

ROOT = Path(__file__).parents[3]
SEARCH = "/v1/collections/{alias}/search"


@pytest.fixture
async def document(api: Api) -> Any:
    return (await api.client.get("/openapi.json")).json()


def _references(node: Any) -> set[str]:
    if isinstance(node, dict):
        own = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
        return own.union(*(_references(child) for child in node.values()))
    if isinstance(node, list):
        return set().union(*(_references(child) for child in node))
    return set()


async def test_every_reference_leads_somewhere(document: Any) -> None:
    schemas = document["components"]["schemas"]
    references = _references(document)
    assert len(references) > 10
    assert {reference.rsplit("/", 1)[-1] for reference in references} <= schemas.keys()


async def test_every_error_answer_is_a_problem_with_codes_that_exist(document: Any) -> None:
    seen: set[str] = set()
    for path, operations in document["paths"].items():
        for operation in operations.values():
            for status, answer in operation["responses"].items():
                if status.startswith(("4", "5")) and path.startswith("/v1/"):
                    assert list(answer["content"]) == ["application/problem+json"], (path, status)
                    codes = set(answer["description"].split("`")[1::2])
                    assert codes
                    assert codes <= CODES
                    seen |= codes
    assert {"overloaded", "contract_mismatch", "json_malformed", "body_too_large", "image_corrupt"} <= seen


async def test_the_body_of_a_search_is_described(document: Any) -> None:
    body = document["paths"][SEARCH]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body == {"$ref": "#/components/schemas/SearchBody"}
    described = document["components"]["schemas"]["SearchBody"]
    assert described["additionalProperties"] is False
    assert described["required"] == ["query"]
    form = document["paths"][f"{SEARCH}/image"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert form["required"] == ["image"]
    assert set(form["properties"]) == {"image", "limit", "offset", "min_score", "timeout_ms", "filter"}


async def test_the_limits_are_those_of_the_settings(open_api: OpenApi) -> None:
    api = await open_api(max_limit=33, max_timeout_ms=4444)
    document = api.app.openapi()
    described = document["components"]["schemas"]["SearchBody"]["properties"]
    assert (described["limit"]["minimum"], described["limit"]["maximum"]) == (1, 33)
    assert described["timeout_ms"]["anyOf"][0]["maximum"] == 4444
    parameters = {p["name"]: p["schema"] for p in document["paths"][SEARCH]["get"]["parameters"]}
    assert parameters["limit"]["maximum"] == 33
    assert parameters["X-Timeout-Ms"]["anyOf"][0]["maximum"] == 4444


async def test_the_written_documentation_lists_every_code_and_its_status(document: Any) -> None:
    rows = re.findall(
        r"^\| (\d{3}) \| `(\w+)` \|", (ROOT / "docs" / "api.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    statuses = {kind.code: answer.status for kind, answer in ANSWERS.items()}
    assert {code: int(status) for status, code in rows}.items() <= statuses.items()
    promised = {
        code
        for operations in document["paths"].values()
        for operation in operations.values()
        for answer in operation["responses"].values()
        for code in answer["description"].split("`")[1::2]
    }
    # What only a gateway that authenticates can answer; `auth/test_edge.py` looks at its document.
    promised |= {"unauthenticated", "scope_missing", "rate_limited", "issuer_unavailable"}
    framework = {"route_not_found", "method_not_allowed", "not_found", "request_refused", "not_ready", "draining"}
    assert {code for _, code in rows} == promised | framework


async def test_the_framework_adds_no_error_shape_of_its_own(document: Any) -> None:
    assert "HTTPValidationError" not in document["components"]["schemas"]
