import asyncio
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from prometheus_client import CollectorRegistry, Gauge

from tests.unit.gateway.auth.conftest import AUDIENCE, ISSUER, Issuer, unsigned
from vitrine.gateway.auth.errors import IssuerUnavailable, Unauthenticated
from vitrine.gateway.auth.key_sources import FileKeys
from vitrine.gateway.auth.principal import Rate, Scope
from vitrine.gateway.auth.signing_keys import KeySet
from vitrine.gateway.auth.tokens import LEEWAY_S, MAX_TOKENS, TokenReader
from vitrine.settings import AuthSettings

STRANGER = rsa.generate_private_key(65537, 2048)


class _CountedKeys:
    """Keys of a file that count how often a signature is about to be checked."""

    def __init__(self, file: FileKeys) -> None:
        self.file = file
        self.asked = 0

    @property
    def current(self) -> KeySet:
        return self.file.current

    async def with_kid(self, kid: str) -> KeySet:
        self.asked += 1
        return await self.file.with_kid(kid)

    async def refresh(self) -> None:
        await self.file.refresh()


@pytest.fixture
def keys(jwks_file: Path) -> _CountedKeys:
    return _CountedKeys(FileKeys(jwks_file, Gauge("stale", "x", registry=CollectorRegistry())))


@pytest.fixture
def reader(oidc: AuthSettings, keys: _CountedKeys) -> TokenReader:
    return TokenReader(oidc, keys)


async def _reason(reader: TokenReader, token: str) -> str:
    with pytest.raises(Unauthenticated) as caught:
        await reader.principal_of(token)
    return caught.value.reason


async def test_a_valid_token_is_its_subject_with_its_scopes_and_collections(
    reader: TokenReader, issuer: Issuer
) -> None:
    principal = await reader.principal_of(issuer.token())
    assert principal.scopes == {Scope.SEARCH}
    assert principal.collections == {"products"}
    assert principal.rate is None
    assert principal.id.startswith("jwt:")
    assert "jane" not in principal.id


async def test_both_kinds_of_keys_are_understood_and_a_subject_stays_the_same(
    reader: TokenReader, issuer: Issuer
) -> None:
    first = await reader.principal_of(issuer.token())
    second = await reader.principal_of(issuer.ec_token())
    other = await reader.principal_of(issuer.token(sub="joe"))
    assert first == second
    assert other.id != first.id


def _with_secret(issuer: Issuer, algorithm: str) -> str:
    # By hand: the library itself refuses to sign with a public key as if it were a secret.
    hmac_key = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    token = unsigned({"alg": algorithm, "kid": "r1", "typ": "JWT"}, issuer.claims())
    signing_input = token.rpartition(".")[0]
    signature = hmac_key.sign(signing_input.encode(), issuer.public_pem)
    return f"{signing_input}.{jwt.utils.base64url_encode(signature).decode()}"


