import base64
from pathlib import Path

import pytest

from vitrine.client import image, item, text
from vitrine.client.parts import Query, kind_of, query_body
from vitrine.errors import ImageMissing, ImageRejected, ImageUnreadable

DATA = Path(__file__).parents[2] / "data" / "images"
PIXEL = (DATA / "rgb_one_pixel.png").read_bytes()
PIXEL_URL = f"data:image/png;base64,{base64.b64encode(PIXEL).decode()}"


@pytest.mark.parametrize(
    ("query", "body"),
    [
        ("red", "red"),
        (text("red", weight=2), [{"text": "red", "weight": 2}]),
        (["red", item("1", -0.5)], [{"text": "red"}, {"id": "1", "weight": -0.5}]),
        ({"id": "1"}, [{"id": "1"}]),
        ([{"text": "red", "weight": 0.5}], [{"text": "red", "weight": 0.5}]),
        ((image(PIXEL, 3),), [{"image": PIXEL_URL, "weight": 3}]),
        ([], []),
    ],
)
def test_a_query_is_written_as_the_api_takes_it(query: Query, body: object) -> None:
    assert query_body(query) == body


def test_a_picture_is_data_a_path_or_an_address(tmp_path: Path) -> None:
    path = tmp_path / "pixel.jpg"  # its name does not matter
    path.write_bytes(PIXEL)
    assert {image(sent).image for sent in (PIXEL, path, str(path), PIXEL_URL)} == {PIXEL_URL}
    assert image("https://shop.example/1.jpg").image == "https://shop.example/1.jpg"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("rgb.jpg", "image/jpeg"),
        ("rgb_exact.png", "image/png"),
        ("animated.gif", "image/gif"),
        ("animated.webp", "image/webp"),
        ("rgb.bmp", "image/bmp"),
        ("rgb_lzw.tif", "image/tiff"),
        ("grey_16_big_endian.tif", "image/tiff"),
    ],
)
def test_the_media_type_is_that_of_the_data(name: str, kind: str) -> None:
    assert kind_of((DATA / name).read_bytes()) == kind


@pytest.mark.parametrize("data", [b"", b"%PDF-1.7", b"RIFF....WAVE"])
def test_other_data_is_left_for_the_gateway_to_judge(data: bytes) -> None:
    assert image(data).image.startswith("data:image/unknown;base64,")


@pytest.mark.parametrize(
    ("picture", "error"),
    [("absent.jpg", ImageMissing), (Path(), ImageUnreadable), ("\0", ImageUnreadable), ("A" * 9000, ImageUnreadable)],
    ids=["no file", "a folder", "no path", "base64 taken for a path"],
)
def test_a_file_that_cannot_be_read_is_said_so_briefly(picture: str | Path, error: type[ImageRejected]) -> None:
    with pytest.raises(error, match="cannot be read") as caught:
        image(picture)
    assert len(caught.value.message) < 300


def test_a_part_shows_itself_without_its_picture() -> None:
    assert repr(image(PIXEL, 0.5)) == "ImagePart(weight=0.5)"
