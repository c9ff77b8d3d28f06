"""Collections in and out of memory, over HTTP."""

import asyncio

from tests.e2e.writable import Writable
from tests.fixtures.serving import RunningGateway, eventually
from tests.fixtures.stack import RunningStack
from vitrine.gateway.schemas.collections import CollectionAnswer, LoadAnswer
from vitrine.vectorstore.admin import CollectionAdmin
from vitrine.vectorstore.connection import MilvusConnection

LOAD_S = 60.0


def test_a_released_collection_is_not_searched_and_a_loaded_one_is(
    gateway: RunningGateway, stack: RunningStack
) -> None:
    writable = Writable(stack.settings, "movable")
    assert writable.put(gateway, "p1", 1).status_code == 201
    eventually("it is found", lambda: gateway.ids("dress", alias="movable") == ["p1"], 5)

    released = gateway.http.post("/v1/collections/movable_v1/release")
    assert released.status_code == 200, released.text
    assert released.json()["state"] == "released"
    search = gateway.search("dress", alias="movable")
    assert (search.status_code, search.json()["code"]) == (503, "collection_not_ready")
    assert search.headers["retry-after"] == "1"
    for refused in (writable.put(gateway, "p2", 2), gateway.http.delete(f"{writable.path}/p1")):
        assert (refused.status_code, refused.json()["code"]) == (503, "collection_not_ready")
    assert _described(gateway).state == "released"
    assert gateway.http.post("/v1/collections/movable_v1/release").status_code == 200, "once more is no error"

    loaded = gateway.http.post("/v1/collections/movable_v1/load", headers={"X-Timeout-Ms": "10000"})
    assert loaded.status_code in {200, 202}, loaded.text
    assert LoadAnswer.model_validate_json(loaded.content).progress <= 1
    eventually("it is loaded", lambda: _described(gateway).state == "loaded", LOAD_S)
    assert gateway.http.post("/v1/collections/movable_v1/load").status_code == 200, "once more is no error"
    eventually("it is searched again", lambda: gateway.search("dress", alias="movable").status_code == 200, 5)
    assert gateway.ids("dress", alias="movable") == ["p1"]


def test_a_hurried_load_goes_on_by_itself(gateway: RunningGateway, stack: RunningStack) -> None:
    writable = Writable(stack.settings, "hurried")
    assert gateway.http.post("/v1/collections/hurried_v1/release").status_code == 200
    loading = gateway.http.post("/v1/collections/hurried_v1/load", headers={"X-Timeout-Ms": "250"})
    assert loading.status_code in {200, 202, 504}, loading.text
    if loading.status_code != 504:
        eventually("it is loaded", lambda: _described(gateway, "hurried").state == "loaded", LOAD_S)
        assert writable.put(gateway, "p1", 1).status_code == 201


def test_an_alias_is_described_and_not_loaded(gateway: RunningGateway, stack: RunningStack) -> None:
    Writable(stack.settings, "described")
    answer = _described(gateway, "described")
    assert (answer.name, answer.aliases, answer.group_name, answer.rows) == ("described_v1", ["described"], "design", 0)
    assert [(field.name, field.type) for field in answer.fields] == [
        ("colour", "text"),
        ("price", "number"),
        ("stock", "integer"),
        ("sale", "flag"),
    ]
    refused = gateway.http.post("/v1/collections/described/release")
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_input")
    assert _described(gateway, "described").loaded


def test_changed_search_defaults_are_shown_and_searched_with(gateway: RunningGateway, stack: RunningStack) -> None:
    before = _described(gateway, "products").index.search_params
    assert before == {"ef": 64}

    async def change(ef: int) -> None:
        async with await MilvusConnection.open(stack.settings.milvus) as connection:
            await CollectionAdmin(connection).set_search_defaults("products_v1", {"ef": ef})

    found = gateway.ids("dress", limit=10)
    try:
        asyncio.run(change(300))
        assert _described(gateway, "products").index.search_params == {"ef": 300}
        assert gateway.ids("dress", limit=10) == found, "sixty products are found with either"
        refused = gateway.search("dress", limit=10, params={"ef": 5})
        assert (refused.status_code, refused.json()["code"]) == (422, "limit_exceeded"), "what a search brings counts"
    finally:
        asyncio.run(change(64))


def test_the_page_is_told_the_fields_of_its_collection(gateway: RunningGateway) -> None:
    config = gateway.http.get("/v1/ui-config").json()
    assert {"name": "colour_group_name", "type": "text", "filterable": True, "facetable": True} in config["fields"]
    assert "detail_desc" not in {field["name"] for field in config["fields"]}
    assert config["group_name"] == "product_code"


def _described(gateway: RunningGateway, alias: str = "movable") -> CollectionAnswer:
    response = gateway.http.get(f"/v1/collections/{alias}")
    assert response.status_code == 200, response.text
    return CollectionAnswer.model_validate_json(response.content)
