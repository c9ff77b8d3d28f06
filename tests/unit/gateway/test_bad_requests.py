"""What is refused, with which status and code, and that nothing reaches the search."""

from typing import Any

import pytest

from tests.unit.gateway.conftest import Api

PATH = "/v1/collections/products/search"
JSON = {"content-type": "application/json"}
NESTED = b'{"query":"x","filter":' + b'{"not":' * 5000 + b"{}" + b"}" * 5000 + b"}"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "json_malformed"),
        (b'{"query"', 400, "json_malformed"),
        (b"query=dress", 400, "json_malformed"),
        (b'{"query":"\xff"}', 400, "json_malformed"),
        (b"[" * 100_000, 400, "json_malformed"),
        (NESTED, 400, "json_malformed"),
        (rb'{"query":"\ud800"}', 422, "text_malformed"),
        (rb'{"query":"\ud800A"}', 422, "text_malformed"),
        (rb'{"query":"\udc00"}', 422, "text_malformed"),
        (rb'{"query":"\ud8"}', 400, "json_malformed"),
        (b"[]", 422, "invalid_input"),
        (b"{}", 422, "invalid_input"),
        (b'{"query":5}', 422, "invalid_input"),
        (b'{"query":null}', 422, "invalid_input"),
        (b'{"query":[]}', 422, "invalid_input"),
        (b'{"query":[{"text":"a"},' + b'{"text":"a"},' * 16 + b'{"text":"a"}]}', 422, "invalid_input"),
        (b'{"query":[{}]}', 422, "invalid_input"),
        (b'{"query":["a"]}', 422, "invalid_input"),
        (b'{"query":[{"text":"a","id":"b"}]}', 422, "invalid_input"),
        (b'{"query":[{"id":""}]}', 422, "invalid_input"),
        (rb'{"query":[{"id":"a\u0000"}]}', 422, "invalid_input"),
        (b'{"query":[{"text":"a","weight":NaN}]}', 422, "invalid_input"),
        (b'{"query":[{"text":"a","weight":-Infinity}]}', 422, "invalid_input"),
        (b'{"query":[{"text":"a","weight":1e9}]}', 422, "invalid_input"),
        (b'{"query":"a","limit":0}', 422, "invalid_input"),
        (b'{"query":"a","limit":-1}', 422, "invalid_input"),
        (b'{"query":"a","limit":"ten"}', 422, "invalid_input"),
        (b'{"query":"a","limit":"10"}', 422, "invalid_input"),
        (b'{"query":"a","limit":1.5}', 422, "invalid_input"),
        (b'{"query":"a","limit":true}', 422, "invalid_input"),
        (b'{"query":"a","limit":null}', 422, "invalid_input"),
        (b'{"query":"a","limit":NaN}', 422, "invalid_input"),
        (b'{"query":"a","limit":1000000}', 422, "limit_exceeded"),
        (b'{"query":"a","limt":10}', 422, "invalid_input"),
        (b'{"query":"a","offset":-1}', 422, "invalid_input"),
        (b'{"query":"a","offset":16385}', 422, "invalid_input"),
        (b'{"query":"a","min_score":2}', 422, "invalid_input"),
        (b'{"query":"a","relative_cut":1.5}', 422, "invalid_input"),
        (b'{"query":"a","relative_cut":-0.5}', 422, "invalid_input"),
        (b'{"query":"a","cursor":""}', 422, "invalid_input"),
        (b'{"query":"a","cursor":"' + b"x" * 131_073 + b'"}', 422, "invalid_input"),
        (b'{"query":"a","group_by":"colour; drop"}', 422, "invalid_input"),
        (b'{"query":"a","group_by":["colour"]}', 422, "invalid_input"),
        (b'{"query":"a","facets":"colour"}', 422, "invalid_input"),
        (b'{"query":"a","facets":["colour\\" or 1==1"]}', 422, "invalid_input"),
        (b'{"query":"a","timeout_ms":0}', 422, "invalid_input"),
        (b'{"query":"a","timeout_ms":10001}', 422, "limit_exceeded"),
        (b'{"query":"a","params":{"ef\\" or 1==1":5}}', 422, "invalid_input"),
        (b'{"query":"a","filter":{"field":"colour"}}', 422, "filter_invalid"),
        (b'{"query":"a","filter":"colour == 1"}', 422, "filter_invalid"),
        (b'{"query":[{"image":"https://169.254.169.254/latest"}]}', 422, "image_url_refused"),
        (b'{"query":[{"image":"data:image/png;base64,%%%"}]}', 422, "image_corrupt"),
        (b'{"query":[{"image":"data:image/png;base64,AAA"}]}', 422, "image_corrupt"),
        (b'{"query":[{"image":"data:text/html;base64,AAAA"}]}', 415, "image_format_unsupported"),
        (b'{"query":[{"image":"data:;base64,AAAA"}]}', 415, "image_format_unsupported"),
    ],
)
async def test_a_json_search_is_refused(api: Api, body: bytes, status: int, code: str) -> None:
    response = await api.client.post(PATH, content=body, headers=JSON)
    problem = response.json()
    assert (response.status_code, problem["code"]) == (status, code), problem
    assert response.headers["content-type"] == "application/problem+json"
    assert problem["status"] == status
    assert problem["request_id"] == response.headers["x-request-id"]
    assert problem["detail"]
    assert api.searcher.asked == []


