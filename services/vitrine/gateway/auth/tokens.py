"""JSON Web Tokens of one OpenID issuer (RFC 7519, with the advice of RFC 8725)."""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import jwt
from jwt.exceptions import (
    ExpiredSignatureError,
    ImmatureSignatureError,
    InvalidAudienceError,
    InvalidIssuerError,
    InvalidSignatureError,
    MissingRequiredClaimError,
    PyJWTError,
)

from vitrine.gateway.auth.errors import IssuerUnavailable, Unauthenticated
from vitrine.gateway.auth.principal import Principal, Rate, Scope
from vitrine.gateway.auth.signing_keys import KeySet, SigningKeys
from vitrine.settings import AuthSettings

LEEWAY_S: Final = 30
MAX_TOKENS: Final = 4_096
"""Checked tokens remembered, about 1 KiB each: checking a signature costs some hundred times a look-up."""
SCOPE_PREFIX: Final = "vitrine:"
"""A bare `admin` may mean anything to an issuer that serves other applications too."""
ALL_COLLECTIONS: Final = "*"
# Python's whole numbers have no end, floats do.
_FAR: Final = 2**40
_REQUIRED: Final = ("exp", "iss", "aud", "sub")
_REASONS: Final[Mapping[type[PyJWTError], str]] = {
    ExpiredSignatureError: "expired token",
    ImmatureSignatureError: "token not valid yet",
    InvalidAudienceError: "wrong audience",
    InvalidIssuerError: "wrong issuer",
    InvalidSignatureError: "wrong signature",
    MissingRequiredClaimError: "claim missing",
}


@dataclass(frozen=True, slots=True)
class _Checked:
    principal: Principal
    ends: float


class TokenReader:
    """Tells from a token who brings it.

    Args:
        settings: what is accepted.
        keys: the issuer's.
        clock: seconds since the epoch.
    """

    def __init__(self, settings: AuthSettings, keys: SigningKeys, clock: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._keys = keys
        self._clock = clock
        self._allowed = frozenset(settings.oidc_algorithms)
        self._rate = Rate(settings.oidc_rate, settings.oidc_burst) if settings.oidc_rate else None
        self._checked: OrderedDict[bytes, _Checked] = OrderedDict()
        self._checked_with: KeySet | None = None

    async def principal_of(self, token: str) -> Principal:
        """Whoever brings a token.

        Raises:
            Unauthenticated: anything about it is not as it must be.
            IssuerUnavailable: the issuer's keys are not known yet.
        """
        if self._checked_with is not self._keys.current:
            # A key that was withdrawn takes what was checked with it along.
            self._checked.clear()
            self._checked_with = self._keys.current
        digest = hashlib.sha256(token.encode()).digest()
        checked = self._checked.get(digest)
        if checked is not None and self._clock() < checked.ends:
            self._checked.move_to_end(digest)
            return checked.principal
        claims = await self._claims_of(token)
        principal = self._principal(claims)
        if self._checked_with is self._keys.current:
            self._checked[digest] = _Checked(principal, min(int(claims["exp"]), _FAR) + LEEWAY_S)
            if len(self._checked) > MAX_TOKENS:
                self._checked.popitem(last=False)
        return principal

    async def _claims_of(self, token: str) -> dict[str, Any]:
        try:
            header = jwt.get_unverified_header(token)
        except (PyJWTError, ValueError, RecursionError):
            raise Unauthenticated("malformed token") from None
        algorithm, kid = header.get("alg"), header.get("kid")
        if not isinstance(algorithm, str) or algorithm not in self._allowed:
            raise Unauthenticated("algorithm not accepted")
        # Critical extensions must be understood or refused (RFC 7515, 4.1.11), and none is understood here.
        if not isinstance(kid, str) or "crit" in header:
            raise Unauthenticated("malformed token")
        keys = await self._keys.with_kid(kid)
        if keys is None:
            raise IssuerUnavailable("The public keys of the issuer have not been read yet.")
        key = keys.get(kid)
        if key is None:
            raise Unauthenticated("unknown signing key")
        if algorithm not in key.algorithms:
            raise Unauthenticated("algorithm not accepted")
        try:
            return jwt.decode(
                token,
                key.public,
                algorithms=sorted(self._allowed & key.algorithms),
                audience=self._settings.oidc_audience,
                issuer=self._settings.oidc_issuer,
                leeway=LEEWAY_S,
                options={"require": list(_REQUIRED)},
            )
        except (PyJWTError, ValueError, TypeError, OverflowError, RecursionError) as error:
            raise Unauthenticated(_reason(error)) from None

    def _principal(self, claims: Mapping[str, Any]) -> Principal:
        # A subject may be somebody's address: logs get its hash. The issuer is always the same one.
        subject = hashlib.sha256(claims["sub"].encode("utf-8", "surrogatepass")).hexdigest()[:32]
        return Principal(
            id=f"jwt:{subject}", scopes=_scopes(claims), collections=self._collections(claims), rate=self._rate
        )

    def _collections(self, claims: Mapping[str, Any]) -> frozenset[str] | None:
        if not self._settings.oidc_collections_claim:
            return None
        names = frozenset(_words(claims.get(self._settings.oidc_collections_claim)))
        return None if ALL_COLLECTIONS in names else names


def _scopes(claims: Mapping[str, Any]) -> frozenset[Scope]:
    granted = {*_words(claims.get("scope")), *_words(claims.get("scp"))}
    return frozenset(scope for scope in Scope if f"{SCOPE_PREFIX}{scope.value}" in granted)


def _words(claim: object) -> list[str]:
    """A claim with several values: issuers write them as a list, or separated by spaces. Anything else has none."""
    if isinstance(claim, str):
        return claim.split()
    if isinstance(claim, list):
        return [word for word in claim if isinstance(word, str)]
    return []


def _reason(error: Exception) -> str:
    return next((reason for kind, reason in _REASONS.items() if isinstance(error, kind)), "malformed token")