FORGED: dict[str, Any] = {
    "none": (lambda i: unsigned({"alg": "none", "kid": "r1"}, i.claims()), "algorithm not accepted"),
    "None": (lambda i: unsigned({"alg": "None", "kid": "r1"}, i.claims()), "algorithm not accepted"),
    "no alg": (lambda i: unsigned({"kid": "r1"}, i.claims()), "algorithm not accepted"),
    "alg a list": (lambda i: unsigned({"alg": ["RS256"], "kid": "r1"}, i.claims()), "algorithm not accepted"),
    "signed with the public key": (lambda i: _with_secret(i, "HS256"), "algorithm not accepted"),
    "the same, called RS256": (lambda i: _with_secret(i, "RS256"), "wrong signature"),
    "not on the list": (
        lambda i: jwt.encode(i.claims(), i.rsa_key, "RS512", headers={"kid": "r1"}),
        "algorithm not accepted",
    ),
    "an algorithm of another key": (
        lambda i: jwt.encode(i.claims(), i.ec_key, "ES256", headers={"kid": "r1"}),
        "algorithm not accepted",
    ),
    "a stranger's key": (
        lambda i: jwt.encode(i.claims(), STRANGER, "RS256", headers={"kid": "r1"}),
        "wrong signature",
    ),
    "a stranger's key brought along": (
        lambda i: jwt.encode(
            i.claims(),
            STRANGER,
            "RS256",
            headers={"kid": "r1", "jwk": jwt.algorithms.RSAAlgorithm.to_jwk(STRANGER.public_key(), as_dict=True)},
        ),
        "wrong signature",
    ),
    "no signature": (lambda i: i.token().rpartition(".")[0] + ".", "wrong signature"),
    "another payload": (
        lambda i: ".".join((i.token().split(".")[0], i.token(sub="joe").split(".")[1], i.token().split(".")[2])),
        "wrong signature",
    ),
    "unknown kid": (lambda i: i.token(header={"kid": "r2"}), "unknown signing key"),
    "no kid": (lambda i: jwt.encode(i.claims(), i.rsa_key, "RS256"), "malformed token"),
    "kid a number": (lambda i: unsigned({"alg": "RS256", "kid": 1}, i.claims()), "malformed token"),
    "an extension that must be understood": (
        lambda i: i.token(header={"crit": ["x"], "x": True}),
        "malformed token",
    ),
    "one segment": (lambda i: "nonsense", "malformed token"),
    "two dots": (lambda i: "a.b.c", "malformed token"),
    "empty segments": (lambda i: "..", "malformed token"),
    "nested deep": (lambda i: unsigned({"alg": "RS256"}, {}).replace("e30", "W1tb" * 900), "malformed token"),
    "letters of another script": (lambda i: "ü.é.à", "malformed token"),
}


@pytest.mark.parametrize("case", FORGED)
async def test_a_forged_token_is_refused(reader: TokenReader, issuer: Issuer, case: str) -> None:
    make, reason = FORGED[case]
    assert await _reason(reader, make(issuer)) == reason


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"exp": int(time.time()) - LEEWAY_S - 1}, "expired token"),
        ({"exp": None}, "claim missing"),
        ({"exp": "soon"}, "malformed token"),
        ({"exp": float("inf")}, "malformed token"),
        # A day, since these are made when the tests are collected, which may be long before they run.
        ({"nbf": int(time.time()) + 86_400}, "token not valid yet"),
        ({"nbf": "soon"}, "malformed token"),
        ({"iss": None}, "claim missing"),
        ({"iss": ISSUER + "/"}, "wrong issuer"),
        ({"iss": "https://evil.example"}, "wrong issuer"),
        ({"aud": None}, "claim missing"),
        ({"aud": "another"}, "wrong audience"),
        ({"aud": AUDIENCE[:-1]}, "wrong audience"),
        ({"aud": ["another", "third"]}, "wrong audience"),
        ({"sub": None}, "claim missing"),
    ],
)
async def test_a_token_with_a_wrong_claim_is_refused(
    reader: TokenReader, issuer: Issuer, changes: dict[str, Any], reason: str
) -> None:
    assert await _reason(reader, issuer.token(**changes)) == reason


async def test_a_subject_that_is_no_text_is_refused(reader: TokenReader, issuer: Issuer) -> None:
    # The library does not write such a token, so its check is turned off by a subclass that writes anything.
    encoder = jwt.api_jws.PyJWS()
    payload = b'{"iss":"%s","aud":"%s","exp":99999999999,"sub":7}' % (ISSUER.encode(), AUDIENCE.encode())
    assert await _reason(reader, encoder.encode(payload, issuer.rsa_key, "RS256", {"kid": "r1"})) == "malformed token"


async def test_clocks_may_differ_by_half_a_minute(reader: TokenReader, issuer: Issuer) -> None:
    now = int(time.time())
    await reader.principal_of(issuer.token(exp=now - LEEWAY_S + 10))
    await reader.principal_of(issuer.token(nbf=now + LEEWAY_S - 10))


async def test_an_end_beyond_all_numbers_is_no_failure(reader: TokenReader, issuer: Issuer) -> None:
    assert (await reader.principal_of(issuer.token(exp=10**400))).scopes == {Scope.SEARCH}


