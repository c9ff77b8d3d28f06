"""Items over HTTP: what is sent, what is answered, and what is on the shelf afterwards."""

import base64
import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.fixtures.shop import jpeg
from tests.unit.gateway.conftest import HITS, Api, OpenApi
from vitrine.errors import DeadlineExceeded, EncoderUnavailable, VectorStoreUnavailable
from vitrine.gateway.auth.errors import RateLimited
from vitrine.gateway.context import RequestContext
from vitrine.gateway.schemas.items import BulkAnswer, BulkDeleteAnswer, ItemAnswer, ItemWritten
from vitrine.settings import Settings

ITEMS = "/v1/collections/products/items"
JSON = {"content-type": "application/json"}


def data_url(picture: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(picture).decode()


def body(**members: Any) -> dict[str, Any]:
    return {"image": data_url(jpeg(1)), **members}


async def put(api: Api, item_id: str, sent: Mapping[str, Any] | None = None) -> httpx.Response:
    return await api.client.put(f"{ITEMS}/{quote(item_id, safe='')}", json=sent or body())


def told(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["code"]


async def test_an_item_is_created_and_then_replaced(api: Api) -> None:
    sent = body(title="Dress", group="d1", image_path="images/1.jpg", fields={"colour": "red", "price": 5})
    first = await put(api, "p1", sent)
    assert first.status_code == 201, first.text
    answer = ItemWritten.model_validate_json(first.content, strict=True)
    assert answer.model_dump() == {
        "id": "p1",
        "title": "Dress",
        "group": "d1",
        "image_url": "/media/images/1.jpg",
        "metadata": {"colour": "red", "price": 5.0},
        "created": True,
        "collection": "products_v1",
        "request_id": first.headers["x-request-id"],
    }
    assert first.headers["location"] == f"{ITEMS}/p1"
    second = await put(api, "p1")
    assert second.status_code == 200
    assert "location" not in second.headers
    replaced = second.json()
    assert (replaced["created"], replaced["title"], replaced["metadata"]) == (False, "", {}), "nothing of it is left"
    assert api.shelf.items["p1"].item.title == ""


async def test_a_form_stores_what_the_json_stores(api: Api) -> None:
    form = await api.client.put(
        f"{ITEMS}/p1",
        files={"image": ("x.jpg", jpeg(1))},
        data={"title": "Dress", "group": "d1", "image_path": "a.jpg", "fields": '{"colour": "red", "price": 5}'},
    )
    assert form.status_code == 201, form.text
    by_form = api.shelf.items.pop("p1")
    sent = body(title="Dress", group="d1", image_path="a.jpg", fields={"colour": "red", "price": 5})
    assert (await put(api, "p1", sent)).status_code == 201
    assert by_form.item == api.shelf.items["p1"].item
    assert (by_form.vector == api.shelf.items["p1"].vector).all()


@pytest.mark.parametrize("item_id", ["a/b c", "é✓", "a//b", "100%", "?q=1#x", "delete", "...", "a/..b", "x" * 128])
async def test_ids_of_all_kinds_have_one_address(api: Api, item_id: str) -> None:
    created = await put(api, item_id)
    assert created.status_code == 201, created.text
    assert list(api.shelf.items) == [item_id]
    gone = await api.client.delete(created.headers["location"])
    assert (gone.status_code, gone.content) == (204, b"")
    assert api.shelf.items == {}


@pytest.mark.parametrize(
    "path", ["", "%00", "%0A", "a%7F", "%2E%2E", "a%2F%2E%2E%2Fb", "%FF", "x" * 129, "%C3%A9" * 65, "a%E2%80%8Bb"]
)
async def test_ids_that_no_item_can_have_are_refused(api: Api, path: str) -> None:
    response = await api.client.put(f"{ITEMS}/{path}", json=body())
    assert told(response) == (422, "invalid_input"), path
    assert api.shelf.upserts == []


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        ({}, 422, "invalid_input"),
        ({"title": "no picture"}, 422, "invalid_input"),
        ({"image": 5}, 422, "invalid_input"),
        ({"image": ""}, 422, "invalid_input"),
        ({"image": "picture.jpg"}, 422, "invalid_input"),
        ({"image": "https://pictures.example/1.jpg"}, 422, "image_url_refused"),
        ({"image": "http://169.254.169.254/latest"}, 422, "image_url_refused"),
        ({"image": "file:///etc/passwd"}, 422, "image_url_refused"),
        ({"image": "data:image/jpeg;base64,%%%"}, 422, "image_corrupt"),
        ({"image": data_url(b"<html></html>")}, 422, "image_unrecognised"),
        ({"image": data_url(b"%PDF-1.7 ...")}, 415, "image_format_unsupported"),
        ({"image": data_url(jpeg(1)[:300])}, 422, "image_corrupt"),
        ({"image_path": "a.jpg"}, 422, "invalid_input"),
        (body(image_path="../a.jpg"), 422, "invalid_input"),
        (body(image_path=5), 422, "invalid_input"),
        (body(title=None), 422, "invalid_input"),
        (body(title="é" * 300), 422, "limit_exceeded"),
        (body(title="x" * 513), 422, "invalid_input"),
        (body(title="a\0b"), 422, "invalid_input"),
        (body(fields=[]), 422, "invalid_input"),
        (body(fields={"colour": {}}), 422, "invalid_input"),
        (body(fields={"size": "M"}), 422, "invalid_input"),
        (body(fields={"price": "5"}), 422, "invalid_input"),
        (body(fields={"price": True}), 422, "invalid_input"),
        (body(fields={"price": 10**400}), 422, "invalid_input"),
        (body(fields={"colour": "a\0b"}), 422, "invalid_input"),
        (body(id="p2"), 422, "invalid_input"),
        (body(titel="x"), 422, "invalid_input"),
    ],
)
async def test_a_body_that_is_no_item_is_refused(api: Api, sent: Any, status: int, code: str) -> None:
    response = await put(api, "p1", sent or {"title": ""})
    assert told(response) == (status, code), response.text
    assert api.shelf.upserts == []


