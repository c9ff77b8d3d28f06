"""What a body says of a picture, turned into bytes."""

import base64

import pytest

from vitrine.domain import Deadline
from vitrine.errors import (
    ImageCorrupt,
    ImageFormatUnsupported,
    ImageTooLarge,
    ImageUrlRefused,
    InvalidInput,
    LimitExceeded,
    VitrineError,
)
from vitrine.gateway.pictures import Pictures
from vitrine.settings import ImageSettings

LIMITS = ImageSettings(max_bytes=1024)
HERE = "https://images.example.com/a.jpg"


class Shop:
    """Stands where `RemoteImages` would, and notes what it is asked for."""

    max_per_request = 2

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def fetch(self, sent: str, deadline: Deadline) -> bytes:
        self.asked.append(sent)
        return b"picture"


def data_url(data: bytes, kind: str = "image/jpeg") -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


@pytest.fixture
def shop() -> Shop:
    return Shop()


@pytest.fixture
def pictures(shop: Shop) -> Pictures:
    return Pictures(LIMITS, shop)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["image/jpeg", "image/svg+xml", "Image/PNG", "image/png;charset=utf-8"])
async def test_a_data_url_is_decoded_and_nothing_fetched(pictures: Pictures, shop: Shop, kind: str) -> None:
    assert await pictures.bytes_of(data_url(b"\xff\xd8\xff", kind), Deadline.after(1)) == b"\xff\xd8\xff"
    assert shop.asked == []


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        ("", InvalidInput),
        ("red dress", InvalidInput),
        ("/etc/passwd", InvalidInput),
        ("//images.example.com/a.jpg", InvalidInput),
        (f" {HERE}", InvalidInput),
        ("data:image/jpeg,plain", InvalidInput),
        ("DATA:image/jpeg;base64,AAAA", InvalidInput),
        ("data:;base64,AAAA", ImageFormatUnsupported),
        (data_url(b"<html>", "text/html"), ImageFormatUnsupported),
        ("data:image/jpeg;base64,AAA", ImageCorrupt),
        ("data:image/jpeg;base64,%%%%", ImageCorrupt),
        ("data:image/jpeg;base64,\u00e9\u00e9\u00e9\u00e9", ImageCorrupt),
        (data_url(bytes(1027)), ImageTooLarge),
        (data_url(bytes(1_000_000)), ImageTooLarge),
    ],
)
async def test_what_is_neither_is_refused_and_nothing_fetched(
    pictures: Pictures, shop: Shop, sent: str, error: type[VitrineError]
) -> None:
    with pytest.raises(error) as caught:
        await pictures.bytes_of(sent, Deadline.after(1))
    assert type(caught.value) is error
    assert shop.asked == []


@pytest.mark.parametrize("sent", [HERE, HERE.upper(), "http:x", "file:///etc/passwd", "javascript:alert(1)", "c:\\a"])
async def test_whatever_has_a_scheme_is_an_address(pictures: Pictures, shop: Shop, sent: str) -> None:
    assert await pictures.bytes_of(sent, Deadline.after(1)) == b"picture"
    assert shop.asked == [sent]
    with pytest.raises(ImageUrlRefused) as caught:
        await Pictures(LIMITS).bytes_of(sent, Deadline.after(1))
    assert caught.value.details == {"reason": "off"}


def test_addresses_of_one_request_are_counted(pictures: Pictures) -> None:
    pictures.check_count([HERE, data_url(b"a"), HERE, data_url(b"b")])
    pictures.check_count([])
    with pytest.raises(LimitExceeded) as caught:
        pictures.check_count(iter([HERE] * 3))
    assert caught.value.details == {"field": "image", "maximum": 2}


def test_nothing_is_counted_while_every_address_is_refused() -> None:
    Pictures(LIMITS).check_count([HERE] * 100)
