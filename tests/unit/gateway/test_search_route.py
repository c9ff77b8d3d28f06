import asyncio
import base64
import json
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.unit.gateway.conftest import COLLECTION, HITS, Api, OpenApi
from vitrine.domain import Deadline, Hit
from vitrine.errors import DeadlineExceeded, EncoderUnavailable, ImageUrlFailed, Overloaded
from vitrine.gateway.pictures import Pictures
from vitrine.gateway.schemas.collections import CollectionAnswer, CollectionsAnswer
from vitrine.gateway.schemas.items import ItemAnswer
from vitrine.gateway.schemas.page import UiConfigAnswer
from vitrine.gateway.schemas.search import HitAnswer, SearchAnswer
from vitrine.search.request import Facet, FacetCount, ImagePart, ItemPart, SearchRequest, TextPart
from vitrine.settings import Settings
from vitrine.vectorstore.filter_tree import All, Bare, Eq, FilterTree, Lt

PATH = "/v1/collections/products/search"
ASKED: dict[str, Any] = {"paged": True, "audience": "anybody"}
"""What every request is asked with that says nothing of it."""


async def test_an_answer_is_what_the_documentation_says(api: Api) -> None:
    response = await api.search({"query": "dress"})
    assert response.status_code == 200
    answer = SearchAnswer.model_validate_json(response.content, strict=True)
    assert response.headers["content-type"] == "application/json"
    assert answer.request_id == response.headers["x-request-id"]
    assert (answer.collection, answer.model.name, answer.degraded) == ("products_v1", "tiny", False)
    assert answer.warnings == ["query_truncated"]
    assert answer.hits[0] == HitAnswer(
        id="0108775015",
        score=0.8125,
        title="Strap top",
        group="0108775",
        image_url="/media/images/010/0108775015.jpg",
        metadata={"colour": "red", "price": 9.5},
    )
    assert answer.hits[1].image_url == "/media/images/a%20b.jpg"
    assert answer.took_ms.keys() == {"total", "embed"}
    assert 0 <= answer.took_ms["embed"] <= answer.took_ms["total"]
    assert "vector" not in response.json()["hits"][0]


async def test_no_member_of_an_answer_is_undocumented(api: Api) -> None:
    body = (await api.search({"query": "dress"})).json()
    assert body.keys() == SearchAnswer.model_fields.keys()
    assert body["hits"][0].keys() == HitAnswer.model_fields.keys() - {"vector", "siblings"}


async def test_stage_times_stand_in_a_header_too(api: Api) -> None:
    response = await api.search({"query": "dress"})
    took = response.json()["took_ms"]
    assert response.headers["server-timing"] == f"total;dur={took['total']}, embed;dur={took['embed']}"


async def test_vectors_come_only_when_asked_for(api: Api, unit_vector: np.ndarray) -> None:
    api.searcher.hits = (Hit("1", 1.0, "t", "", "", {}, unit_vector),)
    response = await api.search({"query": "dress", "with_vectors": True})
    assert response.json()["hits"][0]["vector"] == [1.0, 0.0, 0.0, 0.0]
    assert api.searcher.asked[-1].with_vectors


async def test_without_pictures_to_serve_no_address_is_given(open_api: OpenApi) -> None:
    api = await open_api()
    assert (await api.search({"query": "dress"})).json()["hits"][0]["image_url"] is None


async def test_pictures_of_a_cdn_are_addressed_there(open_api: OpenApi) -> None:
    api = await open_api(media_base_url="https://cdn.example/pics/")
    url = (await api.search({"query": "dress"})).json()["hits"][0]["image_url"]
    assert url == "https://cdn.example/pics/images/010/0108775015.jpg"


async def test_a_string_is_short_for_one_text(api: Api) -> None:
    await api.search({"query": "red dress"})
    assert api.searcher.asked == [SearchRequest("products", (TextPart("red dress", 1.0),), 20, **ASKED)]


async def test_every_member_arrives(api: Api) -> None:
    body = {
        "query": "red dress",
        "limit": 7,
        "offset": 14,
        "cursor": "c",
        "min_score": 0.2,
        "relative_cut": 0.5,
        "group_by": "group",
        "facets": ["colour", "price", "colour"],
        "params": {"ef": 80},
        "filter": {"field": "colour", "op": "eq", "value": "red"},
        "with_vectors": True,
    }
    assert (await api.search(body)).status_code == 200
    assert api.searcher.asked == [
        SearchRequest(
            collection="products",
            parts=(TextPart("red dress"),),
            limit=7,
            offset=14,
            params={"ef": 80},
            filter=Eq("colour", "red"),
            min_score=0.2,
            relative_cut=0.5,
            group_by="group",
            facets=("colour", "price"),
            cursor="c",
            paged=False,
            audience="anybody",
            with_vectors=True,
        )
    ]