@pytest.mark.parametrize(
    ("content", "kind", "status", "code"),
    [
        (b"", "application/json", 400, "json_malformed"),
        (b"{", "application/json", 400, "json_malformed"),
        (b'{"fields":' * 5000, "application/json", 400, "json_malformed"),
        (rb'{"title":"\ud800"}', "application/json", 422, "text_malformed"),
        (b"[]", "application/json", 422, "invalid_input"),
        (b"{}", "text/plain", 415, "content_type_unsupported"),
        (b"{}", "", 415, "content_type_unsupported"),
        (b"{}", "multipart/form-data", 400, "form_malformed"),
        (b"--b--\r\n", "multipart/form-data; boundary=b", 422, "invalid_input"),
    ],
)
async def test_a_body_that_cannot_be_read_is_refused(
    api: Api, content: bytes, kind: str, status: int, code: str
) -> None:
    response = await api.client.put(f"{ITEMS}/p1", content=content, headers={"content-type": kind})
    assert told(response) == (status, code), response.text
    assert api.shelf.upserts == []


@pytest.mark.parametrize(
    ("data", "path"),
    [
        ({"fields": "{"}, "fields"),
        ({"fields": "[]"}, "fields"),
        ({"fields": '{"price": {}}'}, "fields"),
        ({"fields": '{"price": "5"}'}, "fields.price"),
        ({"fields": "[" * 100_000}, "fields"),
        ({"titel": "x"}, "titel"),
    ],
)
async def test_a_forms_bad_member_is_named(api: Api, data: dict[str, str], path: str) -> None:
    response = await api.client.put(f"{ITEMS}/p1", files={"image": jpeg(1)}, data=data)
    assert told(response) == (422, "invalid_input")
    assert response.json()["details"]["errors"][0]["path"].startswith(path)
    assert api.shelf.upserts == []


