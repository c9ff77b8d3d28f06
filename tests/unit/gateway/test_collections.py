"""Collections over HTTP: who sees which, and what loading and releasing answer."""

from dataclasses import replace

import httpx
import pytest

from tests.unit.gateway.conftest import Api
from vitrine.domain import FieldSpec, FieldType
from vitrine.errors import DeadlineExceeded, VectorStoreUnavailable
from vitrine.gateway.auth.principal import Principal, Scope
from vitrine.gateway.schemas.collections import CollectionAnswer, CollectionsAnswer, CollectionState, LoadAnswer

PATH = "/v1/collections"


def told(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["code"]


@pytest.fixture
def asked_by(monkeypatch: pytest.MonkeyPatch) -> list[Principal]:
    """Whoever is in this list asks, instead of anybody."""
    callers: list[Principal] = []
    monkeypatch.setattr("vitrine.gateway.routes.collections.caller_of", lambda request: callers[-1])
    return callers


async def test_a_collection_is_described_by_name_and_by_alias(api: Api) -> None:
    api.shelf.collection = replace(
        api.shelf.collection,
        group_name="product_code",
        fields=(FieldSpec("colour", FieldType.TEXT, max_bytes=64), FieldSpec("price", FieldType.NUMBER)),
    )
    by_name = await api.client.get(f"{PATH}/products_v1")
    assert by_name.json() == (await api.client.get(f"{PATH}/products")).json()
    answer = CollectionAnswer.model_validate_json(by_name.content)
    assert answer.model_dump().keys() == by_name.json().keys()
    assert (answer.name, answer.aliases, answer.state, answer.progress) == ("products_v1", ["products"], "loaded", 1.0)
    assert answer.group_name == "product_code"
    assert answer.index.search_params == {"ef": 64}
    assert [(field.name, field.max_bytes) for field in answer.fields] == [("colour", 64), ("price", None)]


async def test_the_list_leaves_out_half_made_collections(api: Api) -> None:
    response = await api.client.get(PATH)
    answer = CollectionsAnswer.model_validate_json(response.content)
    assert [collection.name for collection in answer.collections] == ["products_v1"]
    api.shelf.collection = replace(api.shelf.collection, build_id="")
    assert (await api.client.get(PATH)).json() == {"collections": []}


async def test_releasing_and_loading_are_told_and_seen(api: Api) -> None:
    released = await api.client.post(f"{PATH}/products_v1/release")
    assert released.status_code == 200
    assert released.json() == {"name": "products_v1", "state": "released", "progress": 0.0}
    described = (await api.client.get(f"{PATH}/products")).json()
    assert (described["loaded"], described["state"]) == (False, "released")
    loaded = await api.client.post(f"{PATH}/products_v1/load")
    assert LoadAnswer.model_validate_json(loaded.content).state is CollectionState.LOADED
    assert loaded.status_code == 200
    assert api.shelf.orders == ["release products_v1", "load products_v1"]
    assert (await api.client.get(PATH)).json()["collections"][0]["loaded"]


async def test_a_load_that_takes_a_moment_is_waited_for(api: Api) -> None:
    api.shelf.collection = replace(api.shelf.collection, loaded=False)
    api.shelf.loads_after = 3
    assert (await api.client.post(f"{PATH}/products_v1/load")).status_code == 200


async def test_a_load_that_takes_long_goes_on_without_the_request(api: Api) -> None:
    api.shelf.collection = replace(api.shelf.collection, loaded=False)
    api.shelf.loads_after = None
    response = await api.client.post(f"{PATH}/products_v1/load", headers={"X-Timeout-Ms": "350"})
    assert response.status_code == 202
    assert response.json() == {"name": "products_v1", "state": "loading", "progress": 0.5}
    assert response.headers["retry-after"] == "1"
    described = (await api.client.get(f"{PATH}/products_v1")).json()
    assert (described["state"], described["progress"], described["loaded"]) == ("loading", 0.5, False)


@pytest.mark.parametrize("verb", ["load", "release"])
async def test_an_alias_cannot_be_loaded_or_released(api: Api, verb: str) -> None:
    response = await api.client.post(f"{PATH}/products/{verb}")
    assert told(response) == (422, "invalid_input")
    assert response.json()["details"] == {"collection": "products_v1"}
    assert api.shelf.orders == []


@pytest.mark.parametrize("verb", ["load", "release"])
async def test_a_half_made_or_unknown_collection_cannot_be_loaded_or_released(api: Api, verb: str) -> None:
    assert told(await api.client.post(f"{PATH}/shoes/{verb}")) == (404, "collection_not_found")
    api.shelf.collection = replace(api.shelf.collection, build_id="")
    assert told(await api.client.post(f"{PATH}/products_v1/{verb}")) == (503, "collection_not_ready")
    assert api.shelf.orders == []


@pytest.mark.parametrize("verb", ["load", "release"])
@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (VectorStoreUnavailable("10.0.0.7 is gone"), (503, "vector_store_unavailable")),
        (DeadlineExceeded("late"), (504, "deadline_exceeded")),
    ],
)
async def test_milvus_does_not_take_the_order(
    api: Api, verb: str, failure: Exception, expected: tuple[int, str]
) -> None:
    api.shelf.failure = failure
    response = await api.client.post(f"{PATH}/products_v1/{verb}")
    assert told(response) == expected
    assert "10.0.0.7" not in response.text


