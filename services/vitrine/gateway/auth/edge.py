"""The gate of the API, as plain ASGI: who asks is known before anything else is done for them."""

from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from vitrine.gateway.admission import API_PREFIX
from vitrine.gateway.auth.authenticator import Authenticator, is_loopback
from vitrine.gateway.auth.errors import CrossSite, Unauthenticated
from vitrine.gateway.auth.principal import ANYBODY
from vitrine.gateway.auth.rates import RateLimits
from vitrine.gateway.context import RequestContext

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods of requests that change nothing."""
_MACHINES: Final = frozenset({"/livez", "/readyz", "/metrics"})
_OWN_SITES: Final = frozenset({b"same-origin", b"none"})


class Authenticate:
    """Lets known callers through to the API, as often as they may.

    The page, pictures, documentation, probes and metrics are open to whoever reaches them.

    Args:
        app: the next ASGI application.
        authenticator: knows them.
        limits: counts their requests.
    """

    def __init__(self, app: ASGIApp, authenticator: Authenticator, limits: RateLimits | None = None) -> None:
        self._app = app
        self._authenticator = authenticator
        self._limits = limits or RateLimits()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(API_PREFIX):
            await self._admit(scope)
        await self._app(scope, receive, send)

    async def _admit(self, scope: Scope) -> None:
        context = RequestContext.of(scope)
        try:
            principal = await self._authenticator.principal_of(scope["headers"])
        except Unauthenticated as error:
            context.facts["reason"] = error.reason
            raise
        context.principal = principal
        context.facts["caller"] = principal.id
        context.allowance = self._limits.bucket_of(principal)
        if context.allowance is not None:
            context.allowance.take(1)


class OwnSite:
    """Where nothing is authenticated: keeps pages of other sites from using a visitor's browser to get in.

    A browser sends what any page tells it to, also to addresses that only it can reach. What such a page asks for is
    refused when it could change something, by `Sec-Fetch-Site` or, from browsers that do not send it, by `Origin`.

    Args:
        app: the next ASGI application.
        loopback_only: also refuse requests for other host names than this machine's own. A page whose name first
            led to its own server, then to 127.0.0.1 (DNS rebinding), would count as the same site.
    """

    def __init__(self, app: ASGIApp, *, loopback_only: bool) -> None:
        self._app = app
        self._loopback_only = loopback_only

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            self._check(scope)
        await self._app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        host = origin = site = None
        for name, value in scope["headers"]:
            if name == b"host":
                host = value
            elif name == b"origin":
                origin = value
            elif name == b"sec-fetch-site":
                site = value
        # No browser leaves `Host` out.
        if self._loopback_only and host is not None and scope["path"] not in _MACHINES and not _names_loopback(host):
            raise CrossSite(
                "This gateway listens on loopback and answers to its names only, such as localhost. Behind a proxy set "
                "VITRINE_AUTH__MODE to on, or to off."
            )
        if not scope["path"].startswith(API_PREFIX):
            return
        if scope["method"] not in SAFE_METHODS and not _from_own_site(site, origin, host):
            raise CrossSite("A page of another site may not send this.")
        RequestContext.of(scope).principal = ANYBODY


@lru_cache(64)
def _names_loopback(host: bytes) -> bool:
    try:
        return is_loopback(urlsplit(f"//{host.decode('ascii')}").hostname or "")
    except ValueError:
        return False


def _from_own_site(site: bytes | None, origin: bytes | None, host: bytes | None) -> bool:
    """Whether no page of another origin sent a request. Programs send neither header, and no page leaves out both."""
    if site is not None:
        # `same-site` is another port or a sibling name: another application.
        return site in _OWN_SITES
    if origin is None:
        return True
    try:
        own = urlsplit(origin.decode("ascii")).netloc.lower()
        # The scheme is left out: a proxy in front may have taken the TLS off. The origin `null` has no host.
        return own != "" and host is not None and own == host.decode("ascii").lower()
    except ValueError:
        return False
