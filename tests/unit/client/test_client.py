"""Both clients against answers that a gateway gives, and against some that none gives."""

import gzip
import inspect
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fixtures.clients import Asker
from tests.unit.client.conftest import ANSWER, OpenClient, Scripted, Step
from vitrine.client import ApiError, AsyncClient, Client, GatewayUnreachable
from vitrine.errors import InvalidInput, TextMalformed

PROBLEM = {
    "code": "limit_exceeded",
    "detail": "An answer holds 250 hits at most.",
    "request_id": "r-1",
    "details": {"field": "limit", "maximum": 250},
}
KEY = "vitrine_shop_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"


def _public(kind: type) -> dict[str, Any]:
    return {name: member for name, member in vars(kind).items() if not name.startswith("_")}


def test_the_two_clients_have_the_same_methods_with_the_same_arguments() -> None:
    blocking, awaited = _public(Client), _public(AsyncClient)
    assert blocking.keys() == awaited.keys()
    for name, method in blocking.items():
        ours, theirs = inspect.signature(method), inspect.signature(awaited[name])
        assert ours.parameters == theirs.parameters, name
        assert inspect.iscoroutinefunction(awaited[name]) or inspect.isasyncgenfunction(awaited[name]), name


async def test_a_problem_document_becomes_an_error_with_its_code_and_figures(server: Scripted, ask: Asker) -> None:
    server.answers_json(PROBLEM, 422)
    with pytest.raises(ApiError, match="250 hits at most") as caught:
        await ask("search", "products", "x", limit=1000)
    error = caught.value
    assert (error.status, error.code, error.request_id) == (422, "limit_exceeded", "r-1")
    assert error.details == {"field": "limit", "maximum": 250}
    assert error.retry_after_s is None


@pytest.mark.parametrize("body", [b"<html>Bad gateway</html>", b"[]", b"{}", b"\xff", b"", b"null", b"[" * 100_000])
async def test_a_proxys_own_error_page_keeps_its_status(server: Scripted, ask: Asker, body: bytes) -> None:
    server.answers(Step(502, body, {"content-type": "text/html", "x-request-id": "proxy-7"}))
    with pytest.raises(ApiError) as caught:
        await ask("search", "products", "x")
    assert (caught.value.status, caught.value.code) == (502, "unexpected_answer")
    assert caught.value.request_id == "proxy-7"


@pytest.mark.parametrize("body", [b"<html>Log in</html>", b"", b"{}", b"[]", b'{"hits": 1}'])
@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("search", ("products", "x")),
        ("multi_search", ([{"collection": "products", "query": "x"}],)),
        ("embed", ("x",)),
        ("item", ("products", "1")),
        ("put_item", ("products", "1")),
        ("put_items", ("products", [{"id": "1"}])),
        ("delete_items", ("products", ["1"])),
        ("collections", ()),
        ("collection", ("products",)),
        ("load", ("products",)),
        ("limits", ()),
    ],
)
async def test_a_success_of_another_shape_is_an_error_and_no_crash(
    server: Scripted, ask: Asker, method: str, arguments: tuple[Any, ...], body: bytes
) -> None:
    server.answers(Step(200, body))
    with pytest.raises(ApiError) as caught:
        await ask(method, *arguments)
    assert (caught.value.status, caught.value.code) == (200, "unexpected_answer")


async def test_a_redirect_is_not_followed(server: Scripted, other_server: Scripted, ask: Asker) -> None:
    server.answers(Step(307, b"", {"location": other_server.url}))
    with pytest.raises(ApiError) as caught:
        await ask("search", "products", "x")
    assert (caught.value.status, caught.value.code) == (307, "unexpected_answer")
    assert other_server.seen == []


async def test_members_that_a_newer_server_adds_are_passed_over(server: Scripted, ask: Asker) -> None:
    hit = {"id": "1", "score": 0.5, "sponsored": True}
    server.answers_json({**ANSWER, "hits": [hit], "model": {**ANSWER["model"], "vendor": "x"}, "new": 1})
    assert (await ask("search", "products", "x")).hits[0].id == "1"


async def test_an_answer_cannot_be_changed(ask: Asker) -> None:
    answer = await ask("search", "products", "x")
    with pytest.raises(ValueError, match="frozen"):
        answer.collection = "other"


async def test_an_answer_that_swells_when_unpacked_is_cut_off(server: Scripted, ask: Asker) -> None:
    bomb = gzip.compress(bytes(65 * 1024 * 1024))
    assert len(bomb) < 100_000
    server.answers(Step(200, bomb, {"content-encoding": "gzip"}))
    with pytest.raises(ApiError, match="More than 67108864 bytes"):
        await ask("search", "products", "x")


async def test_names_and_ids_stay_one_segment_of_the_path(server: Scripted, ask: Asker) -> None:
    server.answers_json({"id": "x"})
    for item_id in ("a/b c", "..", ".", "a/../b", "?q=1", "#", "%2F", "漢"):
        await ask("item", "pro/ducts", item_id)
    assert [seen.path.removeprefix("/v1/collections/pro%2Fducts/items/") for seen in server.seen] == [
        "a%2Fb%20c",
        "%2E%2E",
        "%2E",
        "a%2F..%2Fb",
        "%3Fq%3D1",
        "%23",
        "%252F",
        "%E6%BC%A2",
    ]


async def test_half_a_surrogate_pair_in_an_id_is_refused_before_anything_is_sent(server: Scripted, ask: Asker) -> None:
    with pytest.raises(TextMalformed):
        await ask("item", "products", "\ud800")
    assert server.seen == []


