"""Measures what knowing the caller adds to a request: the table of auth.md.

    python docs/measure_auth.py

Calls the gate alone, with the headers of an ordinary search and nothing behind it, and shows the best of five rounds.
"""

import asyncio
import json
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vitrine.gateway.auth.authenticator import open_authenticator
from vitrine.gateway.auth.edge import Authenticate, OwnSite
from vitrine.gateway.auth.keys import ApiKey, KeyRate, digest_of, new_key, render_keys
from vitrine.gateway.auth.principal import Scope as Allowed
from vitrine.gateway.context import RequestContext
from vitrine.settings import AuthSettings, Settings
from vitrine.telemetry.metrics import GatewayMetrics
from vitrine.telemetry.stages import StageClock

ISSUER, AUDIENCE = "https://issuer.example", "vitrine"
KEYS, CALLS, ROUNDS, TOKENS = 1_000, 20_000, 5, 300
HEADERS = (
    (b"host", b"localhost:8080"),
    (b"accept", b"*/*"),
    (b"accept-encoding", b"gzip, deflate"),
    (b"connection", b"keep-alive"),
    (b"user-agent", b"shop"),
    (b"content-length", b"17"),
    (b"content-type", b"application/json"),
)


class Signer:
    """An issuer with one key of each common kind."""

    def __init__(self) -> None:
        self._rsa = rsa.generate_private_key(65537, 2048)
        self._ec = ec.generate_private_key(ec.SECP256R1())

    def key_set(self) -> bytes:
        """What it publishes."""
        public = (
            {**RSAAlgorithm.to_jwk(self._rsa.public_key(), as_dict=True), "kid": "RS256"},
            {**ECAlgorithm.to_jwk(self._ec.public_key(), as_dict=True), "kid": "ES256"},
        )
        return json.dumps({"keys": public}).encode()

    def token(self, algorithm: str, subject: str) -> str:
        """A valid token."""
        claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": subject, "exp": int(time.time()) + 600}
        key = self._rsa if algorithm == "RS256" else self._ec
        return jwt.encode(claims, key, algorithm, headers={"kid": algorithm})


async def nothing(scope: Scope, receive: Receive, send: Send) -> None:
    """What stands behind the gate."""


async def _receive() -> Message:
    raise AssertionError


async def _send(message: Message) -> None:
    raise AssertionError


def _request(*headers: tuple[bytes, bytes]) -> Scope:
    scope: Scope = {"type": "http", "method": "POST", "path": "/v1/collections/products/search"}
    scope["headers"] = [*HEADERS, *headers]
    RequestContext("r", StageClock()).attach(scope)
    return scope


def _with(secret: str) -> Scope:
    return _request((b"authorization", b"Bearer " + secret.encode()))


async def _seconds(app: ASGIApp, requests: Iterable[Scope]) -> float:
    began, count = time.perf_counter(), 0
    for request in requests:
        await app(request, _receive, _send)
        count += 1
    return (time.perf_counter() - began) / count


async def measure(folder: Path) -> None:
    """Prints the table."""
    secret, signer = new_key("shop"), Signer()
    rate = KeyRate(per_second=100_000, burst=1_000_000)
    mine = ApiKey(id="shop", sha256=digest_of(secret).hex(), scopes=frozenset(Allowed), collections="*", rate=rate)
    others = (mine.model_copy(update={"id": f"other-{n}"}) for n in range(KEYS - 1))
    (folder / "keys.json").write_bytes(render_keys([mine, *others]))
    (folder / "keys.json").chmod(0o600)
    (folder / "jwks.json").write_bytes(signer.key_set())
    auth = AuthSettings(
        keys_file=folder / "keys.json",
        oidc_issuer=ISSUER,
        oidc_audience=AUDIENCE,
        oidc_jwks_file=folder / "jwks.json",
    )
    authenticator = open_authenticator(Settings(auth=auth), GatewayMetrics("0", (), (), ()))
    if authenticator is None:
        raise AssertionError("these settings authenticate")
    gate, open_gate = Authenticate(nothing, authenticator), OwnSite(nothing, loopback_only=True)
    browser = _request((b"origin", b"http://localhost:8080"), (b"sec-fetch-site", b"same-origin"))
    for label, app, request in (
        (f"API key, one of {KEYS}, with a rate", gate, _with(secret)),
        ("token that was checked before", gate, _with(signer.token("RS256", "a"))),
        ("no authentication, a program", open_gate, _request()),
        ("no authentication, a browser", open_gate, browser),
    ):
        best = min([await _seconds(app, [request] * CALLS) for _ in range(ROUNDS)])
        print(f"| {label} | {best * 1e6:.1f} |")
    for algorithm in ("RS256", "ES256"):
        tokens = [_with(signer.token(algorithm, f"subject-{n}")) for n in range(TOKENS)]
        print(f"| first check of a token, {algorithm} | {await _seconds(gate, tokens) * 1e6:.0f} |")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        asyncio.run(measure(Path(temporary)))
