"""What is sent, and how particular answers are read. That a gateway takes and gives these is e2e's business."""

import json
import struct
from base64 import b64encode
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.clients import Asker
from tests.unit.client.conftest import ANSWER, Scripted, Seen, Step
from vitrine.client import ApiError, SearchAnswer, item, text

PIXEL = (Path(__file__).parents[2] / "data" / "images" / "rgb_one_pixel.png").read_bytes()


def _form(seen: Seen) -> dict[str, bytes]:
    head = f"Content-Type: {seen.headers['content-type']}\r\n\r\n".encode()
    parts = message_from_bytes(head + seen.body).get_payload()
    assert isinstance(parts, list)
    return {part.get_param("name", header="content-disposition"): part.get_payload(decode=True) for part in parts}


async def test_members_that_say_nothing_are_not_sent(server: Scripted, ask: Asker) -> None:
    await ask("search", "products", "x", limit=None, cursor=None, filter=None, facets=[], offset=0, with_vectors=False)
    assert server.seen[0].json() == {"query": "x", "facets": [], "offset": 0, "with_vectors": False}


async def test_an_upload_carries_the_members_of_a_search_as_text(server: Scripted, ask: Asker) -> None:
    await ask(
        "search_image",
        "products",
        PIXEL,
        query=["red", item("1", -0.5)],
        weight=2,
        limit=3,
        min_score=0.25,
        group_by="group",
        facets=["colour", "price"],
        params={"ef": 64, "nprobe": 8},
        filter={"field": "price", "op": "lt", "value": 5},
        with_vectors=True,
        cursor=None,
    )
    assert server.seen[0].path == "/v1/collections/products/search/image"
    form = _form(server.seen[0])
    assert form.pop("image") == PIXEL
    assert {name: value.decode() for name, value in form.items()} == {
        "query": '[{"text": "red"}, {"id": "1", "weight": -0.5}]',
        "weight": "2",
        "limit": "3",
        "min_score": "0.25",
        "group_by": "group",
        "facets": "colour,price",
        "params": "ef:64,nprobe:8",
        "filter": '{"field": "price", "op": "lt", "value": 5}',
        "with_vectors": "true",
    }


async def test_an_upload_leaves_out_what_a_form_cannot_say(server: Scripted, ask: Asker) -> None:
    await ask("search_image", "products", PIXEL, facets=[], params={}, filter="colour:red", with_vectors=False)
    form = _form(server.seen[0])
    assert form.keys() == {"image", "filter", "with_vectors"}
    assert (form["filter"], form["with_vectors"]) == (b"colour:red", b"false")


@pytest.mark.parametrize("query", ["[sale] dress", "plain", text("plain")])
async def test_a_text_beside_an_upload_is_never_taken_for_a_list(server: Scripted, ask: Asker, query: Any) -> None:
    await ask("search_image", "products", PIXEL, query=query)
    (part,) = json.loads(_form(server.seen[0])["query"])
    assert part["text"] == (query if isinstance(query, str) else query.text)


async def test_an_upload_is_repeated_whole(server: Scripted, ask: Asker) -> None:
    server.answers(Step(503, b"{}"), server.steps[0])
    await ask("search_image", "products", PIXEL)
    assert [_form(seen)["image"] for seen in server.seen] == [PIXEL, PIXEL]


async def test_each_of_several_searches_has_its_answer_or_its_error(server: Scripted, ask: Asker) -> None:
    found = {"status": 200} | {name: ANSWER[name] for name in ("hits", "collection", "model")}
    refused = {"status": 404, "code": "collection_not_found", "detail": "None.", "request_id": "r", "details": {"a": 1}}
    server.answers_json({"results": [found, refused], "took_ms": {"total": 2.5}, "request_id": "r-9"})
    searches = [
        {"collection": "products", "query": [text("x"), "y"], "limit": 3, "filter": None},
        {"collection": "absent", "query": "x"},
    ]
    answer, error = await ask("multi_search", searches, timeout_ms=900)
    assert isinstance(answer, SearchAnswer)
    assert (answer.hits[0].id, answer.took_ms, answer.request_id) == ("1", {"total": 2.5}, "r-9")
    assert isinstance(error, ApiError)
    assert (error.status, error.code, error.details) == (404, "collection_not_found", {"a": 1})
    assert server.seen[0].json() == {
        "searches": [
            {"collection": "products", "query": [{"text": "x", "weight": 1.0}, {"text": "y"}], "limit": 3},
            {"collection": "absent", "query": "x"},
        ],
        "timeout_ms": 900,
    }


async def test_embeddings_come_in_the_order_of_their_inputs_and_bit_by_bit(server: Scripted, ask: Asker) -> None:
    vectors = [(0.1, -2.5, 3e-8), (1.0, 0.0, -0.0)]
    data = [{"index": index, "embedding": b64encode(struct.pack("<3f", *vectors[index])).decode()} for index in (1, 0)]
    usage = {"prompt_tokens": 7, "total_tokens": 7}
    server.answers_json({"data": data, "model": "m", "usage": usage, "warnings": ["query_truncated"]})
    found = await ask("embed", ["red", PIXEL], model="m", timeout_ms=300)
    assert [struct.pack("<3f", *vector) for vector in found.vectors] == [struct.pack("<3f", *one) for one in vectors]
    assert (found.model, found.prompt_tokens, found.warnings) == ("m", 7, ("query_truncated",))
    sent = server.seen[0]
    url = f"data:image/png;base64,{b64encode(PIXEL).decode()}"
    assert sent.json() == {"input": ["red", url], "model": "m", "encoding_format": "base64"}
    assert sent.headers["x-timeout-ms"] == "300"


async def test_a_picture_to_store_travels_as_a_data_url(server: Scripted, ask: Asker) -> None:
    stored = {"id": "1", "created": True, "collection": "products_v1"}
    server.answers_json(stored, 201)
    item = await ask("put_item", "products", "1", image=PIXEL, title="Top", fields={"colour": None}, group=None)
    assert (item.created, item.collection) == (True, "products_v1")
    url = f"data:image/png;base64,{b64encode(PIXEL).decode()}"
    assert server.seen[0].json() == {"image": url, "title": "Top", "fields": {"colour": None}}
    assert server.seen[0].method == "PUT"


async def test_several_writes_say_what_became_of_each(server: Scripted, ask: Asker) -> None:
    refusal = {"id": None, "status": 422, "code": "invalid_input", "detail": "No picture.", "title": "No", "type": "u"}
    results = [{"id": "1", "status": 201}, refusal]
    counts = {"read": 2, "written": 1, "rejected": 1}
    server.answers_json({"collection": "products_v1", **counts, "results": results, "took_ms": {}, "request_id": "r"})
    done = await ask("put_items", "products", [{"id": "1", "image": PIXEL}, {"id": "2"}], timeout_ms=5000)
    assert (done.read, done.written, done.rejected) == (2, 1, 1)
    (refused,) = done.refused
    assert (refused.id, refused.code) == (None, "invalid_input")
    sent = server.seen[0].json()["items"]
    assert [one["id"] for one in sent] == ["1", "2"]
    assert sent[0]["image"].startswith("data:image/png;base64,")


async def test_deleting_what_is_not_there_is_no_error_but_another_404_is(server: Scripted, ask: Asker) -> None:
    server.answers_json({"code": "item_not_found", "detail": "None."}, 404)
    assert await ask("delete_item", "products", "1") is False
    server.answers_json({"code": "collection_not_found", "detail": "None."}, 404)
    with pytest.raises(ApiError, match="None"):
        await ask("delete_item", "products", "1")