async def test_a_picture_of_the_servers_folder_is_stored(open_api: OpenApi, tmp_path: Path) -> None:
    (tmp_path / "1.jpg").write_bytes(jpeg(1))
    (tmp_path / "link.jpg").symlink_to(tmp_path / "1.jpg")
    api = await open_api(Settings.model_validate({"items": {"images_root": tmp_path}}))
    assert (await put(api, "p1", {"image_path": "1.jpg"})).status_code == 201
    assert told(await put(api, "p2", {"image_path": "2.jpg"})) == (422, "image_missing")
    assert told(await put(api, "p2", {"image_path": "link.jpg"})) == (422, "image_missing")
    assert told(await put(api, "p2", {"image_path": "../1.jpg"})) == (422, "invalid_input")
    assert list(api.shelf.items) == ["p1"]


async def test_a_file_over_the_limit_is_refused_however_it_comes(open_api: OpenApi, tmp_path: Path) -> None:
    (tmp_path / "1.jpg").write_bytes(b"x" * 2000)
    settings = Settings.model_validate({"items": {"images_root": tmp_path}, "images": {"max_bytes": 1024}})
    api = await open_api(settings)
    for sent in ({"image_path": "1.jpg"}, {"image": data_url(b"x" * 2000)}):
        assert told(await put(api, "p1", sent)) == (413, "image_too_large")
    form = await api.client.put(f"{ITEMS}/p1", files={"image": b"x" * 2000})
    assert told(form) == (413, "image_too_large")
    assert api.shelf.upserts == []


async def test_unknown_collections_are_not_found(api: Api) -> None:
    path = "/v1/collections/shoes/items"
    for response in (
        await api.client.put(f"{path}/p1", json=body()),
        await api.client.delete(f"{path}/p1"),
        await api.client.post(path, json={"items": [{"id": "p1"}]}),
        await api.client.post(f"{path}:delete", json={"ids": ["p1"]}),
    ):
        assert told(response) == (404, "collection_not_found")


async def test_other_methods_are_not_allowed(api: Api) -> None:
    for method, path in (("GET", ITEMS), ("DELETE", ITEMS), ("POST", f"{ITEMS}/p1"), ("PATCH", f"{ITEMS}/p1")):
        assert told(await api.client.request(method, path)) == (405, "method_not_allowed"), (method, path)


async def test_deleting_what_is_not_there_is_told(api: Api) -> None:
    api.shelf.put("p1")
    assert (await api.client.delete(f"{ITEMS}/p1")).status_code == 204
    again = await api.client.delete(f"{ITEMS}/p1")
    assert told(again) == (404, "item_not_found")
    assert again.json()["details"] == {"id": "p1"}


async def test_another_models_collection_is_refused(api: Api) -> None:
    api.shelf.collection = replace(api.shelf.collection, fingerprint="e" * 64)
    for response in (await put(api, "p1"), await api.client.post(ITEMS, json={"items": [body(id="p1")]})):
        assert told(response) == (503, "contract_mismatch")
        assert response.headers["retry-after"] == "1"
    assert api.shelf.upserts == []


@pytest.mark.parametrize("failure", [VectorStoreUnavailable("10.0.0.7:19530 is gone"), DeadlineExceeded("late")])
async def test_an_unacknowledged_write_says_that_it_may_have_happened(api: Api, failure: Exception) -> None:
    api.shelf.put("p1")
    api.shelf.failure = failure
    for response in (
        await put(api, "p1"),
        await api.client.delete(f"{ITEMS}/p1"),
        await api.client.post(ITEMS, json={"items": [body(id="p1")]}),
        await api.client.post(f"{ITEMS}:delete", json={"ids": ["p1"]}),
    ):
        assert told(response) == (503, "write_unconfirmed")
        assert response.headers["retry-after"] == "1"
        assert "safe" in response.json()["detail"]
        assert "10.0.0.7" not in response.text


