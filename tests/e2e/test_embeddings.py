"""/v1/embeddings as its users meet it: through OpenAI's own client, on the real Triton."""

import base64
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import openai
import pytest

from tests.e2e.conftest import PRODUCTS, OpenGateway
from tests.fixtures.serving import RunningGateway
from tests.fixtures.shop import jpeg
from vitrine.embedding.contract import ModelContract

TEXTS = ["red dress", "a blue floral top with long sleeves and a round collar", "socks", "RED  dress"]


@pytest.fixture(scope="module")
def client(gateway: RunningGateway) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="anything", max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def contract(model_repository: Path) -> ModelContract:
    return ModelContract.load(model_repository)


def data_url(picture: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(picture).decode()


def test_texts_are_embedded_in_their_order(client: openai.OpenAI, contract: ModelContract) -> None:
    answer = client.embeddings.create(model=contract.model, input=TEXTS, encoding_format="float")
    vectors = np.array([entry.embedding for entry in answer.data], np.float32)
    assert vectors.shape == (len(TEXTS), contract.dimension)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert [entry.index for entry in answer.data] == [0, 1, 2, 3]
    np.testing.assert_array_equal(vectors[0], vectors[3])
    alone = [client.embeddings.create(model="default", input=text).data[0].embedding for text in TEXTS]
    np.testing.assert_allclose(vectors, np.array(alone), atol=1e-6)
    assert answer.model == contract.model
    assert answer.usage.prompt_tokens == answer.usage.total_tokens > 2 * len(TEXTS)


def test_the_clients_own_encoding_gives_the_same_figures(client: openai.OpenAI) -> None:
    default = client.embeddings.create(model="default", input="red dress")
    figures = client.embeddings.create(model="default", input="red dress", encoding_format="float")
    written = client.embeddings.create(model="default", input="red dress", encoding_format="base64")
    assert default.data[0].embedding == pytest.approx(figures.data[0].embedding, abs=1e-7)
    raw = written.data[0].embedding
    assert isinstance(raw, str), "asked for base64, the client leaves it as it is"
    np.testing.assert_array_equal(
        np.frombuffer(base64.b64decode(raw), "<f4"), np.array(figures.data[0].embedding, np.float32)
    )


@pytest.mark.parametrize("query", ["red dress", [{"image": data_url(jpeg(108775007))}]])
def test_vectors_are_those_that_a_search_compares(
    client: openai.OpenAI, gateway: RunningGateway, query: "str | list[dict[str, str]]"
) -> None:
    sent = query if isinstance(query, str) else query[0]["image"]
    vector = np.array(client.embeddings.create(model="default", input=[sent]).data[0].embedding)
    response = gateway.search(query, limit=len(PRODUCTS), with_vectors=True)
    assert response.status_code == 200, response.text
    hits = response.json()["hits"]
    scores = [float(vector @ np.array(hit["vector"])) for hit in hits]
    assert scores == pytest.approx([hit["score"] for hit in hits], abs=2e-5)
    assert scores == pytest.approx(sorted(scores, reverse=True), abs=2e-5)
    if not isinstance(query, str):
        assert hits[0]["score"] == pytest.approx(1, abs=1e-4)


def test_pictures_and_texts_can_be_mixed(client: openai.OpenAI) -> None:
    inputs = ["red dress", data_url(jpeg(1)), data_url(jpeg(2)), "socks"]
    together = [entry.embedding for entry in client.embeddings.create(model="default", input=inputs).data]
    alone = [client.embeddings.create(model="default", input=sent).data[0].embedding for sent in inputs]
    np.testing.assert_allclose(np.array(together), np.array(alone), atol=1e-6)
    assert np.linalg.norm(np.array(together[1]) - np.array(together[2])) > 0.01


def test_refusals_are_the_clients_own_errors(client: openai.OpenAI, contract: ModelContract) -> None:
    with pytest.raises(openai.UnprocessableEntityError) as wrong_length:
        client.embeddings.create(model="default", input="red", dimensions=contract.dimension + 1)
    assert wrong_length.value.code == "invalid_input"
    assert str(contract.dimension) in wrong_length.value.message
    with pytest.raises(openai.NotFoundError) as unknown:
        client.embeddings.create(model="text-embedding-3-small", input="red")
    assert unknown.value.code == "model_not_found"
    with pytest.raises(openai.UnprocessableEntityError, match="Token ids"):
        client.embeddings.create(model="default", input=[1, 2, 3])
    with pytest.raises(openai.UnprocessableEntityError) as empty:
        client.embeddings.create(model="default", input=["red", " "])
    assert empty.value.code == "query_empty"
    assert isinstance(empty.value.body, dict)
    assert empty.value.body["details"]["index"] == 1
    assert (
        client.embeddings.create(model="default", input="red", dimensions=contract.dimension, user="somebody").model
        == contract.model
    )


def test_an_overloaded_server_is_told_as_such(open_gateway: OpenGateway) -> None:
    """The only permit is taken by a caller whose body is still on its way."""
    gateway = open_gateway(max_in_flight=1, max_timeout_ms=1_000, default_timeout_ms=1_000)
    asked = []
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="anything", max_retries=0) as client:
        headers = {"Content-Type": "application/json"}
        slow = gateway.http.post("/v1/embeddings", content=_slow_body(asked, client), headers=headers)
        assert slow.json()["code"] == "json_malformed"
        assert client.embeddings.create(model="default", input="red").object == "list"
    assert [error.code for error in asked] == ["overloaded"]
    assert asked[0].response.headers["retry-after"] == "1"


def _slow_body(asked: "list[openai.InternalServerError]", client: openai.OpenAI) -> Iterator[bytes]:
    """The beginning of a body; before its end somebody else asks."""
    yield b'{"model": '
    with pytest.raises(openai.InternalServerError) as refused:
        client.embeddings.create(model="default", input="red")
    asked.append(refused.value)


def test_models_can_be_listed_and_fetched(client: openai.OpenAI, contract: ModelContract) -> None:
    (listed,) = client.models.list().data
    assert listed.id == contract.model
    assert client.models.retrieve(contract.model) == listed
    assert listed.model_extra is not None
    assert listed.model_extra["fingerprint"] == contract.fingerprint
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("somebody/elses")


async def test_the_asynchronous_client_works_too(gateway: RunningGateway, contract: ModelContract) -> None:
    async with openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="anything", max_retries=0) as client:
        answer = await client.embeddings.create(model="default", input=["red dress"])
    assert len(answer.data[0].embedding) == contract.dimension