@pytest.mark.parametrize(("offset", "paged"), [(0, True), (1, False)])
async def test_a_page_by_offset_begins_no_walk(api: Api, offset: int, paged: bool) -> None:
    await api.search({"query": "x", "offset": offset})
    await api.client.get(PATH, params={"q": "x", "offset": offset})
    assert [asked.paged for asked in api.searcher.asked] == [paged, paged]


async def test_groups_facets_and_the_next_page_are_told(api: Api) -> None:
    api.searcher.hits = (replace(HITS[0], siblings=3), replace(HITS[1], siblings=0))
    api.searcher.more = {
        "next_cursor": "n",
        "facets": (
            Facet("colour", (FacetCount("red", 2), FacetCount("blue", 1)), missing=1, others=4),
            Facet("price", (), missing=0, others=0),
        ),
        "facets_over": 8,
    }
    answer = (await api.search({"query": "x", "group_by": "group", "facets": ["colour", "price"]})).json()
    SearchAnswer.model_validate(answer, strict=True)
    assert [hit["siblings"] for hit in answer["hits"]] == [3, 0]
    assert (answer["next_cursor"], answer["facets_over"]) == ("n", 8)
    assert list(answer["facets"]) == ["colour", "price"]
    assert answer["facets"]["colour"] == {
        "values": [{"value": "red", "count": 2}, {"value": "blue", "count": 1}],
        "others": 4,
        "missing": 1,
    }


async def test_without_them_their_members_are_empty(api: Api) -> None:
    answer = (await api.search({"query": "x"})).json()
    assert (answer["next_cursor"], answer["facets"], answer["facets_over"]) == (None, {}, 0)


async def test_weighted_parts_of_all_three_kinds_arrive(api: Api) -> None:
    picture = base64.b64encode(b"\xff\xd8\xff picture").decode()
    response = await api.search(
        {
            "query": [
                {"text": "red dress"},
                {"image": f"data:image/jpeg;base64,{picture}", "weight": 0.5},
                {"id": "0108775015", "weight": -0.25},
            ]
        }
    )
    assert response.status_code == 200
    assert api.searcher.asked[0].parts == (
        TextPart("red dress", 1.0),
        ImagePart(b"\xff\xd8\xff picture", 0.5),
        ItemPart("0108775015", -0.25),
    )


@pytest.mark.parametrize(
    ("sent", "tree"),
    [
        ({"field": "colour", "op": "eq", "value": "red"}, Eq("colour", "red")),
        ("colour:red", Eq("colour", Bare("red"))),
        ('colour:"dark red" AND price<50', All((Eq("colour", "dark red"), Lt("price", Bare("50"))))),
    ],
)
async def test_a_filter_arrives_as_a_tree_whatever_its_form(api: Api, sent: object, tree: FilterTree) -> None:
    assert (await api.search({"query": "dress", "filter": sent})).status_code == 200
    written = sent if isinstance(sent, str) else json.dumps(sent)
    assert (await api.client.get(PATH, params={"q": "dress", "filter": written})).status_code == 200
    files = {"image": ("shirt.jpg", b"x")}
    assert (await api.client.post(f"{PATH}/image", files=files, data={"filter": written})).status_code == 200
    assert [asked.filter for asked in api.searcher.asked] == [tree] * 3


async def test_get_takes_a_text_a_product_or_both(api: Api) -> None:
    await api.client.get(PATH, params={"q": "dress", "limit": 3, "offset": 6, "min_score": 0.1})
    await api.client.get(PATH, params={"id": "0108775015"})
    await api.client.get(PATH, params={"q": "red", "id": "0108775015"})
    first, second, third = api.searcher.asked
    assert (first.parts, first.limit, first.offset, first.min_score) == ((TextPart("dress"),), 3, 6, 0.1)
    assert second.parts == (ItemPart("0108775015"),)
    assert third.parts == (TextPart("red"), ItemPart("0108775015"))


async def test_every_member_can_be_said_in_an_address(api: Api) -> None:
    params = {
        "q": "dress",
        "limit": 3,
        "cursor": "c",
        "filter": "colour:red",
        "group_by": "group",
        "facets": "colour,price",
        "min_score": -0.5,
        "relative_cut": "1e-1",
        "params": "ef:80,refine_k:2",
        "with_vectors": "true",
    }
    assert (await api.client.get(PATH, params=params)).status_code == 200
    assert api.searcher.asked == [
        SearchRequest(
            collection="products",
            parts=(TextPart("dress"),),
            limit=3,
            params={"ef": 80, "refine_k": 2},
            filter=Eq("colour", Bare("red")),
            min_score=-0.5,
            relative_cut=0.1,
            group_by="group",
            facets=("colour", "price"),
            cursor="c",
            with_vectors=True,
            **ASKED,
        )
    ]