async def test_a_failed_embedding_is_no_doubt_about_the_write(api: Api) -> None:
    api.shelf.encoder.failure = EncoderUnavailable("down")
    assert told(await put(api, "p1")) == (503, "encoder_unavailable")
    assert api.shelf.upserts == []


async def test_a_bulk_request_tells_what_became_of_each(api: Api) -> None:
    api.shelf.put("old")
    entries = [
        body(id="new", title="New"),
        body(id="old"),
        body(id="new"),
        body(id="wrong", fields={"price": "5"}),
        {"id": "bare"},
        {"id": 5},
        {},
        body(id="a\nb"),
        body(id="html", image=data_url(b"<html></html>")),
        body(id="pdf", image=data_url(b"%PDF-1.7 ...")),
        body(id="more", colour="red"),
    ]
    response = await api.client.post(ITEMS, json={"items": entries})
    assert response.status_code == 200, response.text
    answer = BulkAnswer.model_validate_json(response.content, strict=True)
    assert [(one.id, one.status, getattr(one, "code", None)) for one in answer.results] == [
        ("new", 201, None),
        ("old", 200, None),
        ("new", 422, "item_duplicate"),
        ("wrong", 422, "invalid_input"),
        ("bare", 422, "invalid_input"),
        (None, 422, "invalid_input"),
        (None, 422, "invalid_input"),
        ("a\nb", 422, "invalid_input"),
        ("html", 422, "image_unrecognised"),
        ("pdf", 415, "image_format_unsupported"),
        ("more", 422, "invalid_input"),
    ]
    assert (answer.read, answer.written, answer.rejected) == (11, 2, 9)
    assert answer.collection == "products_v1"
    assert api.shelf.upserts == [["new", "old"]]
    problem = response.json()["results"][3]
    assert problem["details"]["errors"][0]["path"] == "fields.price"
    assert problem["request_id"] == answer.request_id


async def test_a_bulk_request_in_which_all_is_wrong_writes_nothing(api: Api) -> None:
    response = await api.client.post(ITEMS, json={"items": [{}, {"id": "p1"}]})
    assert response.status_code == 200
    assert (response.json()["written"], response.json()["rejected"]) == (0, 2)
    assert api.shelf.upserts == []


@pytest.mark.parametrize(
    "sent", [{}, {"items": []}, {"items": {}}, {"items": [5]}, {"items": [body(id="a")], "x": 1}, []]
)
async def test_an_envelope_that_is_none_is_refused_as_a_whole(api: Api, sent: Any) -> None:
    assert told(await api.client.post(ITEMS, json=sent)) == (422, "invalid_input")
    assert api.shelf.upserts == []


async def test_bulk_requests_are_bounded(open_api: OpenApi) -> None:
    api = await open_api(Settings.model_validate({"items": {"max_bulk": 3}}))
    for path, sent in ((ITEMS, {"items": [{}] * 4}), (f"{ITEMS}:delete", {"ids": ["a"] * 4})):
        response = await api.client.post(path, json=sent)
        assert told(response) == (422, "limit_exceeded")
        assert (response.json()["details"]["minimum"], response.json()["details"]["maximum"]) == (1, 3)
    assert (await api.client.post(ITEMS, json={"items": [{}] * 3})).status_code == 200
    described = api.app.openapi()["components"]["schemas"]
    assert described["BulkBody"]["properties"]["items"]["maxItems"] == 3
    assert described["BulkDeleteBody"]["properties"]["ids"]["maxItems"] == 3


async def test_many_are_deleted_and_each_is_told(api: Api) -> None:
    api.shelf.put("p1")
    api.shelf.put("p2")
    response = await api.client.post(f"{ITEMS}:delete", json={"ids": ["p1", "nothing", "p2", "p1"]})
    answer = BulkDeleteAnswer.model_validate_json(response.content, strict=True)
    assert [(one.id, one.status) for one in answer.results] == [("p1", 204), ("nothing", 404), ("p2", 204), ("p1", 204)]
    assert (answer.read, answer.deleted, answer.rejected) == (4, 3, 1)
    assert response.json()["results"][1]["code"] == "item_not_found"
    assert api.shelf.items == {}


