"""Pictures by address, as callers of the API see them."""

from dataclasses import replace

import pytest

from tests.unit.gateway.conftest import Api
from tests.unit.gateway.remote_images.conftest import (
    HOST,
    PICTURE,
    Fetching,
    Network,
    OpenFetching,
    OpenOrigin,
    Origin,
    answer,
    redirect,
)
from vitrine.gateway.pictures import Pictures
from vitrine.search.request import ImagePart

PUBLIC = "93.184.215.14"


def switch_on(api: Api, fetching: Fetching) -> None:
    api.app.state.services = replace(api.services, pictures=Pictures(api.settings.images, fetching.images))


def url(origin: Origin, host: str = HOST) -> str:
    return f"http://{host}:{origin.port}/a.jpg"


async def test_a_search_by_an_address_sees_the_picture(
    api: Api, open_origin: OpenOrigin, open_fetching: OpenFetching
) -> None:
    origin = await open_origin({"/a.jpg": answer()})
    switch_on(api, open_fetching([origin.port]))
    response = await api.search({"query": [{"image": url(origin), "weight": 0.5}, {"text": "red"}]})
    assert response.status_code == 200, response.text
    assert api.searcher.asked[0].parts[0] == ImagePart(PICTURE, 0.5)


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "2852039166",
        "0xA9FEA9FE",
        "0251.0376.0251.0376",
        "[::ffff:127.0.0.1]",
        "127.1",
        "localhost",
        "rebound.example.com",
    ],
)
@pytest.mark.parametrize("by_redirect", [False, True])
async def test_addresses_of_this_machine_are_422_and_nobody_is_connected_to(
    api: Api, open_origin: OpenOrigin, open_fetching: OpenFetching, host: str, by_redirect: bool
) -> None:
    canary = await open_origin({"/a.jpg": answer()})
    origin = await open_origin({"/a.jpg": redirect(url(canary, host))})
    network = Network(routes={PUBLIC: origin.port})
    fetching = open_fetching(
        [canary.port, origin.port],
        hosts=("*.example.com", "localhost"),
        private_networks=(),
        network=network,
        names={HOST: [[PUBLIC]], "rebound.example.com": [["127.0.0.1"]], "localhost": [["127.0.0.1"]]},
    )
    switch_on(api, fetching)
    response = await api.search({"query": [{"image": url(origin) if by_redirect else url(canary, host)}]})
    problem = response.json()
    assert (response.status_code, problem["code"]) == (422, "image_url_refused"), problem
    assert problem["details"]["reason"] in {"numeric_host", "network"}
    assert "127.0.0.1" not in problem["detail"]
    assert network.connected == ([(PUBLIC, origin.port)] if by_redirect else [])
    assert canary.connections == 0
    assert api.searcher.asked == []


async def test_a_server_that_fails_is_422_with_its_reason(
    api: Api, open_origin: OpenOrigin, open_fetching: OpenFetching
) -> None:
    origin = await open_origin({"/a.jpg": answer(b"", "404 Not Found")})
    switch_on(api, open_fetching([origin.port]))
    response = await api.search({"query": [{"image": url(origin)}]})
    assert (response.status_code, response.json()["code"]) == (422, "image_url_failed")
    assert response.json()["details"] == {"reason": "status", "status": 404}
    assert api.searcher.asked == []


async def test_one_request_may_name_only_so_many(
    api: Api, open_origin: OpenOrigin, open_fetching: OpenFetching
) -> None:
    origin = await open_origin({"/a.jpg": answer()})
    switch_on(api, open_fetching([origin.port], max_per_request=2))
    assert (await api.search({"query": [{"image": url(origin)}] * 2})).status_code == 200
    assert origin.connections == 2
    response = await api.search({"query": [{"image": url(origin)}] * 3})
    assert (response.status_code, response.json()["code"]) == (422, "limit_exceeded")
    assert response.json()["details"] == {"field": "image", "maximum": 2}
    assert origin.connections == 2


async def test_switched_off_it_is_422(api: Api, open_origin: OpenOrigin) -> None:
    canary = await open_origin({"/a.jpg": answer()})
    response = await api.search({"query": [{"image": url(canary, "localhost")}]})
    assert (response.status_code, response.json()["code"]) == (422, "image_url_refused")
    assert response.json()["details"] == {"reason": "off"}
    assert canary.connections == 0
