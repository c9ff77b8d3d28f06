"""Both Python clients against a real gateway: every method, and what the gateway does with it."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from tests.e2e.conftest import COLOURS, PRODUCTS, OpenGateway
from tests.e2e.test_cli import vitrine
from tests.fixtures.clients import KINDS, Asker, open_asker
from tests.fixtures.indexing import Indexing
from tests.fixtures.serving import RunningGateway
from tests.fixtures.shop import Shop, jpeg
from tests.fixtures.stack import RunningStack
from vitrine.client import ApiError, SearchAnswer, image, item, text

OWN = "client_products"
OWN_PRODUCTS = tuple(f"{208775000 + n:010d}" for n in range(8))
VISIBLE_WITHIN_S = 10.0


@pytest.fixture(params=KINDS)
async def ask(request: pytest.FixtureRequest, gateway: RunningGateway) -> AsyncIterator[Asker]:
    """A client of the gateway that all tests share; every test runs once for each kind."""
    async with open_asker(request.param, gateway.url) as asker:
        yield asker


@pytest.fixture(scope="module")
def own(stack: RunningStack, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The alias of a small collection that these tests may change."""
    shop = Shop(tmp_path_factory.mktemp("client_shop"))
    for n, product in enumerate(OWN_PRODUCTS):
        shop.add(product, colour_group_name=COLOURS[n % 3])
    Indexing(stack.settings, tmp_path_factory.mktemp("client_indexing")).index(shop.write(), OWN)
    return OWN


def _ids(answer: SearchAnswer) -> list[str]:
    return [hit.id for hit in answer.hits]


async def test_every_member_of_a_search_arrives(ask: Asker) -> None:
    plain = await ask("search", "products", "red dress", limit=60)
    scores = [hit.score for hit in plain.hits]
    middle = (scores[9] + scores[10]) / 2
    answer = await ask(
        "search",
        "products",
        "red dress",
        limit=5,
        filter={"field": "colour_group_name", "op": "in", "value": ["Red", "Blue"]},
        min_score=-0.5,
        relative_cut=middle / scores[0],
        group_by="colour_group_name",
        facets=["colour_group_name"],
        params={"ef": 64},
        with_vectors=True,
        timeout_ms=5000,
    )
    assert middle > 0
    wanted = [hit for hit in plain.hits[:10] if hit.metadata["colour_group_name"] != COLOURS[2]]
    assert answer.hits[0].id == wanted[0].id
    assert sorted(hit.metadata["colour_group_name"] for hit in answer.hits) == ["Blue", "Red"]
    assert [hit.siblings for hit in answer.hits] == [19, 19]
    assert len(answer.hits[0].vector) == 512
    assert math.hypot(*answer.hits[0].vector) == pytest.approx(1, abs=1e-5)
    counts = {one.value: one.count for one in answer.facets["colour_group_name"].values}
    assert counts.keys() == {"Red", "Blue"}
    assert sum(counts.values()) == answer.facets_over == len(wanted)
    assert answer.took_ms["total"] > 0
    assert answer.request_id


async def test_a_filter_may_be_a_text(ask: Asker) -> None:
    answer = await ask("search", "products", "dress", filter="colour_group_name:Red AND id>0108775030", limit=60)
    assert sorted(_ids(answer)) == [product for n, product in enumerate(PRODUCTS) if n % 3 == 0 and n > 30]


async def test_parts_of_every_kind_make_one_query(ask: Asker, shop: Path) -> None:
    picture = shop / "images" / PRODUCTS[7][:3] / f"{PRODUCTS[7]}.jpg"
    for sent in (picture, picture.read_bytes(), str(picture)):
        assert _ids(await ask("search", "products", image(sent), limit=1)) == [PRODUCTS[7]]
    parts = [
        image(picture),
        text("red", weight=0.01),
        item(PRODUCTS[7], weight=0.5),
        {"text": "dress", "weight": -0.01},
    ]
    answer = await ask("search", "products", parts, limit=60)
    assert PRODUCTS[7] not in _ids(answer)
    assert len(answer.hits) == 59


async def test_an_upload_finds_what_a_data_url_finds(ask: Asker, shop: Path) -> None:
    picture = (shop / "images" / PRODUCTS[9][:3] / f"{PRODUCTS[9]}.jpg").read_bytes()
    options = {"limit": 7, "filter": {"field": "colour_group_name", "op": "eq", "value": COLOURS[2]}}
    options |= {"facets": ["colour_group_name"], "params": {"ef": 64}, "with_vectors": True, "group_by": "group"}
    query = [image(picture, 2), text("red", 0.5), item(PRODUCTS[9], -0.1)]
    sent = await ask("search", "products", query, **options)
    uploaded = await ask("search_image", "products", picture, query=query[1:], weight=2, **options)
    assert _ids(uploaded) == _ids(sent)
    assert (uploaded.facets, uploaded.hits[0].vector) == (sent.facets, sent.hits[0].vector)