@pytest.mark.parametrize("sent", [{}, {"ids": []}, {"ids": "p1"}, {"ids": [5]}, {"ids": [""]}, {"ids": ["a\0"]}])
async def test_a_list_of_ids_that_is_none_deletes_nothing(api: Api, sent: Any) -> None:
    api.shelf.put("p1")
    assert told(await api.client.post(f"{ITEMS}:delete", json=sent)) == (422, "invalid_input")
    assert "p1" in api.shelf.items


async def test_many_cost_as_many(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    charged: list[int] = []
    monkeypatch.setattr(RequestContext, "charge", lambda self, requests: charged.append(requests))
    await api.client.post(ITEMS, json={"items": [{}] * 7})
    await api.client.post(f"{ITEMS}:delete", json={"ids": ["a"] * 5})
    await put(api, "p1")
    assert charged == [6, 4]


async def test_what_is_not_allowed_now_is_not_done(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: RequestContext, requests: int) -> None:
        raise RateLimited("slowly", retry_after_s=3)

    monkeypatch.setattr(RequestContext, "charge", refuse)
    api.shelf.put("p1")
    for path, sent in ((ITEMS, {"items": [body(id="p2")]}), (f"{ITEMS}:delete", {"ids": ["p1"]})):
        response = await api.client.post(path, json=sent)
        assert told(response) == (429, "rate_limited")
        assert response.headers["retry-after"] == "3"
    assert list(api.shelf.items) == ["p1"]


async def test_a_write_may_take_the_longest_time_unless_it_says_less(open_api: OpenApi) -> None:
    api = await open_api(max_timeout_ms=9_000, default_timeout_ms=1_000)
    left: list[float] = []
    decode = api.shelf.encoder.decode

    async def note(data: bytes, deadline: Any) -> Any:
        left.append(deadline.remaining())
        return await decode(data, deadline)

    api.shelf.encoder.decode = note
    await put(api, "p1")
    await api.client.put(f"{ITEMS}/p1", json=body(), headers={"X-Timeout-Ms": "500"})
    assert 8 < left[0] <= 9
    assert left[1] <= 0.5
    too_long = await api.client.put(f"{ITEMS}/p1", json=body(), headers={"X-Timeout-Ms": "9001"})
    assert told(too_long) == (422, "limit_exceeded")


async def test_the_log_counts_and_names_no_item(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    await api.client.post(ITEMS, json={"items": [body(id="secret-sku", title="secret title"), {}]})
    (line,) = [record for record in caplog.records if record.getMessage() == "request"]
    fields = json.dumps(line.__dict__, default=str)
    assert '"written": 1' in fields
    assert '"rejected": 1' in fields
    assert "secret" not in fields


async def test_an_item_is_read_and_not_sent_twice(api: Api) -> None:
    path = f"{ITEMS}/{HITS[0].id}"
    first = await api.client.get(path)
    assert ItemAnswer.model_validate_json(first.content, strict=True).title == "Strap top"
    assert first.headers["cache-control"] == "private, no-cache"
    assert "Authorization" in first.headers["vary"]
    again = await api.client.get(path, headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    api.searcher.hits = (replace(HITS[0], title="Changed"),)
    changed = await api.client.get(path, headers={"if-none-match": first.headers["etag"]})
    assert changed.status_code == 200
    assert changed.headers["etag"] != first.headers["etag"]


async def test_an_item_that_is_not_there(api: Api) -> None:
    for item_id in ("nothing", "é" * 100):
        assert told(await api.client.get(f"{ITEMS}/{quote(item_id)}")) == (404, "item_not_found")
