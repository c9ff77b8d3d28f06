"""Searches by address say when what a cache keeps is still true."""

import time
from typing import Any

import pytest

from tests.unit.gateway.conftest import HITS, Api, OpenApi
from vitrine.search.request import Facet, FacetCount
from vitrine.settings import Settings

PATH = "/v1/collections/products/search"
PARAMS = {"q": "dress"}


async def test_the_same_answer_has_the_same_tag_and_a_new_id(api: Api) -> None:
    first, second = [await api.client.get(PATH, params=PARAMS) for _ in range(2)]
    assert first.headers["etag"] == second.headers["etag"]
    assert first.json()["request_id"] != second.json()["request_id"]
    assert first.headers["cache-control"] == "private, no-cache"
    assert first.headers["vary"] == "Authorization, X-API-Key"


async def test_who_has_the_answer_gets_no_body(api: Api) -> None:
    etag = (await api.client.get(PATH, params=PARAMS)).headers["etag"]
    for known in (etag, f'"x", {etag}', etag.removeprefix("W/"), "*"):
        again = await api.client.get(PATH, params=PARAMS, headers={"if-none-match": known})
        assert (again.status_code, again.content) == (304, b""), known
        assert again.headers["etag"] == etag
        assert again.headers["cache-control"] == "private, no-cache"
        assert "content-type" not in again.headers
    # It was searched for all the same: only the search knows.
    assert len(api.searcher.asked) == 5


@pytest.mark.parametrize("known", ['W/"0"', "", "W/", '"', "x" * 5_000, '""'])
async def test_who_has_another_answer_gets_this_one(api: Api, known: str) -> None:
    response = await api.client.get(PATH, params=PARAMS, headers={"if-none-match": known})
    assert response.status_code == 200
    assert response.json()["hits"]


@pytest.mark.parametrize(
    "more",
    [
        {"warnings": ()},
        {"collection": "products_v2"},
        {"hits": HITS[:1]},
        {"facets": (Facet("colour", (FacetCount("red", 2),), 0, 0),)},
        {"next_cursor": "n"},
    ],
)
async def test_another_answer_has_another_tag(api: Api, more: dict[str, Any]) -> None:
    before = (await api.client.get(PATH, params=PARAMS)).headers["etag"]
    api.searcher.more = more
    assert (await api.client.get(PATH, params=PARAMS)).headers["etag"] != before


async def test_a_cursor_that_differs_each_time_changes_no_tag(api: Api) -> None:
    tags = set()
    for cursor in "abc":
        api.searcher.more = {"next_cursor": cursor}
        response = await api.client.get(PATH, params=PARAMS)
        assert response.json()["next_cursor"] == cursor
        tags.add(response.headers["etag"])
    # Two at most: a half-life may end between them.
    assert len(tags) <= 2


async def test_no_cache_keeps_a_cursor_until_it_has_expired(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    api.searcher.more = {"next_cursor": "c"}
    now = 1_800_000_000.0
    tags = []
    for later_s in (0, 1_799, 1_800, 3_600):
        monkeypatch.setattr(time, "time", lambda later_s=later_s: now + later_s)
        tags.append((await api.client.get(PATH, params=PARAMS)).headers["etag"])
    assert tags[0] == tags[1]
    assert len({*tags[1:]}) == 3


@pytest.mark.parametrize(("max_age_s", "told"), [(60, "private, max-age=60"), (7_200, "private, max-age=1800")])
async def test_the_settings_say_how_long_an_answer_is_kept(open_api: OpenApi, max_age_s: int, told: str) -> None:
    api = await open_api(Settings.model_validate({"cache": {"answer_max_age_s": max_age_s}}))
    assert (await api.client.get(PATH, params=PARAMS)).headers["cache-control"] == told


async def test_a_search_by_post_is_kept_by_nobody(api: Api) -> None:
    response = await api.search({"query": "dress"})
    assert "etag" not in response.headers