async def test_an_image_over_its_own_limit_is_refused_before_it_is_decoded(api: Api) -> None:
    url = "data:image/jpeg;base64," + "A" * (api.settings.images.max_bytes // 3 * 4 + 8)
    response = await api.search({"query": [{"image": url}]})
    assert (response.status_code, response.json()["code"]) == (413, "image_too_large")


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "x", ""])
async def test_a_body_of_another_type_is_refused(api: Api, kind: str) -> None:
    response = await api.client.post(PATH, content=b'{"query":"a"}', headers={"content-type": kind})
    assert (response.status_code, response.json()["code"]) == (415, "content_type_unsupported")


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "Application/JSON", "application/vnd.api+json"])
async def test_json_is_recognised_in_its_variants(api: Api, kind: str) -> None:
    response = await api.client.post(PATH, content=b'{"query":"a"}', headers={"content-type": kind})
    assert response.status_code == 200


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({}, "query_empty"),
        ({"q": "a", "limit": "0"}, "invalid_input"),
        ({"q": "a", "limit": "ten"}, "invalid_input"),
        ({"q": "a", "limit": "NaN"}, "invalid_input"),
        ({"q": "a", "limit": "1000000"}, "limit_exceeded"),
        ({"q": "a", "offset": "-1"}, "invalid_input"),
        ({"q": "a", "min_score": "nan"}, "invalid_input"),
        ({"q": "a", "timeout_ms": "20000"}, "limit_exceeded"),
        ({"q": "a", "limt": "5"}, "invalid_input"),
        ({"id": ""}, "invalid_input"),
        ({"id": "x" * 129}, "invalid_input"),
        ({"q": "a", "limit": "1_0"}, "invalid_input"),
        ({"q": "a", "limit": " 5"}, "invalid_input"),
        ({"q": "a", "limit": "5.0"}, "invalid_input"),
        ({"q": "a", "limit": "9" * 5_000}, "invalid_input"),
        ({"q": "a", "min_score": "inf"}, "invalid_input"),
        ({"q": "a", "with_vectors": "yes"}, "invalid_input"),
        ({"q": "a", "facets": "colour,,price"}, "invalid_input"),
        ({"q": "a", "facets": 'x" or 1==1'}, "invalid_input"),
        ({"q": "a", "params": "ef"}, "invalid_input"),
        ({"q": "a", "params": "ef:1.5"}, "invalid_input"),
        ({"q": "a", "params": ",".join(["ef:1"] * 9)}, "invalid_input"),
        ({"q": "a", "filter": ""}, "filter_invalid"),
        ({"q": "a", "filter": 'colour:x" or 1==1'}, "filter_invalid"),
        ({"q": "a", "filter": "{"}, "filter_invalid"),
        ({"q": "a", "filter": '{"field":"colour"}'}, "filter_invalid"),
        ({"q": "a", "filter": "(" * 4_000}, "filter_invalid"),
    ],
)
async def test_a_search_by_address_is_refused(api: Api, params: dict[str, str], code: str) -> None:
    response = await api.client.get(PATH, params=params)
    assert (response.status_code, response.json()["code"]) == (422, code)
    assert api.searcher.asked == []


async def test_a_header_that_is_no_time_is_refused(api: Api) -> None:
    response = await api.search({"query": "a"}, **{"x-timeout-ms": "soon"})
    assert (response.status_code, response.json()["code"]) == (422, "invalid_input")
    assert response.json()["details"]["errors"][0]["path"] == "header.X-Timeout-Ms"


@pytest.mark.parametrize("alias", ["a b", "a-b", "1a", "a;drop", "%00", "x" * 256])
async def test_what_can_name_no_collection_is_refused(api: Api, alias: str) -> None:
    response = await api.client.get(f"/v1/collections/{alias}/search", params={"q": "x"})
    assert (response.status_code, response.json()["code"]) == (422, "invalid_input")


async def test_limits_are_told_with_the_refusal(api: Api) -> None:
    problem = (await api.search({"query": "a", "limit": 251})).json()
    assert problem["details"] == {"field": "limit", "minimum": 1, "maximum": 250}


@pytest.mark.parametrize("limit", ["0", "-1", "1000000", '"ten"', "NaN", '"NaN"', "1.5", "true", "null", "[]", "{}"])
async def test_whatever_is_wrong_with_a_limit_the_limits_are_told(api: Api, limit: str) -> None:
    response = await api.client.post(PATH, content=f'{{"query":"a","limit":{limit}}}', headers=JSON)
    details = response.json()["details"]
    assert response.status_code == 422
    assert (details["field"], details["minimum"], details["maximum"]) == ("limit", 1, 250)


@pytest.mark.parametrize("limit", ["0", "-1", "1000000", "ten", "NaN", "1.5", ""])
async def test_in_an_address_too(api: Api, limit: str) -> None:
    response = await api.client.get(PATH, params={"q": "a", "limit": limit})
    details = response.json()["details"]
    assert response.status_code == 422
    assert (details["field"].removeprefix("query."), details["minimum"], details["maximum"]) == ("limit", 1, 250)