async def test_a_walk_gives_every_product_once_and_in_order(ask: Asker) -> None:
    ranking = _ids(await ask("search", "products", "red dress", limit=60))
    pages = await ask.all_of("pages", "products", "red dress", limit=17)
    assert [len(page.hits) for page in pages][:3] == [17, 17, 17]
    assert [hit.id for page in pages for hit in page.hits] == ranking
    assert sorted(ranking) == list(PRODUCTS)
    assert [hit.id for hit in await ask.all_of("walk", "products", "red dress", limit=25)] == ranking


async def test_a_walk_can_be_left_and_gone_on_with(ask: Asker) -> None:
    first = await ask("search", "products", "red dress", limit=20)
    rest = await ask.all_of("walk", "products", "red dress", limit=20, cursor=first.next_cursor)
    assert {hit.id for hit in rest} == set(PRODUCTS) - set(_ids(first))


async def test_a_grouped_walk_gives_every_group_once(ask: Asker, own: str) -> None:
    groups = [hit.group for hit in await ask.all_of("walk", own, "red dress", limit=3, group_by="colour_group_name")]
    colours = [
        hit.metadata["colour_group_name"]
        for hit in await ask.all_of("walk", own, "red dress", limit=2, group_by="colour_group_name")
    ]
    assert len(groups) == len(colours) == 3
    assert set(colours) == set(COLOURS)


async def test_several_searches_each_have_their_own_end(ask: Asker) -> None:
    searches = [
        {"collection": "products", "query": "red dress", "limit": 4},
        {"collection": "absent", "query": "red dress"},
        {"collection": "products", "query": [item(PRODUCTS[0])], "limit": 2, "offset": 1},
        {"collection": "products", "query": "x", "limit": 0},
    ]
    dress, absent, like, none = await ask("multi_search", searches, timeout_ms=5000)
    assert _ids(dress) == _ids(await ask("search", "products", "red dress", limit=4))
    assert _ids(like) == _ids(await ask("search", "products", item(PRODUCTS[0]), limit=3))[1:]
    assert (absent.status, absent.code) == (404, "collection_not_found")
    assert (none.status, none.code) == (422, "invalid_input")


async def test_embeddings_are_those_that_searches_use(ask: Asker, shop: Path) -> None:
    picture = shop / "images" / PRODUCTS[5][:3] / f"{PRODUCTS[5]}.jpg"
    found = await ask("embed", ["red dress", picture, picture.read_bytes()], timeout_ms=5000)
    assert [len(vector) for vector in found.vectors] == [512] * 3
    assert found.vectors[1] == found.vectors[2]
    assert found.prompt_tokens > 2
    hit = (await ask("search", "products", image(picture), limit=1, with_vectors=True)).hits[0]
    assert sum(a * b for a, b in zip(found.vectors[1], hit.vector, strict=True)) == pytest.approx(1, abs=1e-3)
    alone = await ask("embed", "red dress", model=found.model)
    assert alone.vectors[0] == pytest.approx(found.vectors[0], abs=1e-4)
    with pytest.raises(ApiError) as caught:
        await ask("embed", "red dress", model="another")
    assert (caught.value.status, caught.value.code) == (404, "model_not_found")


async def test_an_item_is_stored_replaced_and_deleted(ask: Asker, own: str) -> None:
    new = "sku/1 ä"
    stored = await ask("put_item", own, new, image=jpeg(1), title="Top", fields={"colour_group_name": "Green"})
    assert (stored.created, stored.id, stored.title) == (True, new, "Top")
    replaced = await ask("put_item", own, new, image=jpeg(2), title="Other top", group="g")
    assert (replaced.created, replaced.group, dict(replaced.metadata)) == (False, "g", {})
    assert await ask("delete_item", own, new) is True
    assert await ask("delete_item", own, new) is False

    async def is_gone() -> bool:
        try:
            await ask("item", own, new)
        except ApiError as error:
            return error.code == "item_not_found"
        return False

    await _eventually("the item cannot be read any more", is_gone)


async def test_several_items_are_stored_and_deleted_each_for_itself(ask: Asker, own: str) -> None:
    items = [
        {"id": "bulk-1", "image": jpeg(11), "title": "One"},
        {"id": "bulk-2", "image": b"<html>", "title": "Two"},
        {"id": "bulk-3", "image": jpeg(13), "fields": {"no_such_field": 1}},
        {"id": "bulk-4", "image": jpeg(14)},
    ]
    done = await ask("put_items", own, items, timeout_ms=10_000)
    assert (done.read, done.written, done.rejected) == (4, 2, 2)
    assert [outcome.status for outcome in done.results] == [201, 422, 422, 201]
    assert [(outcome.id, outcome.code) for outcome in done.refused] == [
        ("bulk-2", "image_unrecognised"),
        ("bulk-3", "invalid_input"),
    ]
    assert (await ask("put_items", own, items[:1])).results[0].status == 200
    gone = await ask("delete_items", own, ["bulk-1", "bulk-4", "bulk-9"])
    assert (gone.deleted, gone.rejected, gone.refused[0].code) == (2, 1, "item_not_found")


