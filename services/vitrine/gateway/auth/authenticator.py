"""Decides whether callers must show who they are, and who they are."""

import asyncio
import contextlib
import ipaddress
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Final
from urllib.parse import urlsplit

import httpx

from vitrine.errors import SettingsInvalid
from vitrine.gateway.auth.credentials import credential_in
from vitrine.gateway.auth.errors import Unauthenticated
from vitrine.gateway.auth.key_sources import FETCH_TIMEOUT_S, FetchedKeys, FileKeys
from vitrine.gateway.auth.keyring import Keyring
from vitrine.gateway.auth.principal import Principal
from vitrine.gateway.auth.tokens import TokenReader
from vitrine.settings import AuthSettings, Settings
from vitrine.telemetry.metrics import GatewayMetrics

logger = logging.getLogger(__name__)

# A key that was removed works at most this long, and the time to read the file.
_REFRESH_S: Final = 1.0


class Authenticator:
    """Knows the callers that are let in.

    Args:
        keyring: API keys; None when there are none.
        tokens: reads JWTs; None when there is no issuer.
        issuer_keys: what `tokens` checks with.
    """

    def __init__(
        self, keyring: Keyring | None, tokens: TokenReader | None, issuer_keys: FileKeys | FetchedKeys | None
    ) -> None:
        self._keyring = keyring
        self._tokens = tokens
        self._issuer_keys = issuer_keys

    async def principal_of(self, headers: Iterable[tuple[bytes, bytes]]) -> Principal:
        """Whoever sends a request with these headers.

        Raises:
            Unauthenticated: no valid credentials.
            IssuerUnavailable: a token that cannot be checked yet.
        """
        credential = credential_in(headers)
        if credential.is_key:
            if self._keyring is None:
                raise Unauthenticated("no keys are accepted")
            return self._keyring.principal_of(credential.secret)
        if self._tokens is None:
            raise Unauthenticated("no tokens are accepted")
        return await self._tokens.principal_of(credential.secret)

    @contextlib.asynccontextmanager
    async def kept_fresh(self) -> AsyncIterator[None]:
        """While this lasts, changes of the files and of the issuer's keys are noticed within about a second."""
        watching = [asyncio.create_task(_repeat(refresh)) for refresh in self._sources()]
        try:
            yield
        finally:
            for task in watching:
                task.cancel()
            await asyncio.gather(*watching, return_exceptions=True)
            if self._issuer_keys is not None:
                await self._issuer_keys.close()

    async def refresh(self) -> None:
        """Reads again what has changed or is old."""
        await asyncio.gather(*(refresh() for refresh in self._sources()))

    def _sources(self) -> list[Callable[[], Awaitable[None]]]:
        # Apart from each other: an issuer that takes its time must not keep a revoked key alive.
        return [source.refresh for source in (self._keyring, self._issuer_keys) if source is not None]


async def _repeat(refresh: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await refresh()
        except Exception:
            # Without this loop a revoked key would work for ever, so nothing may end it.
            logger.exception("Credentials could not be read again.")
        await asyncio.sleep(_REFRESH_S)


def auth_required(settings: Settings) -> bool:
    """Whether callers must show who they are."""
    auth = settings.auth
    if auth.mode != "auto":
        return auth.mode == "on"
    return auth.keys_file is not None or bool(auth.oidc_issuer) or not is_loopback(settings.gateway.host)


def is_loopback(host: str) -> bool:
    """Whether a host name or address can only mean this machine. No name is resolved: who answers may lie."""
    name = host.removeprefix("[").removesuffix("]").rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def open_authenticator(settings: Settings, metrics: GatewayMetrics) -> Authenticator | None:
    """What the settings ask for; None when nothing is authenticated.

    Raises:
        SettingsInvalid: callers must be authenticated, but nothing says how, or what says it cannot be used.
    """
    auth = settings.auth
    if not auth_required(settings):
        if not is_loopback(settings.gateway.host):
            logger.warning(
                "VITRINE_AUTH__MODE is off: everybody who reaches %s may do everything.", settings.gateway.host
            )
        return None
    if auth.keys_file is None and not auth.oidc_issuer:
        raise SettingsInvalid(
            f"The API on {settings.gateway.host!r} cannot be used without authentication: set VITRINE_AUTH__KEYS_FILE "
            "(made by `vitrine key create`) or VITRINE_AUTH__OIDC_ISSUER, or VITRINE_AUTH__MODE=off for everybody."
        )
    keyring = None if auth.keys_file is None else Keyring(auth.keys_file, metrics.auth_keys_stale)
    if keyring is not None and not len(keyring):
        logger.warning("The file of VITRINE_AUTH__KEYS_FILE has no keys.")
    issuer_keys = _issuer_keys(auth, metrics)
    tokens = None if issuer_keys is None else TokenReader(auth, issuer_keys)
    return Authenticator(keyring, tokens, issuer_keys)


def _issuer_keys(auth: AuthSettings, metrics: GatewayMetrics) -> FileKeys | FetchedKeys | None:
    if not auth.oidc_issuer:
        if auth.oidc_audience or auth.oidc_jwks_url or auth.oidc_jwks_file is not None:
            raise SettingsInvalid("VITRINE_AUTH__OIDC_ISSUER: must be set when the other settings of OIDC are.")
        return None
    if not auth.oidc_audience:
        raise SettingsInvalid(
            "VITRINE_AUTH__OIDC_AUDIENCE: must be set: tokens for other services are not for this one."
        )
    if (auth.oidc_jwks_file is None) == (not auth.oidc_jwks_url):
        raise SettingsInvalid("Set one of VITRINE_AUTH__OIDC_JWKS_FILE and VITRINE_AUTH__OIDC_JWKS_URL.")
    if auth.oidc_jwks_file is not None:
        return FileKeys(auth.oidc_jwks_file, metrics.auth_issuer_stale)
    _check_address(auth.oidc_jwks_url)
    client = httpx.AsyncClient(timeout=FETCH_TIMEOUT_S, follow_redirects=False)
    return FetchedKeys(client, auth.oidc_jwks_url, metrics.auth_issuer_stale)


def _check_address(url: str) -> None:
    try:
        parts = urlsplit(url)
        usable = parts.scheme == "https" and bool(parts.hostname) and parts.username is None
    except ValueError:
        usable = False
    if not usable:
        raise SettingsInvalid("VITRINE_AUTH__OIDC_JWKS_URL: must be an https address without a password in it.")
