"""The issuer's public keys: a JSON Web Key Set (RFC 7517), from a file or from the issuer itself."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from jwt import PyJWK
from jwt.exceptions import PyJWTError

from vitrine.errors import SettingsInvalid

MAX_SET_BYTES: Final = 256 * 1024
_MAX_KEYS: Final = 100
# What NIST SP 800-131A allows, and what every provider uses at least.
_MIN_RSA_BITS: Final = 2048

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | ed448.Ed448PublicKey


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One public key, and the only algorithms its signatures are read with, whatever a token says."""

    public: PublicKey
    algorithms: frozenset[str]


KeySet = Mapping[str, SigningKey]
"""Keys by their `kid`."""


class SigningKeys(Protocol):
    """Where the issuer's keys come from."""

    @property
    def current(self) -> KeySet | None:
        """The keys read last; None before any were."""

    async def with_kid(self, kid: str) -> KeySet | None:
        """The keys, after an attempt to learn of one that is not among them."""

    async def refresh(self) -> None:
        """Reads them again when it is time."""


def parse_key_set(content: bytes) -> KeySet:
    """The usable keys of a set. Those of other purposes or unknown kinds are left out, as the RFC wants it.

    Raises:
        SettingsInvalid: it is no key set, or none of its keys can be used. Nothing of it is quoted.
    """
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        raise SettingsInvalid("no valid JSON") from None
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list) or len(listed) > _MAX_KEYS:
        raise SettingsInvalid(f"no list `keys` of at most {_MAX_KEYS}")
    found: dict[str, SigningKey] = {}
    for key in listed:
        if isinstance(key, dict) and isinstance(kid := key.get("kid"), str) and (usable := _signing_key(key)):
            found[kid] = usable
    if not found:
        raise SettingsInvalid("no key for signatures with a `kid`")
    return found


def _signing_key(key: dict[str, Any]) -> SigningKey | None:
    # Only what is written for a public key of a signature; a private one has no business here.
    if key.get("use", "sig") != "sig" or key.get("kty") not in ("RSA", "EC", "OKP") or "d" in key:
        return None
    try:
        public = PyJWK(key).key
    except (PyJWTError, ValueError, TypeError, KeyError, NotImplementedError):
        return None
    algorithms = _algorithms_of(public)
    if "alg" in key:
        algorithms &= {key["alg"]} if isinstance(key["alg"], str) else set()
    return SigningKey(public, algorithms) if algorithms else None


def _algorithms_of(public: object) -> frozenset[str]:
    match public:
        case rsa.RSAPublicKey() if public.key_size >= _MIN_RSA_BITS:
            return frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
        case ec.EllipticCurvePublicKey(curve=ec.SECP256R1()):
            return frozenset({"ES256"})
        case ec.EllipticCurvePublicKey(curve=ec.SECP384R1()):
            return frozenset({"ES384"})
        case ec.EllipticCurvePublicKey(curve=ec.SECP521R1()):
            return frozenset({"ES512"})
        case ed25519.Ed25519PublicKey() | ed448.Ed448PublicKey():
            return frozenset({"EdDSA"})
        case _:
            return frozenset()