async def test_a_stored_item_is_found_by_searches(ask: Asker, own: str) -> None:
    picture = jpeg(77)
    await ask("put_item", own, "visible", image=picture, title="Visible")

    async def is_found() -> bool:
        (best,) = (await ask("search_image", own, picture, limit=1)).hits
        return (best.id, best.title) == ("visible", "Visible")

    await _eventually("the item is found", is_found)
    assert (await ask("item", own, "visible")).title == "Visible"
    assert await ask("delete_item", own, "visible") is True


async def test_an_item_can_be_read_with_what_it_is(ask: Asker, shop: Path) -> None:
    product = await ask("item", "products", PRODUCTS[3])
    assert (product.id, product.title) == (PRODUCTS[3], f"Product {PRODUCTS[3]}")
    assert product.metadata["colour_group_name"] == COLOURS[0]
    picture = shop / "images" / PRODUCTS[3][:3] / f"{PRODUCTS[3]}.jpg"
    assert await ask("picture", product.image_url) == picture.read_bytes()
    with pytest.raises(ApiError) as caught:
        await ask("item", "products", "absent")
    assert (caught.value.status, caught.value.code) == (404, "item_not_found")


async def test_collections_are_described(ask: Asker, own: str) -> None:
    described = await ask("collection", own)
    assert (described.aliases, described.dimension, described.state) == ((OWN,), 512, "loaded")
    assert described.group_name == "product_code"
    assert {"name": "colour_group_name", "type": "text"}.items() <= described.fields[3].model_dump().items()
    assert described.name in [one.name for one in await ask("collections")]


async def test_a_collection_can_be_released_and_loaded_again(ask: Asker, own: str) -> None:
    name = (await ask("collection", own)).name
    assert (await ask("release", name)).state == "released"
    with pytest.raises(ApiError) as caught:
        await ask("search", own, "red dress")
    assert (caught.value.status, caught.value.code) == (503, "collection_not_ready")
    loaded = await ask("load", name, timeout_ms=10_000)
    assert (loaded.name, loaded.state, loaded.progress) == (name, "loaded", 1.0)
    assert (await ask("search", own, "red dress")).hits


async def test_limits_are_those_that_are_enforced(ask: Asker) -> None:
    limits = await ask("limits")
    limit = limits["limit"]
    with pytest.raises(ApiError) as caught:
        await ask("search", "products", "x", limit=limit.value + 1)
    assert caught.value.code == limit.code
    assert caught.value.details["maximum"] == limit.value


async def test_readiness_names_its_checks(ask: Asker) -> None:
    readiness = await ask("ready")
    assert readiness.ready
    assert all(check.ok for check in readiness.checks)
    assert len(readiness.fingerprint) == 64


@pytest.mark.parametrize("kind", KINDS)
async def test_a_gateway_that_wants_a_key_is_given_it(
    kind: str, open_gateway: OpenGateway, shop: Path, tmp_path: Path
) -> None:
    keys = tmp_path / "keys.json"
    create = ("key", "create", "--id", "shop", "--scope", "search", "--collection", "products", "--file", keys)
    made = await asyncio.to_thread(vitrine, *create)
    assert made.returncode == 0, made.stderr
    secret = made.stdout.strip()
    gateway = open_gateway({"VITRINE_AUTH__MODE": "on", "VITRINE_AUTH__KEYS_FILE": str(keys)})
    other = secret[:-1] + ("B" if secret.endswith("A") else "A")
    for key, code in ((None, "unauthenticated"), (other, "unauthenticated"), (secret, None)):
        async with open_asker(kind, gateway.url, api_key=key) as ask:
            if code is None:
                assert (await ask("search", "products", "red dress")).hits
                with pytest.raises(ApiError) as refused:
                    await ask("put_item", "products", "x", image=jpeg(1))
                assert (refused.value.status, refused.value.code) == (403, "scope_missing")
            else:
                with pytest.raises(ApiError) as refused:
                    await ask("search", "products", "red dress")
                assert (refused.value.status, refused.value.code) == (401, code)
            assert secret not in f"{refused.value!r} {refused.value} {ask.client!r}"


async def _eventually(what: str, holds: Callable[[], Awaitable[bool]]) -> None:
    """Waits for what a write makes true; fails the test when that takes longer than is documented."""
    ends = time.monotonic() + VISIBLE_WITHIN_S
    while not await holds():
        assert time.monotonic() < ends, f"not within {VISIBLE_WITHIN_S} s: {what}"
        await asyncio.sleep(0.05)