async def test_further_parts_and_a_weight_stand_beside_an_uploaded_picture(api: Api) -> None:
    for query, further in [
        ("red", (TextPart("red"),)),
        (
            '[{"text":"red","weight":0.5},{"id":"0108775015","weight":-1},{"image":"data:image/gif;base64,R0lG"}]',
            (TextPart("red", 0.5), ItemPart("0108775015", -1), ImagePart(b"GIF")),
        ),
    ]:
        data = {"weight": "-0.25", "query": query, "facets": "colour", "group_by": "group", "with_vectors": "false"}
        response = await api.client.post(f"{PATH}/image", files={"image": ("shirt.jpg", b"picture")}, data=data)
        assert response.status_code == 200, response.text
        asked = api.searcher.asked[-1]
        assert asked.parts == (ImagePart(b"picture", -0.25), *further)
        assert (asked.facets, asked.group_by, asked.with_vectors) == (("colour",), "group", False)


async def test_pictures_of_one_query_are_fetched_at_the_same_time(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[str] = []
    all_begun = asyncio.Event()

    async def bytes_of(_: Pictures, sent: str, deadline: Deadline) -> bytes:
        begun.append(sent)
        if len(begun) == 3:
            all_begun.set()
        await all_begun.wait()
        return sent.encode()

    monkeypatch.setattr(Pictures, "bytes_of", bytes_of)
    query = [{"image": "a"}, {"text": "b"}, {"image": "c"}, {"image": "d"}]
    async with asyncio.timeout(5):
        assert (await api.search({"query": query})).status_code == 200
    assert api.searcher.asked[0].parts == (ImagePart(b"a"), TextPart("b"), ImagePart(b"c"), ImagePart(b"d"))


async def test_the_first_picture_that_fails_ends_the_others(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[str] = []

    async def bytes_of(_: Pictures, sent: str, deadline: Deadline) -> bytes:
        if sent == "bad":
            raise ImageUrlFailed("It gave no picture.")
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(sent)
        return b""

    monkeypatch.setattr(Pictures, "bytes_of", bytes_of)
    response = await api.search({"query": [{"image": "slow"}, {"image": "bad"}]})
    assert (response.status_code, response.json()["code"]) == (422, "image_url_failed")
    assert ended == ["slow"]


async def test_what_is_wrong_elsewhere_is_found_before_a_picture_is_fetched(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def bytes_of(_: Pictures, sent: str, deadline: Deadline) -> bytes:
        raise AssertionError("fetched")

    monkeypatch.setattr(Pictures, "bytes_of", bytes_of)
    for wrong, code in [({"limit": 251}, "limit_exceeded"), ({"filter": "colour"}, "filter_invalid")]:
        response = await api.search({"query": [{"image": "https://pictures.example/a.jpg"}], **wrong})
        assert (response.status_code, response.json()["code"]) == (422, code)


async def test_an_uploaded_picture_arrives_byte_for_byte(api: Api) -> None:
    picture = bytes(range(256)) * 9000
    response = await api.client.post(
        f"{PATH}/image",
        files={"image": ("shirt.jpg", picture, "image/jpeg")},
        data={"limit": "5", "min_score": "0.5", "filter": '{"field":"colour","op":"eq","value":"red"}'},
    )
    assert response.status_code == 200
    (asked,) = api.searcher.asked
    assert asked.parts == (ImagePart(picture, 1.0),)
    assert (asked.limit, asked.min_score, asked.filter) == (5, 0.5, Eq("colour", "red"))


@pytest.mark.parametrize(
    ("ways", "expected_ms"),
    [
        ({}, 2000),
        ({"header": "700"}, 700),
        ({"body": 300}, 300),
        ({"body": 300, "header": "700"}, 300),
    ],
)
async def test_the_deadline_comes_from_body_then_header_then_settings(
    api: Api, ways: dict[str, object], expected_ms: int
) -> None:
    headers = {"x-timeout-ms": str(ways["header"])} if "header" in ways else {}
    body = {"query": "x"} | ({"timeout_ms": ways["body"]} if "body" in ways else {})
    await api.search(body, **headers)
    assert expected_ms - 250 < api.searcher.deadlines[0] * 1000 <= expected_ms


async def test_the_deadline_of_a_get_is_a_parameter(api: Api) -> None:
    await api.client.get(PATH, params={"q": "x", "timeout_ms": 400}, headers={"x-timeout-ms": "900"})
    assert api.searcher.deadlines[0] <= 0.4


async def test_a_search_that_hangs_is_answered_504_in_time(api: Api) -> None:
    async def hang() -> None:
        await asyncio.Event().wait()

    api.searcher.before = hang
    began = time.monotonic()
    response = await api.search({"query": "x", "timeout_ms": 100})
    assert (response.status_code, response.json()["code"]) == (504, "deadline_exceeded")
    assert time.monotonic() - began < 1.1


async def test_a_dependency_that_is_down_is_answered_503(api: Api) -> None:
    api.searcher.failure = EncoderUnavailable("Triton is down.")
    response = await api.search({"query": "x"})
    assert (response.status_code, response.json()["code"]) == (503, "encoder_unavailable")
    assert response.headers["retry-after"] == "1"


async def test_items_and_collections_are_what_the_documentation_says(api: Api) -> None:
    item = await api.client.get("/v1/collections/products/items/0108775015")
    assert ItemAnswer.model_validate_json(item.content, strict=True).title == HITS[0].title
    odd = await api.client.get("/v1/collections/products/items/a%2Fb%20c")
    assert odd.json()["id"] == "a/b c"
    one = await api.client.get("/v1/collections/products")
    described = CollectionAnswer.model_validate_json(one.content)
    assert (described.name, described.created_at) == ("products_v1", COLLECTION.created_at)
    assert described.index.params["M"] == 16
    assert one.json().keys() == CollectionAnswer.model_fields.keys()
    every = await api.client.get("/v1/collections")
    assert CollectionsAnswer.model_validate_json(every.content).collections == [described]


async def test_what_is_not_there_is_404(api: Api) -> None:
    missing = await api.client.get("/v1/collections/products/items/nothing")
    assert (missing.status_code, missing.json()["code"]) == (404, "item_not_found")
    unknown = await api.client.get("/v1/collections/shoes")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "collection_not_found")


async def test_the_page_learns_what_it_needs(open_api: OpenApi) -> None:
    settings = Settings.model_validate({"gateway": {"default_collection": "shoes"}, "images": {"max_bytes": 4096}})
    api = await open_api(settings)
    config = UiConfigAnswer.model_validate_json((await api.client.get("/v1/ui-config")).content)
    assert (config.collection, config.max_image_bytes, config.max_limit) == ("shoes", 4096, 250)
    assert "floral top" in config.examples


async def test_a_search_is_counted_by_what_it_found(api: Api) -> None:
    value = api.metrics.registry.get_sample_value
    await api.search({"query": "dress"})
    assert value("vitrine_searches_total", {"outcome": "hits"}) == 1
    assert value("vitrine_search_top_score_bucket", {"le": "0.8"}) == 0
    assert value("vitrine_search_top_score_bucket", {"le": "0.9"}) == 1
    api.searcher.hits = ()
    await api.client.get("/v1/collections/products/search", params={"q": "coat"})
    assert value("vitrine_searches_total", {"outcome": "empty"}) == 1
    assert value("vitrine_search_top_score_count") == 1


@pytest.mark.parametrize("page", [{"offset": 20}, {"cursor": "abc"}])
async def test_a_further_page_says_nothing_of_what_a_search_finds(api: Api, page: dict[str, object]) -> None:
    assert (await api.search({"query": "dress", **page})).status_code == 200
    for outcome in ("hits", "empty"):
        assert api.metrics.registry.get_sample_value("vitrine_searches_total", {"outcome": outcome}) == 0


async def test_a_search_that_fails_found_nothing_and_left_its_time(api: Api) -> None:
    api.searcher.failure = DeadlineExceeded("Too late.")
    assert (await api.search({"query": "dress", "timeout_ms": 400})).status_code == 504
    value = api.metrics.registry.get_sample_value
    assert value("vitrine_searches_total", {"outcome": "hits"}) == 0
    for hop in ("accepted", "answered"):
        assert value("vitrine_deadline_left_seconds_bucket", {"hop": hop, "le": "0.5"}) == 1


async def test_what_triton_has_no_room_for_is_shed(api: Api) -> None:
    api.searcher.failure = Overloaded("Triton's queue is full.", reason="triton_queue")
    assert (await api.search({"query": "dress"})).status_code == 503
    value = api.metrics.registry.get_sample_value
    assert value("vitrine_http_shed_total", {"reason": "triton_queue"}) == 1
    assert value("vitrine_http_shed_total", {"reason": "in_flight"}) == 0
