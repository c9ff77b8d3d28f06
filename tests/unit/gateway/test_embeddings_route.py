"""/v1/embeddings and /v1/models: OpenAI's shape outside, our errors inside."""

import base64
import io
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.unit.gateway.conftest import Api, OpenApi
from vitrine.gateway.auth.principal import Principal, Scope
from vitrine.gateway.context import RequestContext
from vitrine.gateway.schemas.embeddings import (
    MAX_INPUTS,
    MAX_PICTURES,
    EmbeddingsAnswer,
    ServedModel,
    ServedModelsAnswer,
)
from vitrine.settings import Settings


def picture() -> str:
    stream = io.BytesIO()
    Image.new("RGB", (16, 16), "red").save(stream, "PNG")
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()


async def embed(api: Api, sent: Any, **members: Any) -> httpx.Response:
    return await api.client.post("/v1/embeddings", json={"model": "tiny", "input": sent, **members})


async def test_the_answer_is_what_the_documentation_says(api: Api) -> None:
    response = await embed(api, ["red dress", "socks"])
    assert response.status_code == 200, response.text
    answer = EmbeddingsAnswer.model_validate_json(response.content, strict=True)
    assert set(response.json()) == set(EmbeddingsAnswer.model_fields)
    assert [entry.index for entry in answer.data] == [0, 1]
    assert answer.data[0].embedding == [1, 0, 0, 0]
    assert answer.data[1].embedding == [0, 0, 1, 0]
    assert answer.model == "tiny"
    assert (answer.usage.prompt_tokens, answer.usage.total_tokens) == (7, 7)
    assert answer.warnings == []
    assert "embed;dur=" in response.headers["server-timing"]


async def test_one_text_is_a_list_of_one(api: Api) -> None:
    assert (await embed(api, "red dress")).json() == (await embed(api, ["red dress"])).json()


async def test_texts_and_pictures_keep_their_places(api: Api) -> None:
    response = await embed(api, ["ab", picture(), "abc", picture().replace("data:image", "data:IMAGE")])
    assert [entry["embedding"].index(1) for entry in response.json()["data"]] == [2, 3, 0, 3]
    assert response.json()["usage"]["prompt_tokens"] == 6


@pytest.mark.parametrize(
    "text", ["data: a red mug", "data:", "my data:image/png;base64,AAAA", "http://a.example/b.png"]
)
async def test_what_only_looks_like_a_picture_is_a_text(api: Api, text: str) -> None:
    response = await embed(api, text)
    assert response.status_code == 200
    assert response.json()["usage"]["prompt_tokens"] > 0


async def test_base64_is_little_endian_float32(api: Api) -> None:
    response = await embed(api, ["red dress", "socks"], encoding_format="base64")
    vectors = [
        np.frombuffer(base64.b64decode(entry["embedding"], validate=True), "<f4") for entry in response.json()["data"]
    ]
    assert [vector.tolist() for vector in vectors] == [[1, 0, 0, 0], [0, 0, 1, 0]]


async def test_a_text_that_was_cut_is_told(api: Api) -> None:
    response = await embed(api, ["short", "word " * 100])
    assert response.json()["warnings"] == ["query_truncated"]
    assert response.json()["usage"]["prompt_tokens"] == 3 + 16


@pytest.mark.parametrize("name", ["tiny", "f" * 64, "default"])
async def test_the_model_has_three_names(api: Api, name: str) -> None:
    assert (await embed(api, "red", model=name)).json()["model"] == "tiny"
    assert (await api.client.get(f"/v1/models/{name}")).json()["id"] == "tiny"


async def test_another_model_is_404(api: Api) -> None:
    for response in (
        await embed(api, "red", model="text-embedding-3-small"),
        await api.client.get("/v1/models/openai/clip-vit-base-patch32"),
    ):
        assert (response.status_code, response.json()["code"]) == (404, "model_not_found")
        assert response.json()["details"] == {"served": "tiny"}


async def test_models_are_a_list_of_one(api: Api) -> None:
    response = await api.client.get("/v1/models")
    listed = ServedModelsAnswer.model_validate_json(response.content, strict=True)
    assert listed.data == [
        ServedModel(id="tiny", created=0, fingerprint="f" * 64, dimensions=4, max_tokens=16),
    ]


