import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from tests.unit.gateway.auth.conftest import Issuer
from vitrine.errors import SettingsInvalid
from vitrine.gateway.auth.signing_keys import parse_key_set

RSA = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})


def _rsa(bits: int = 2048) -> dict[str, Any]:
    public: dict[str, Any] = RSAAlgorithm.to_jwk(rsa.generate_private_key(65537, bits).public_key(), as_dict=True)
    return {**public, "kid": "k"}


def _set(*keys: Any) -> bytes:
    return json.dumps({"keys": list(keys)}).encode()


def test_a_key_is_read_with_the_algorithms_of_its_kind_or_the_one_it_names(issuer: Issuer) -> None:
    keys = parse_key_set(issuer.key_set())
    assert keys["r1"].algorithms == {"RS256"}
    assert keys["e1"].algorithms == {"ES256"}
    assert parse_key_set(_set(_rsa()))["k"].algorithms == RSA


@pytest.mark.parametrize(("curve", "algorithm"), [(ec.SECP384R1(), "ES384"), (ec.SECP521R1(), "ES512")])
def test_each_curve_has_its_algorithm(curve: ec.EllipticCurve, algorithm: str) -> None:
    public = ECAlgorithm.to_jwk(ec.generate_private_key(curve).public_key(), as_dict=True)
    assert parse_key_set(_set({**public, "kid": "k"}))["k"].algorithms == {algorithm}


def test_edwards_curves_are_read() -> None:
    public = OKPAlgorithm.to_jwk(ed25519.Ed25519PrivateKey.generate().public_key(), as_dict=True)
    assert parse_key_set(_set({**public, "kid": "k"}))["k"].algorithms == {"EdDSA"}


@pytest.mark.parametrize(
    "useless",
    [
        {"kty": "oct", "k": "c2VjcmV0", "kid": "x", "alg": "HS256"},
        {"kty": "RSA", "kid": "x"},
        {"kty": ["RSA"], "kid": "x"},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "kid": "x"},
        {"kty": "new", "kid": "x"},
        {"kid": "x"},
        7,
        None,
    ],
)
def test_keys_that_cannot_be_used_are_left_out(issuer: Issuer, useless: Any) -> None:
    good = json.loads(issuer.key_set())["keys"]
    assert parse_key_set(_set(useless, *good)).keys() == {"r1", "e1"}
    with pytest.raises(SettingsInvalid):
        parse_key_set(_set(useless))


@pytest.mark.parametrize(
    "change",
    [{"use": "enc"}, {"kid": None}, {"kid": 7}, {"alg": "HS256"}, {"alg": "none"}, {"alg": "RSA-OAEP"}, {"alg": []}],
)
def test_keys_for_something_else_are_left_out(change: dict[str, Any]) -> None:
    with pytest.raises(SettingsInvalid, match="no key for signatures"):
        parse_key_set(_set({**_rsa(), **change}))


def test_a_private_key_is_not_taken(issuer: Issuer) -> None:
    private: dict[str, Any] = RSAAlgorithm.to_jwk(issuer.rsa_key, as_dict=True)
    with pytest.raises(SettingsInvalid):
        parse_key_set(_set({**private, "kid": "k"}))


def test_a_short_key_is_not_taken() -> None:
    with pytest.raises(SettingsInvalid):
        parse_key_set(_set(_rsa(1024)))


@pytest.mark.parametrize("content", [b"", b"no", b"[]", b"{}", b'{"keys":{}}', b'{"keys":[]}', b"[" * 100_000, b"\xff"])
def test_what_is_no_key_set_is_refused(content: bytes) -> None:
    with pytest.raises(SettingsInvalid):
        parse_key_set(content)


def test_a_set_of_any_size_is_refused() -> None:
    with pytest.raises(SettingsInvalid, match="at most 100"):
        parse_key_set(_set(*[_rsa()] * 101))
