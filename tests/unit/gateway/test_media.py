from pathlib import Path

import pytest

from tests.unit.gateway.conftest import Api, OpenApi


@pytest.fixture
def root(tmp_path: Path) -> Path:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.jpg").write_bytes(b"secret")
    root = tmp_path / "media"
    (root / "images" / "010").mkdir(parents=True)
    (root / "images" / "010" / "0108775015.jpg").write_bytes(b"picture")
    (root / "images" / "a b.PNG").write_bytes(b"spaced")
    (root / "images" / ".hidden.jpg").write_bytes(b"secret")
    (root / "articles.csv").write_bytes(b"secret")
    (root / "folder.jpg").mkdir()
    (root / "out.jpg").symlink_to(outside / "secret.jpg")
    (root / "way").symlink_to(outside)
    return root


@pytest.fixture
async def shop(open_api: OpenApi, root: Path) -> Api:
    return await open_api(media_root=root)


async def test_a_picture_comes_with_type_and_cache_headers(shop: Api) -> None:
    response = await shop.client.get("/media/images/010/0108775015.jpg")
    assert (response.status_code, response.content) == (200, b"picture")
    assert response.headers["content-type"] == "image/jpeg"
    assert response.headers["cache-control"] == "public, max-age=3600"
    assert (await shop.client.get("/media/images/a%20b.PNG")).content == b"spaced"
    assert (await shop.client.head("/media/images/010/0108775015.jpg")).content == b""


async def test_an_unchanged_picture_is_not_sent_again(shop: Api) -> None:
    etag = (await shop.client.get("/media/images/010/0108775015.jpg")).headers["etag"]
    again = await shop.client.get("/media/images/010/0108775015.jpg", headers={"if-none-match": etag})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["cache-control"] == "public, max-age=3600"


@pytest.mark.parametrize(
    "path",
    [
        "nothing.jpg",
        "",
        "images",
        "images/",
        "images/010/",
        "folder.jpg",
        "articles.csv",
        "images/.hidden.jpg",
        "out.jpg",
        "way/secret.jpg",
        "../outside/secret.jpg",
        "..%2Foutside%2Fsecret.jpg",
        "images/..%2F..%2Foutside/secret.jpg",
        "%2Fetc%2Fpasswd.jpg",
        "images/%00.jpg",
        "images/0108775015.jpg/x.jpg",
        "x" * 300 + ".jpg",
        ("d/" * 3000) + "x.jpg",
    ],
)
async def test_nothing_else_can_be_had(shop: Api, path: str) -> None:
    response = await shop.client.get(f"/media/{path}")
    assert (response.status_code, response.json()["code"]) == (404, "not_found") or (
        response.json()["code"] == "route_not_found"
    )
    assert b"secret" not in response.content


async def test_without_a_folder_there_is_no_such_path(open_api: OpenApi) -> None:
    api = await open_api()
    response = await api.client.get("/media/images/010/0108775015.jpg")
    assert (response.status_code, response.json()["code"]) == (404, "route_not_found")


async def test_a_folder_that_comes_later_is_served_then(open_api: OpenApi, tmp_path: Path) -> None:
    api = await open_api(media_root=tmp_path / "later")
    assert (await api.client.get("/media/a.jpg")).status_code == 404
    (tmp_path / "later").mkdir()
    (tmp_path / "later" / "a.jpg").write_bytes(b"here")
    assert (await api.client.get("/media/a.jpg")).content == b"here"