async def test_dimensions_are_the_models_own(api: Api) -> None:
    assert (await embed(api, "red", dimensions=4, user="somebody")).status_code == 200
    response = await embed(api, "red", dimensions=256)
    assert (response.status_code, response.json()["code"]) == (422, "invalid_input")
    assert response.json()["details"]["dimensions"] == 4


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"model": "tiny"}, 422, "invalid_input"),
        ({"input": "red"}, 422, "invalid_input"),
        ({"model": "tiny", "input": []}, 422, "invalid_input"),
        ({"model": "tiny", "input": 7}, 422, "invalid_input"),
        ({"model": "tiny", "input": {"text": "red"}}, 422, "invalid_input"),
        ({"model": "tiny", "input": ["red"] * (MAX_INPUTS + 1)}, 422, "invalid_input"),
        ({"model": "tiny", "input": "red", "encoding_format": "hex"}, 422, "invalid_input"),
        ({"model": "tiny", "input": "red", "dimensions": 0}, 422, "invalid_input"),
        ({"model": "tiny", "input": "red", "dimension": 4}, 422, "invalid_input"),
        ({"model": "tiny", "input": [""]}, 422, "query_empty"),
        ({"model": "tiny", "input": ["red", "a\0b"]}, 422, "text_malformed"),
        ({"model": "tiny", "input": "x" * 9000}, 413, "query_too_large"),
        ({"model": "tiny", "input": "data:image/png;base64,AAAA"}, 422, "image_unrecognised"),
        ({"model": "tiny", "input": "data:image/png;base64,A"}, 422, "image_corrupt"),
        ({"model": "tiny", "input": "data:text/html;base64,AAAA"}, 415, "image_format_unsupported"),
        ({"model": "tiny", "input": "data:image/png,AAAA"}, 422, "invalid_input"),
        ({"model": "tiny", "input": [picture()] * (MAX_PICTURES + 1)}, 422, "limit_exceeded"),
        ("no json", 400, "json_malformed"),
    ],
)
async def test_what_cannot_be_embedded_is_told(api: Api, body: Any, status: int, code: str) -> None:
    content = (
        {"content": body, "headers": {"Content-Type": "application/json"}} if body == "no json" else {"json": body}
    )
    response = await api.client.post("/v1/embeddings", **content)
    assert (response.status_code, response.json()["code"]) == (status, code), response.text


@pytest.mark.parametrize("sent", [[1, 2, 3], [[1, 2], [3]], ["red", 7]])
async def test_token_ids_are_refused_in_so_many_words(api: Api, sent: Any) -> None:
    response = await embed(api, sent)
    assert response.status_code == 422
    assert "Token ids are not accepted" in response.json()["detail"]


async def test_errors_carry_the_message_that_openais_client_looks_for(api: Api) -> None:
    for response in (await embed(api, "red", model="other"), await api.client.get("/v1/models/other")):
        problem = response.json()
        assert response.headers["content-type"] == "application/problem+json"
        assert problem["message"] == problem["detail"]
    assert api.metrics.registry.get_sample_value("vitrine_http_errors_total", {"code": "model_not_found"}) == 2


async def test_time_is_bounded_like_a_search(api: Api) -> None:
    response = await api.client.post(
        "/v1/embeddings", json={"model": "tiny", "input": "red"}, headers={"X-Timeout-Ms": "10001"}
    )
    assert (response.status_code, response.json()["code"]) == (422, "limit_exceeded")


async def test_texts_are_logged_only_when_that_is_on_and_pictures_never(open_api: OpenApi) -> None:
    facts: list[dict[str, object]] = []
    for log_queries in (False, True):
        api = await open_api(Settings.model_validate({"telemetry": {"log_queries": log_queries}}))
        original = RequestContext.attach

        def attach(context: RequestContext, scope: Any, original: Any = original) -> None:
            facts.append(context.facts)
            original(context, scope)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(RequestContext, "attach", attach)
            assert (await embed(api, ["red dress", picture()])).status_code == 200
    assert [fact.get("query") for fact in facts] == [None, ["red dress"]]
    assert all((fact["inputs"], fact["tokens"]) == (2, 4) for fact in facts)


async def test_a_caller_without_the_scope_is_refused_before_the_body_is_read(api: Api) -> None:
    writer = Principal("writer", frozenset({Scope.WRITE}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vitrine.gateway.routes.embeddings.caller_of", lambda request: writer)
        for response in (
            await api.client.post("/v1/embeddings", content=b"no json"),
            await api.client.get("/v1/models"),
            await api.client.get("/v1/models/nothing"),
        ):
            assert (response.status_code, response.json()["code"]) == (403, "scope_missing")
