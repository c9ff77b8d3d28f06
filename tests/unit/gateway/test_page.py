import re
from pathlib import Path

import pytest

import vitrine.gateway
from tests.unit.gateway.conftest import Api, OpenApi
from vitrine.gateway.page import content_security_policy

UI = Path(vitrine.gateway.__file__).parent / "ui"


async def test_the_page_is_there_under_a_policy_that_loads_nothing_from_elsewhere(api: Api) -> None:
    response = await api.client.get("/")
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.headers["content-security-policy"] == content_security_policy("/media")
    assert response.headers["cache-control"] == "no-cache"


async def test_every_file_that_the_page_names_is_served(api: Api) -> None:
    page = (UI / "index.html").read_text(encoding="utf-8")
    named = {name for name in re.findall(r'(?:href|src)="([^":#]+)"', page) if not name.startswith("data:")}
    assert named
    for name in named:
        response = await api.client.get("/" + name.removeprefix("./").lstrip("/"))
        assert response.status_code == 200, name
        assert response.headers["x-content-type-options"] == "nosniff"


async def test_an_unchanged_page_is_not_sent_again(api: Api) -> None:
    etag = (await api.client.get("/")).headers["etag"]
    again = await api.client.get("/", headers={"if-none-match": etag})
    assert (again.status_code, again.content) == (304, b"")


async def test_the_documentation_loads_nothing_from_elsewhere(api: Api) -> None:
    page = await api.client.get("/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'self'" in page.headers["content-security-policy"]
    named = re.findall(r'(?:href|src)="([^"]+)"', page.text)
    assert len(named) == 3
    for name in named:
        assert (await api.client.get(name)).status_code == 200, name


@pytest.mark.parametrize("path", ["/page.py", "/../page.py", "/ui/", "/%2e%2e/app.py", "/index.htm"])
async def test_no_other_file_can_be_had(api: Api, path: str) -> None:
    assert (await api.client.get(path)).status_code == 404


def test_pictures_of_a_cdn_are_allowed_by_its_origin_alone() -> None:
    policy = content_security_policy("https://cdn.example/pics")
    assert "img-src 'self' data: blob: https://cdn.example;" in policy
    assert policy.count("https://") == 1
    assert "unsafe" not in policy


async def test_the_page_needs_no_permit(open_api: OpenApi) -> None:
    api = await open_api(max_in_flight=1)
    assert (await api.client.get("/")).status_code == 200
    assert api.metrics.registry.get_sample_value("vitrine_http_in_flight") == 0
