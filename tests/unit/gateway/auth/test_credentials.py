import pytest

from vitrine.gateway.auth.credentials import MAX_CREDENTIAL_BYTES, Credential, credential_in
from vitrine.gateway.auth.errors import Unauthenticated

KEY = "vitrine_shop_" + "k" * 43
JWT = "aaa.bbb.ccc"


def _headers(*pairs: tuple[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode("latin-1")) for name, value in pairs]


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("authorization", f"Bearer {KEY}", Credential(KEY, is_key=True)),
        ("authorization", f"bearer  {KEY} ", Credential(KEY, is_key=True)),
        ("authorization", f"BEARER {JWT}", Credential(JWT, is_key=False)),
        ("x-api-key", KEY, Credential(KEY, is_key=True)),
        ("x-api-key", JWT, Credential(JWT, is_key=True)),
    ],
)
def test_a_credential_is_found_where_it_may_be(name: str, value: str, expected: Credential) -> None:
    assert credential_in(_headers(("host", "x"), (name, value), ("accept", "*/*"))) == expected


@pytest.mark.parametrize(
    ("pairs", "reason"),
    [
        ([], "no credentials"),
        ([("authorization", "Basic dTpw")], "no credentials"),
        ([("authorization", KEY)], "no credentials"),
        ([("authorization", "Bearer")], "malformed credentials"),
        ([("authorization", "Bearer ")], "malformed credentials"),
        ([("x-api-key", "")], "malformed credentials"),
        ([("x-api-key", "x" * (MAX_CREDENTIAL_BYTES + 1))], "malformed credentials"),
        ([("authorization", f"Bearer {KEY}"), ("x-api-key", KEY)], "several credentials"),
        ([("authorization", f"Bearer {KEY}"), ("authorization", f"Bearer {JWT}")], "several credentials"),
        ([("cookie", f"authorization=Bearer {KEY}")], "no credentials"),
    ],
)
def test_anything_else_is_none(pairs: list[tuple[str, str]], reason: str) -> None:
    with pytest.raises(Unauthenticated) as caught:
        credential_in(_headers(*pairs))
    assert caught.value.reason == reason


def test_what_a_proxy_adds_for_itself_is_passed_over() -> None:
    assert credential_in(_headers(("authorization", "Basic dTpw"), ("x-api-key", KEY))).secret == KEY


def test_a_credential_shows_nothing_of_its_secret() -> None:
    assert KEY not in repr(Credential(KEY, is_key=True))
