"""/v1/limits says what is enforced, and the documentation says what /v1/limits says."""

from pathlib import Path

import pytest

from tests.unit.gateway.conftest import Api, OpenApi
from vitrine.embedding.contract import ImagePolicy, ModelContract
from vitrine.embedding.preprocess import prepare
from vitrine.errors import ImageFormatUnsupported
from vitrine.gateway.auth.principal import Principal, Scope
from vitrine.gateway.errors import CODES
from vitrine.gateway.limits import Limit, limits_of
from vitrine.gateway.schemas.limits import LimitsAnswer
from vitrine.settings import ImageSettings, Settings

API_DOC = Path(__file__).parents[3] / "docs" / "api.md"


def table_of(limits: "tuple[Limit, ...]") -> str:
    """The documentation's table, without the last line's end."""
    rows = ["| limit | most | | setting | code |", "|---|---|---|---|---|"]
    for limit in limits:
        value = ", ".join(limit.value) if isinstance(limit.value, tuple) else f"{limit.value:,g}"
        value = f"{limit.value:,}" if isinstance(limit.value, int) else value or "none"
        unit = "" if isinstance(limit.value, tuple) else f" {limit.unit}".rstrip()
        setting = f"`{limit.setting}`" if limit.setting else ""
        code = f"`{limit.error.code}`" if limit.error else ""
        rows.append(f"| `{limit.name}` | {value}{unit} | {limit.description} | {setting} | {code} |")
    return "\n".join(rows)


async def test_the_answer_is_what_the_documentation_says(api: Api) -> None:
    response = await api.client.get("/v1/limits")
    assert response.status_code == 200
    listed = LimitsAnswer.model_validate_json(response.content, strict=True).limits
    assert len({limit.name for limit in listed}) == len(listed)
    assert {limit.code for limit in listed if limit.code} <= CODES
    assert {limit.value for limit in listed if limit.name == "context_length"} == {16}


async def test_values_follow_the_settings(open_api: OpenApi) -> None:
    changed = {
        "gateway": {"max_limit": 7, "max_body_bytes": 4096, "keep_alive_s": 9},
        "search": {"max_facets": 3, "cursor_ttl_s": 11},
        "images": {"max_pixels": 1234},
        "remote_images": {"hosts": ("cdn.example.com",), "timeout_s": 1.5},
        "items": {"max_bulk": 2},
    }
    api = await open_api(Settings.model_validate(changed))
    listed = {limit["setting"]: limit["value"] for limit in (await api.client.get("/v1/limits")).json()["limits"]}
    for section, fields in changed.items():
        for field, value in fields.items():
            assert listed[f"{section}.{field}"] == (list(value) if isinstance(value, tuple) else value)


def test_the_documentation_has_them_all(model_repository: Path) -> None:
    table = table_of(limits_of(Settings(), ModelContract.load(model_repository)))
    assert table in API_DOC.read_text(encoding="utf-8"), f"docs/api.md should have this table:\n{table}"


def test_the_formats_are_those_of_the_decoder(model_repository: Path) -> None:
    limits = limits_of(Settings(), ModelContract.load(model_repository))
    formats = next(limit.value for limit in limits if limit.name == "picture_formats")
    with pytest.raises(ImageFormatUnsupported) as refused:
        prepare(b"%PDF-1.7\n", ImagePolicy(), ImageSettings())
    assert isinstance(formats, tuple)
    assert f"{', '.join(formats[:-1])} and {formats[-1]}" in refused.value.message


async def test_a_caller_without_the_scope_is_refused(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = Principal("writer", frozenset({Scope.WRITE}))
    monkeypatch.setattr("vitrine.gateway.routes.limits.caller_of", lambda request: writer)
    response = await api.client.get("/v1/limits")
    assert (response.status_code, response.json()["code"]) == (403, "scope_missing")