@pytest.mark.parametrize("verb", ["load", "release"])
async def test_searches_ask_anew_after_a_change(api: Api, monkeypatch: pytest.MonkeyPatch, verb: str) -> None:
    forgotten: list[object] = []
    monkeypatch.setattr(type(api.searcher), "invalidate", lambda self, name=None: forgotten.append(name))
    await api.client.post(f"{PATH}/products_v1/{verb}")
    assert forgotten == [None]


@pytest.mark.parametrize("collections", [frozenset({"products"}), frozenset({"products_v1"}), None])
async def test_a_collection_is_seen_by_its_name_and_by_its_aliases(
    api: Api, asked_by: list[Principal], collections: frozenset[str] | None
) -> None:
    asked_by.append(Principal("shop", frozenset({Scope.ADMIN}), collections))
    assert [each["name"] for each in (await api.client.get(PATH)).json()["collections"]] == ["products_v1"]
    for name in ("products", "products_v1"):
        assert (await api.client.get(f"{PATH}/{name}")).status_code == 200
    assert (await api.client.post(f"{PATH}/products_v1/release")).status_code == 200


async def test_somebody_elses_collection_is_as_good_as_none(api: Api, asked_by: list[Principal]) -> None:
    asked_by.append(Principal("other", frozenset({Scope.ADMIN}), frozenset({"shoes"})))
    assert (await api.client.get(PATH)).json() == {"collections": []}
    for method, path in (
        ("GET", "{}"),
        ("POST", "{}/load"),
        ("POST", "{}/release"),
    ):
        hidden = await api.client.request(method, f"{PATH}/{path.format('products_v1')}")
        absent = await api.client.request(method, f"{PATH}/{path.format('nothing')}")
        assert told(hidden) == told(absent) == (404, "collection_not_found")
        assert hidden.json()["detail"].replace("products_v1", "nothing") == absent.json()["detail"]
        assert hidden.json()["details"].keys() == absent.json()["details"].keys()
    assert api.shelf.orders == []


async def test_aliases_of_others_are_not_told(api: Api, asked_by: list[Principal]) -> None:
    api.shelf.collection = replace(api.shelf.collection, aliases=("products", "secret_plan"))
    asked_by.append(Principal("shop", frozenset({Scope.ADMIN}), frozenset({"products"})))
    assert "secret_plan" not in (await api.client.get(PATH)).text
    assert (await api.client.get(f"{PATH}/products")).json()["aliases"] == ["products"]
