"""What is accepted as an address, before anything is resolved."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vitrine.errors import ImageUrlRefused, SettingsInvalid
from vitrine.gateway.remote_images.address import Address, AddressRules
from vitrine.settings import RemoteImageSettings

RULES = AddressRules(
    RemoteImageSettings(
        hosts=("images.example.com", "*.cdn.example", "LOCALHOST."), schemes=("https", "http"), ports=(443, 80, 8443)
    )
)


@pytest.mark.parametrize(
    ("sent", "accepted"),
    [
        ("https://images.example.com/a/b.jpg", ("https", "images.example.com", 443, "/a/b.jpg")),
        ("HTTPS://Images.Example.COM/A.jpg?w=1&h=%2F", ("https", "images.example.com", 443, "/A.jpg?w=1&h=%2F")),
        ("https://images.example.com./a", ("https", "images.example.com", 443, "/a")),
        ("http://images.example.com", ("http", "images.example.com", 80, "/")),
        ("https://images.example.com?id=1", ("https", "images.example.com", 443, "/?id=1")),
        (
            "https://images.example.com:8443/@user/a;b=1,(c)!$'*+~_",
            ("https", "images.example.com", 8443, "/@user/a;b=1,(c)!$'*+~_"),
        ),
        ("https://a.cdn.example/", ("https", "a.cdn.example", 443, "/")),
        ("https://a.b-c.d_e.cdn.example/", ("https", "a.b-c.d_e.cdn.example", 443, "/")),
        ("https://xn--bcher-kva.cdn.example/", ("https", "xn--bcher-kva.cdn.example", 443, "/")),
        ("https://localhost/", ("https", "localhost", 443, "/")),
    ],
)
def test_an_address_that_is_allowed_is_taken_apart(sent: str, accepted: tuple[str, str, int, str]) -> None:
    assert RULES.accept(sent) == Address(*accepted)


@pytest.mark.parametrize(
    ("reason", "sent"),
    [
        *(
            ("numeric_host", f"http://{host}/")
            for host in (
                "169.254.169.254",
                "169.254.169.254.",
                "2852039166",
                "0xA9FEA9FE",
                "0XA9FEA9FE",
                "0xA9.0xFE.0xA9.0xFE",
                "0251.0376.0251.0376",
                "0251.254.0xA9FE",
                "169.16689662",
                "127.1",
                "127.0.0.1",
                "0",
                "0x",
                "0.0.0.0",  # noqa: S104
                "[::1]",
                "[::]",
                "[::ffff:127.0.0.1]",
                "[::ffff:a9fe:a9fe]",
                "[0:0:0:0:0:ffff:7f00:1]",
                "[64:ff9b::a9fe:a9fe]",
                "[2002:7f00:1::]",
                "[fe80::1%25eth0]",
                "[fd00:ec2::254]",
                "images.example.com.1",
            )
        ),
        *(
            ("malformed", sent)
            for sent in (
                "",
                "http:",
                "http:/",
                "http://",
                "http:///images.example.com/",
                "http:images.example.com/",
                "http:/images.example.com/",
                "//images.example.com/",
                "http:\\\\images.example.com\\a",
                "http://images.example.com\\@127.0.0.1/",
                "http://images.example.com\\.cdn.example/",
                "http://user@images.example.com/",
                "http://user:secret@images.example.com/",
                "http://images.example.com@127.0.0.1/",
                "http://images.example.com:80@127.0.0.1/",
                "http://127.0.0.1#@images.example.com/",
                "http://images.example.com#@127.0.0.1/",
                "http://images.example.com/a#b",
                "http://images.example.com:/",
                "http://images.example.com:+80/",
                "http://images.example.com:000080/",
                "http://images.example.com:80:80/",
                "http://images.example.com/a b",
                " http://images.example.com/",
                "http://images.example.com/\r\nHost: other",
                "http://images.example.com/\ta",
                "http://images.example.com/\x00",
                "http://images.example.com/%",
                "http://images.example.com/%zz",
                "http://images.example.com/[a]",
                "http://images%2eexample%2ecom/",
                "http://images..example.com/",
                "http://images.example.com../",
                "http://.images.example.com/",
                "http://-a.cdn.example/",
                "http://a-.cdn.example/",
                "http://" + "a" * 64 + ".cdn.example/",
                "http://" + "a." * 125 + "cdn.example/",
                "http://images.example.com/" + "a" * 4_096,
                "http://b\u00fccher.cdn.example/",
                "http://\uff11\uff12\uff17.\uff10.\uff10.\uff11/",
                "http://\u2460\u2461\u2466.0.0.1/",
                "http://images\u3002example\u3002com/",
                "http://images.example.com/\u00e9",
                "http://[::1/",
                "http://[::1]extra/",
            )
        ),
        *(("scheme", f"{scheme}://images.example.com/") for scheme in ("ftp", "file", "gopher", "ws", "unix", "httpx")),
        *(
            ("host", f"https://{host}/")
            for host in (
                "example.com",
                "other.example.com",
                "a.images.example.com",
                "images.example.com.evil.test",
                "images.example.comevil",
                "xcdn.example",
                "cdn.example",
                "169.254.169.254.nip.io",
                "metadata.google.internal",
            )
        ),
        *(("port", f"https://images.example.com:{port}/") for port in (0, 22, 8080, 65_536, 99_999)),
    ],
)
def test_an_address_is_refused_for_its_reason(reason: str, sent: str) -> None:
    with pytest.raises(ImageUrlRefused) as caught:
        RULES.accept(sent)
    assert caught.value.details["reason"] == reason


@given(st.text(max_size=60) | st.from_regex(r"\Ahttps?://[ -~]{0,40}\Z"))
@example("http://images.example.com")
def test_whatever_is_sent_is_refused_or_goes_to_an_allowed_place(sent: str) -> None:
    try:
        address = RULES.accept(sent)
    except ImageUrlRefused:
        return
    assert address.host in {"images.example.com", "localhost"} or address.host.endswith(".cdn.example")
    assert address.port in {443, 80, 8443}
    assert address.target.startswith("/")
    assert address.target.isascii()
    assert address.target.isprintable()
    assert " " not in address.target


HERE = Address("https", "images.example.com", 443, "/shop/a.jpg")


@pytest.mark.parametrize(
    ("location", "leads_to"),
    [
        (b"/b.jpg", ("https", "images.example.com", 443, "/b.jpg")),
        (b"b.jpg?x=1", ("https", "images.example.com", 443, "/shop/b.jpg?x=1")),
        (b"../b.jpg", ("https", "images.example.com", 443, "/b.jpg")),
        (b"//a.cdn.example:8443/b", ("https", "a.cdn.example", 8443, "/b")),
        (b"https://a.cdn.example/b", ("https", "a.cdn.example", 443, "/b")),
    ],
)
def test_redirects_are_relative_or_absolute(location: bytes, leads_to: tuple[str, str, int, str]) -> None:
    assert RULES.accept_redirect(HERE, location) == Address(*leads_to)


@pytest.mark.parametrize(
    ("reason", "location"),
    [
        ("malformed", b""),
        ("malformed", b"/a b"),
        ("malformed", b"/a\tb"),
        ("malformed", b"/\xc3\xa9"),
        ("malformed", b"/a#b"),
        ("malformed", b"\\\\127.0.0.1\\"),
        ("malformed", b"https://u@images.example.com/"),
        ("malformed", b"https://[::1/"),
        ("numeric_host", b"//127.0.0.1/"),
        ("numeric_host", b"https://2852039166/"),
        ("numeric_host", b"https://[::ffff:127.0.0.1]/"),
        ("host", b"https://secret.internal/"),
        ("port", b"//images.example.com:22/"),
        ("scheme", b"http://images.example.com/"),
        ("scheme", b"file://images.example.com/etc/passwd"),
        ("malformed", b"file:///etc/passwd"),
        ("malformed", b"/" + b"a" * 5_000),
    ],
)
def test_a_redirect_is_checked_like_an_address_and_tells_nothing(reason: str, location: bytes) -> None:
    with pytest.raises(ImageUrlRefused) as caught:
        RULES.accept_redirect(HERE, location)
    assert caught.value.details == {"reason": reason}
    assert "secret" not in caught.value.message


def test_a_redirect_may_take_up_encryption() -> None:
    plain = Address("http", "images.example.com", 80, "/a")
    assert RULES.accept_redirect(plain, b"https://images.example.com/a").scheme == "https"


@pytest.mark.parametrize(
    "host",
    [
        "",
        "*",
        "*.",
        "127.0.0.1",
        "[::1]",
        "2852039166",
        "https://a.example",
        "a.example:443",
        "a.*.example",
        "*a.example",
        "a b",
    ],
)
def test_a_listed_host_that_is_no_name_is_an_error_of_the_settings(host: str) -> None:
    with pytest.raises(SettingsInvalid, match=r"remote_images\.hosts"):
        AddressRules(RemoteImageSettings(hosts=(host,)))