@pytest.mark.parametrize(
    ("body", "path", "minimum", "maximum"),
    [
        ({"query": "a", "offset": -1}, "offset", 0, 16_000),
        ({"query": "a", "min_score": "high"}, "min_score", -1, 1),
        ({"query": "a", "relative_cut": 2}, "relative_cut", 0, 1),
        ({"query": "a", "timeout_ms": 0}, "timeout_ms", 1, 10_000),
        ({"query": [{"text": "a"}, {"text": "b", "weight": 101}]}, "query.1.weight", -100, 100),
    ],
)
async def test_other_numbers_have_their_limits_told(
    api: Api, body: Any, path: str, minimum: float, maximum: float
) -> None:
    details = (await api.search(body)).json()["details"]
    assert (details["field"], details["minimum"], details["maximum"]) == (path, minimum, maximum)
    (finding,) = details["errors"]
    assert (finding["path"], finding["minimum"], finding["maximum"]) == (path, minimum, maximum)


async def test_paths_lead_into_what_was_sent_and_stay_short(api: Api) -> None:
    for body, path in [
        ({"query": [{"text": 5}]}, "query.0.text"),
        ({"query": [{"id": "a", "x": 1}]}, "query.0.x"),
        ({"query": [{}]}, "query.0"),
        ({"query": 5}, "query"),
        ({"query": "a", "y" * 5_000: 1}, "y" * 200),
    ]:
        response = await api.search(body)
        assert response.json()["details"]["errors"][0]["path"] == path


async def test_what_was_sent_is_not_echoed(api: Api) -> None:
    response = await api.search({"query": "a", "limit": "hunter2"})
    assert "hunter2" not in response.text
    assert response.json()["details"]["errors"][0]["path"] == "limit"


def _form(*parts: bytes) -> bytes:
    return b"".join(b"--b\r\n" + part + b"\r\n" for part in parts) + b"--b--\r\n"


def _field(name: str, value: bytes = b"1") -> bytes:
    return f'Content-Disposition: form-data; name="{name}"\r\n\r\n'.encode() + value


_FILE = b'Content-Disposition: form-data; name="image"; filename="a.jpg"\r\n\r\nx'


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"not a form", 400, "form_malformed"),
        (_form(_field("limit")), 422, "invalid_input"),
        (_form(_field("image", b"text, no file")), 422, "invalid_input"),
        (_form(_FILE, _FILE), 400, "form_malformed"),
        (_form(_FILE, *(_field(f"f{n}") for n in range(10_000))), 400, "form_malformed"),
        (_form(_FILE, _field("filter", b"x" * 300_000)), 400, "form_malformed"),
        (_form(_FILE, _field("filter", b"x" * 70_000)), 422, "filter_invalid"),
        (_form(_FILE, _field("limit", b"0")), 422, "invalid_input"),
        (_form(_FILE, _field("limit", b"251")), 422, "limit_exceeded"),
        (_form(_FILE, _field("limt", b"5")), 422, "invalid_input"),
        (_form(_FILE, _field("filter", b"{")), 422, "filter_invalid"),
        (_form(_FILE, _field("filter", b"[" * 60_000)), 422, "filter_invalid"),
        (_form(_FILE, _field("filter", b'{"not":' * 9_000)), 422, "filter_invalid"),
        (_form(_FILE, _field("weight", b"nan")), 422, "invalid_input"),
        (_form(_FILE, _field("weight", b"101")), 422, "invalid_input"),
        (_form(_FILE, _field("query", b"[")), 422, "invalid_input"),
        (_form(_FILE, _field("query", b"[[[[" * 9_000)), 422, "invalid_input"),
        (_form(_FILE, _field("query", b'[{"text":5}]')), 422, "invalid_input"),
        (_form(_FILE, _field("query", b'[{"image":"http://127.0.0.1/"}]')), 422, "image_url_refused"),
        (_form(_FILE, _field("query", b"[" + b",".join([b'{"text":"a"}'] * 16) + b"]")), 422, "limit_exceeded"),
    ],
)
async def test_an_upload_is_refused(api: Api, content: bytes, status: int, code: str) -> None:
    headers = {"content-type": "multipart/form-data; boundary=b"}
    response = await api.client.post(f"{PATH}/image", content=content, headers=headers)
    assert (response.status_code, response.json()["code"]) == (status, code), response.text
    assert api.searcher.asked == []


@pytest.mark.parametrize("kind", ["image/jpeg", "multipart/form-data", "application/json"])
async def test_an_upload_of_another_type_is_refused(api: Api, kind: str) -> None:
    response = await api.client.post(f"{PATH}/image", content=_form(_FILE), headers={"content-type": kind})
    expected: dict[str, tuple[int, str]] = {"multipart/form-data": (400, "form_malformed")}
    answer: tuple[int, Any] = (response.status_code, response.json()["code"])
    assert answer == expected.get(kind, (415, "content_type_unsupported"))