async def test_what_only_the_server_can_judge_reaches_it(server: Scripted, ask: Asker) -> None:
    await ask("search", "products", "\ud800", min_score=float("nan"), limitt=3)
    assert server.seen[0].body == b'{"query":"\\ud800","min_score":NaN,"limitt":3}'


async def test_pages_hand_the_cursor_on_until_there_is_none(server: Scripted, ask: Asker) -> None:
    def page(number: int, cursor: str | None) -> Step:
        hits = [{"id": f"{number}-{n}", "score": 0.5} for n in range(2)]
        return Step(body=json.dumps({**ANSWER, "hits": hits, "next_cursor": cursor}).encode())

    server.answers(page(1, "c1"), page(2, "c2"), page(3, None))
    hits = await ask.all_of("walk", "products", "x", limit=2, group_by="group")
    assert [hit.id for hit in hits] == ["1-0", "1-1", "2-0", "2-1", "3-0", "3-1"]
    shared = {"query": "x", "limit": 2, "group_by": "group"}
    assert [seen.json() for seen in server.seen] == [
        shared,
        {**shared, "cursor": "c1"},
        {**shared, "cursor": "c2"},
    ]


async def test_a_walk_begins_where_a_cursor_says(server: Scripted, ask: Asker) -> None:
    assert len(await ask.all_of("pages", "products", "x", cursor="c7")) == 1
    assert server.seen[0].json()["cursor"] == "c7"


async def test_the_key_is_sent_as_a_bearer_token(server: Scripted, open_client: OpenClient) -> None:
    ask = await open_client(api_key=KEY)
    await ask("search", "products", "x")
    assert server.seen[0].headers["authorization"] == f"Bearer {KEY}"


async def test_the_key_is_not_sent_to_the_server_of_the_pictures(
    server: Scripted, other_server: Scripted, open_client: OpenClient
) -> None:
    ask = await open_client(api_key=KEY)
    for origin in (server, other_server):
        origin.answers(Step(body=b"picture"))
        assert await ask("picture", f"{origin.url}/media/1.jpg") == b"picture"
    assert await ask("picture", "/media/2.jpg") == b"picture"
    assert [seen.headers.get("authorization") for seen in server.seen] == [f"Bearer {KEY}"] * 2
    assert "authorization" not in other_server.seen[0].headers
    assert KEY not in str(other_server.seen)


async def test_the_key_is_in_no_error_and_in_no_repr(server: Scripted, open_client: OpenClient) -> None:
    ask = await open_client(api_key=KEY, retries=0, timeout_s=0.3)
    texts = [repr(ask.client), repr(vars(ask.client)), repr(vars(ask.client._endpoint))]
    for step in (Step(500, b"oops"), Step(401, json.dumps(PROBLEM).encode()), Step(breaks=True), Step(hangs=True)):
        server.answers(step)
        with pytest.raises((ApiError, GatewayUnreachable)) as caught:
            await ask("search", "products", "x")
        error: BaseException | None = caught.value
        while error is not None:
            texts += [str(error), repr(error), repr(vars(error))]
            error = error.__cause__ or error.__context__
    assert len(texts) > 8
    assert [text for text in texts if KEY in text] == []


@pytest.mark.parametrize("key", ["two\r\nlines", "with blank", "schlüssel", "\x00"])
async def test_a_key_that_no_header_can_hold_is_refused_without_being_told(open_client: OpenClient, key: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        await open_client(api_key=key)
    assert key not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("url", ["127.0.0.1:8080", "ftp://shop", "", "http://", "http://h:port", "/v1"])
async def test_an_address_that_is_none_is_refused_at_once(open_client: OpenClient, url: str) -> None:
    with pytest.raises(InvalidInput, match="no address of a gateway"):
        await open_client(url or " ")


@pytest.mark.parametrize(
    "url", ["http://shop:opensesame@127.0.0.1", "http://shop:opensesame@[", "http://opensesame@h:p"]
)
async def test_a_password_in_an_address_is_refused_without_being_told(open_client: OpenClient, url: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        await open_client(url)
    assert "opensesame" not in str(caught.value)


@pytest.mark.parametrize("options", [{"timeout_s": 0}, {"timeout_s": float("nan")}, {"retries": -1}, {"retries": 11}])
async def test_settings_without_a_bound_are_refused(open_client: OpenClient, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        await open_client(**options)


async def test_a_picture_at_no_address_is_refused(ask: Asker) -> None:
    with pytest.raises(InvalidInput, match="is no address"):
        await ask("picture", "http://h:port/1.jpg")
    with pytest.raises(GatewayUnreachable, match="unsupported protocol"):
        await ask("picture", "ftp://127.0.0.1/1.jpg")


async def test_the_server_of_a_picture_is_named_when_it_does_not_answer(open_client: OpenClient) -> None:
    ask = await open_client(retries=0)
    with pytest.raises(GatewayUnreachable, match=r"The server at http://127\.0\.0\.1:9 does not answer"):
        await ask("picture", "http://127.0.0.1:9/1.jpg")


async def test_a_proxy_of_the_environment_is_not_asked_for_loopback(
    server: Scripted, open_client: OpenClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    ask = await open_client()
    await ask("search", "products", "x")
    assert len(server.seen) == 1


def test_a_transport_of_ones_own_is_used(tmp_path: Path) -> None:
    transport = httpx.MockTransport(lambda request: httpx.Response(200, json=ANSWER))
    with Client("https://shop.example", transport=transport) as client:
        assert client.search("products", "x").collection == "products_v1"