@pytest.mark.parametrize(
    ("changes", "scopes"),
    [
        ({"scope": "vitrine:search vitrine:write"}, {"search", "write"}),
        ({"scope": None, "scp": ["vitrine:admin", "openid"]}, {"admin"}),
        ({"scope": None, "scp": "vitrine:admin vitrine:search"}, {"admin", "search"}),
        ({"scope": ["vitrine:write"]}, {"write"}),
        ({"scope": "admin write search"}, set()),
        ({"scope": "Vitrine:search xvitrine:search vitrine:"}, set()),
        ({"scope": None}, set()),
        ({"scope": 7, "scp": {"vitrine:admin": True}}, set()),
        ({"scope": None, "scp": [["vitrine:admin"], None]}, set()),
    ],
)
async def test_scopes_are_those_that_are_vitrines(
    reader: TokenReader, issuer: Issuer, changes: dict[str, Any], scopes: set[str]
) -> None:
    assert (await reader.principal_of(issuer.token(**changes))).scopes == scopes


@pytest.mark.parametrize(
    ("claim", "collections"),
    [
        (["a", "b"], {"a", "b"}),
        ("a b", {"a", "b"}),
        (None, set()),
        ([], set()),
        ({"a": 1}, set()),
        (True, set()),
        ("*", None),
        (["*"], None),
    ],
)
async def test_a_token_sees_the_collections_it_names_and_without_any_none(
    reader: TokenReader, issuer: Issuer, claim: Any, collections: set[str] | None
) -> None:
    assert (await reader.principal_of(issuer.token(vitrine_collections=claim))).collections == collections


async def test_the_claim_can_have_another_name_or_none(oidc: AuthSettings, keys: _CountedKeys, issuer: Issuer) -> None:
    other = TokenReader(oidc.model_copy(update={"oidc_collections_claim": "shops"}), keys)
    assert (await other.principal_of(issuer.token(shops=["x"]))).collections == {"x"}
    every = TokenReader(oidc.model_copy(update={"oidc_collections_claim": ""}), keys)
    assert (await every.principal_of(issuer.token())).collections is None


async def test_subjects_have_the_rate_of_the_settings(oidc: AuthSettings, keys: _CountedKeys, issuer: Issuer) -> None:
    reader = TokenReader(oidc.model_copy(update={"oidc_rate": 2.5, "oidc_burst": 7}), keys)
    assert (await reader.principal_of(issuer.token())).rate == Rate(2.5, 7)


async def test_a_token_is_checked_once_and_until_its_end(
    oidc: AuthSettings, keys: _CountedKeys, issuer: Issuer
) -> None:
    ends = int(time.time()) + 600
    now = float(ends - 100)
    reader = TokenReader(oidc, keys, clock=lambda: now)
    token = issuer.token(exp=ends)
    for _ in range(3):
        await reader.principal_of(token)
    assert keys.asked == 1
    now = ends + LEEWAY_S
    await reader.principal_of(token)
    assert keys.asked == 2, "what was remembered is over, so the library's own clock decides"


async def test_a_withdrawn_key_takes_its_tokens_along(
    reader: TokenReader, keys: _CountedKeys, issuer: Issuer, jwks_file: Path
) -> None:
    token = issuer.token()
    await reader.principal_of(token)
    await asyncio.to_thread(jwks_file.write_bytes, issuer.key_set(rsa_kid="r2"))
    await keys.refresh()
    assert await _reason(reader, token) == "unknown signing key"
    await reader.principal_of(issuer.token(header={"kid": "r2"}))


async def test_refused_tokens_are_not_remembered_and_good_ones_are_bounded(reader: TokenReader, issuer: Issuer) -> None:
    for n in range(50):
        await _reason(reader, issuer.token(aud=f"a{n}"))
    assert len(reader._checked) == 0
    token = issuer.ec_token()
    for n in range(MAX_TOKENS):
        reader._checked[n.to_bytes(4)] = reader._checked.get(b"", None)  # type: ignore[assignment]
    await reader.principal_of(token)
    assert len(reader._checked) == MAX_TOKENS


async def test_while_no_keys_are_known_a_token_is_not_called_wrong(oidc: AuthSettings, issuer: Issuer) -> None:
    class NoKeys:
        current = None

        async def with_kid(self, kid: str) -> None:
            return None

        async def refresh(self) -> None:
            raise AssertionError

    with pytest.raises(IssuerUnavailable):
        await TokenReader(oidc, NoKeys()).principal_of(issuer.token())
