import json
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema_rs import Draft202012Validator

from tests.unit.gateway.conftest import Api, OpenApi
from vitrine.gateway.errors import ANSWERS, CODES
from vitrine.settings import Settings
from vitrine.vectorstore.filter_tree import COMPARISONS

MEMBERS = {"limit", "offset", "cursor", "filter", "min_score", "relative_cut", "group_by", "facets", "params"} | {
    "timeout_ms",
    "with_vectors",
}
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
                    problem, coded = answer["content"]["application/problem+json"]["schema"]["allOf"]
                    assert problem == {"$ref": "#/components/schemas/Problem"}
                    assert set(coded["properties"]["code"]["enum"]) == codes
                    assert coded["properties"]["status"] == {"const": int(status)}
                    assert ("Retry-After" in answer["headers"]) == (status in {"429", "503"})
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
    assert set(described["properties"]) == {*MEMBERS, "query"}
    form = document["paths"][f"{SEARCH}/image"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert form["required"] == ["image"]
    assert set(form["properties"]) == {*MEMBERS, "image", "weight", "query"}
    query = [p["name"] for p in document["paths"][SEARCH]["get"]["parameters"] if p["in"] == "query"]
    assert set(query) == {*MEMBERS, "q", "id"}


async def test_nothing_in_an_address_or_a_form_is_null(document: Any) -> None:
    schemas = [p["schema"] for p in document["paths"][SEARCH]["get"]["parameters"]]
    form = document["paths"][f"{SEARCH}/image"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    schemas += form["properties"].values()
    assert len(schemas) > 20
    assert "null" not in json.dumps(schemas)


async def test_a_filter_is_a_component_that_contains_itself(document: Any) -> None:
    schemas = document["components"]["schemas"]
    itself = {"$ref": "#/components/schemas/Filter"}
    assert schemas["SearchBody"]["properties"]["filter"]["anyOf"][0] == itself
    every, some, negated, *conditions = schemas["Filter"]["oneOf"]
    assert every["properties"]["all"]["items"] == some["properties"]["any"]["items"] == itself
    assert negated["properties"]["not"] == itself
    operators = [name for condition in conditions for name in condition["properties"]["op"]["enum"]]
    assert operators == [*COMPARISONS, "in", "prefix", "exists"]


async def test_operations_have_short_names_of_their_own(document: Any) -> None:
    names = [operation["operationId"] for path in document["paths"].values() for operation in path.values()]
    assert len(names) == len(set(names))
    assert all(re.fullmatch(r"[a-z_]{3,40}", name) for name in names), names
    assert {"search", "search_by_address", "search_by_upload", "multi_search"} <= set(names)


async def test_every_answer_has_an_id_and_those_of_get_a_tag(document: Any) -> None:
    for operations in document["paths"].values():
        for operation in operations.values():
            for answer in operation["responses"].values():
                assert "X-Request-ID" in answer["headers"]
    answers = document["paths"][SEARCH]["get"]["responses"]
    assert {"ETag", "Cache-Control", "Vary"} <= answers["200"]["headers"].keys()
    assert {"ETag", "Cache-Control", "Vary"} <= answers["304"]["headers"].keys()
    assert "content" not in answers["304"]


async def test_examples_are_valid_by_the_schemas_they_stand_in(document: Any) -> None:
    checked = 0
    for name in ("SearchBody", "MultiSearchBody", "Filter"):
        schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
        for example in document["components"]["schemas"][name]["examples"]:
            Draft202012Validator(schema).validate(example)
            checked += 1
    assert checked >= 4


async def test_the_limits_are_those_of_the_settings(open_api: OpenApi) -> None:
    api = await open_api(max_limit=33, max_timeout_ms=4444)
    document = api.app.openapi()
    described = document["components"]["schemas"]["SearchBody"]["properties"]
    assert (described["limit"]["minimum"], described["limit"]["maximum"]) == (1, 33)
    assert described["timeout_ms"]["anyOf"][0]["maximum"] == 4444
    parameters = {p["name"]: p["schema"] for p in document["paths"][SEARCH]["get"]["parameters"]}
    assert parameters["limit"]["maximum"] == 33
    assert parameters["timeout_ms"] == parameters["timeout_ms"] | {"type": "integer", "minimum": 1, "maximum": 4444}
    assert parameters["X-Timeout-Ms"] == parameters["X-Timeout-Ms"] | {"type": "integer", "minimum": 1, "maximum": 4444}


async def test_counts_are_those_of_the_settings_too(open_api: OpenApi) -> None:
    api = await open_api(Settings.model_validate({"search": {"max_facets": 3, "max_searches": 5}}))
    document = api.app.openapi()
    schemas = document["components"]["schemas"]
    assert schemas["SearchBody"]["properties"]["facets"]["maxItems"] == 3
    assert schemas["MultiSearchBody"]["properties"]["searches"]["maxItems"] == 5
    (facets,) = [p["schema"] for p in document["paths"][SEARCH]["get"]["parameters"] if p["name"] == "facets"]
    assert re.search(facets["pattern"], "a,b,c")
    assert not re.search(facets["pattern"], "a,b,c,d")


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
