"""What the page is told before its first search."""

from dataclasses import replace

import pytest

from tests.unit.gateway.conftest import COLLECTION, Api, OpenApi
from vitrine.domain import Deadline, FieldSpec, FieldType
from vitrine.errors import CollectionNotReady, DeadlineExceeded, VectorStoreUnavailable
from vitrine.gateway.schemas.page import UiConfigAnswer
from vitrine.vectorstore.collection import CollectionInfo


async def test_the_page_learns_its_collections_fields(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    prose = FieldSpec("prose", FieldType.TEXT, filterable=False)
    described = replace(COLLECTION, fields=(*COLLECTION.fields, prose), group_name="product_code")

    async def resolve(name: str, deadline: Deadline) -> CollectionInfo:
        assert name == "products"
        return described

    monkeypatch.setattr(api.searcher, "resolve", resolve)
    response = await api.client.get("/v1/ui-config")
    answer = UiConfigAnswer.model_validate_json(response.content, strict=True)
    assert answer.model_dump().keys() == response.json().keys()
    assert [field.model_dump() for field in answer.fields] == [
        {"name": "colour", "type": "text", "filterable": True, "facetable": True},
        {"name": "price", "type": "number", "filterable": True, "facetable": False},
    ]
    assert (answer.group_name, answer.max_facets) == ("product_code", api.settings.search.max_facets)


async def test_without_its_collection_the_page_begins_all_the_same(open_api: OpenApi) -> None:
    api = await open_api(default_collection="nothing")
    response = await api.client.get("/v1/ui-config")
    assert response.status_code == 200
    assert (response.json()["fields"], response.json()["group_name"]) == ([], "")


@pytest.mark.parametrize(
    "failure", [VectorStoreUnavailable("gone"), CollectionNotReady("half-made"), DeadlineExceeded("late")]
)
async def test_without_milvus_the_page_begins_all_the_same(
    api: Api, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    async def resolve(name: str, deadline: Deadline) -> CollectionInfo:
        raise failure

    monkeypatch.setattr(api.searcher, "resolve", resolve)
    response = await api.client.get("/v1/ui-config")
    assert response.status_code == 200
    assert response.json()["fields"] == []
