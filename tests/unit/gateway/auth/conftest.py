"""An issuer of tokens with keys of its own, and callers with API keys."""

import base64
import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from vitrine.gateway.auth.keys import ApiKey, KeyRate, digest_of, new_key, render_keys
from vitrine.gateway.auth.principal import Scope
from vitrine.settings import AuthSettings

ISSUER = "https://issuer.example"
AUDIENCE = "vitrine"


@dataclass
class Issuer:
    """Signs tokens as an OpenID provider does, and publishes its keys."""

    rsa_key: rsa.RSAPrivateKey = field(default_factory=lambda: rsa.generate_private_key(65537, 2048))
    ec_key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def key_set(self, rsa_kid: str = "r1", ec_kid: str = "e1") -> bytes:
        """What it publishes."""
        rsa_public: dict[str, Any] = RSAAlgorithm.to_jwk(self.rsa_key.public_key(), as_dict=True)
        ec_public: dict[str, Any] = ECAlgorithm.to_jwk(self.ec_key.public_key(), as_dict=True)
        rsa_public |= {"kid": rsa_kid, "use": "sig", "alg": "RS256"}
        return json.dumps({"keys": [rsa_public, ec_public | {"kid": ec_kid}]}).encode()

    @property
    def public_pem(self) -> bytes:
        """Its RSA key as anybody may have it."""
        return self.rsa_key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Claims of a valid token; a change to None leaves one out."""
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": "jane@shop.example",
            "exp": int(time.time()) + 600,
            "scope": "openid vitrine:search",
            "vitrine_collections": ["products"],
            **changes,
        }
        return {name: value for name, value in claims.items() if value is not None}

    def token(self, *, header: dict[str, Any] | None = None, **changes: Any) -> str:
        """A token signed with the RSA key."""
        return jwt.encode(self.claims(**changes), self.rsa_key, "RS256", headers={"kid": "r1", **(header or {})})

    def ec_token(self, **changes: Any) -> str:
        """A token signed with the elliptic key."""
        return jwt.encode(self.claims(**changes), self.ec_key, "ES256", headers={"kid": "e1"})


def unsigned(header: dict[str, Any], claims: dict[str, Any], signature: bytes = b"") -> str:
    """A token put together by hand, with whatever in it."""
    parts = (json.dumps(header).encode(), json.dumps(claims).encode(), signature)
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


@pytest.fixture(scope="session")
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture
def jwks_file(issuer: Issuer, tmp_path: Path) -> Path:
    path = tmp_path / "jwks.json"
    path.write_bytes(issuer.key_set())
    return path


@pytest.fixture
def oidc(jwks_file: Path) -> AuthSettings:
    return AuthSettings(oidc_issuer=ISSUER, oidc_audience=AUDIENCE, oidc_jwks_file=jwks_file)


@dataclass
class Keys:
    """A file of API keys, and the keys themselves."""

    path: Path
    entries: list[ApiKey] = field(default_factory=list)

    def add(self, key_id: str, *scopes: Scope, collections: Any = "*", rate: KeyRate | None = None) -> str:
        """Adds a key to the file and returns it."""
        key = new_key(key_id)
        self.entries.append(
            ApiKey(
                id=key_id,
                sha256=digest_of(key).hex(),
                scopes=frozenset(scopes),
                collections=collections if collections == "*" else frozenset(collections),
                rate=rate,
            )
        )
        self.path.write_bytes(render_keys(self.entries))
        self.path.chmod(0o600)
        return key


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path / "keys.json")
