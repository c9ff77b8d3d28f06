"""Where the issuer's public keys come from: a file that may change, or an address asked now and then."""

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import httpx
from prometheus_client import Gauge

from vitrine.errors import SettingsInvalid
from vitrine.gateway.auth.kept_file import Freshness, KeptFile
from vitrine.gateway.auth.signing_keys import MAX_SET_BYTES, KeySet, parse_key_set
from vitrine.gateway.auth.watched_file import WatchedFile

logger = logging.getLogger(__name__)

FETCH_TIMEOUT_S: Final = 3.0
MAX_AGE_S: Final = 300.0
"""After this the keys are fetched again: how long a key that the issuer withdrew is still believed."""
MIN_PAUSE_S: Final = 30.0
"""Least time between two fetches, whatever callers send: an unknown key id costs nothing to invent."""


class FileKeys:
    """Keys from a file.

    Args:
        path: a JSON Web Key Set.
        stale: 1 while the file cannot be used.

    Raises:
        SettingsInvalid: there is no usable file to begin with.
    """

    def __init__(self, path: Path, stale: Gauge) -> None:
        self._kept: KeptFile[KeySet] = KeptFile(
            "VITRINE_AUTH__OIDC_JWKS_FILE", WatchedFile(path, MAX_SET_BYTES), parse_key_set, stale, private=False
        )

    @property
    def current(self) -> KeySet:
        """The keys read last."""
        return self._kept.value

    async def with_kid(self, kid: str) -> KeySet:
        """The same keys: a change of the file is noticed without being asked for."""
        return self._kept.value

    async def refresh(self) -> None:
        """Reads the file again when it has changed. Never raises."""
        await asyncio.to_thread(self._kept.refresh)

    async def close(self) -> None:
        """Nothing is open."""


class FetchedKeys:
    """Keys from the issuer's own address.

    Args:
        client: of HTTP; closed with this.
        url: of a JSON Web Key Set.
        stale: 1 while it cannot be fetched.
        clock: seconds that never go back.
    """

    def __init__(
        self, client: httpx.AsyncClient, url: str, stale: Gauge, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._client = client
        self._url = url
        self._clock = clock
        self._freshness = Freshness("The address of VITRINE_AUTH__OIDC_JWKS_URL", stale)
        self._keys: KeySet | None = None
        self._fetched_at = float("-inf")
        self._tried_at = float("-inf")
        self._fetching: asyncio.Task[None] | None = None

    @property
    def current(self) -> KeySet | None:
        """The keys fetched last; None before the first success."""
        return self._keys

    async def with_kid(self, kid: str) -> KeySet | None:
        """The keys, fetched again for one that is not among them. Everybody who asks meanwhile waits for one fetch."""
        if self._keys is None or kid not in self._keys:
            await self._fetch_unless_recent()
        return self._keys

    async def refresh(self) -> None:
        """Fetches the keys when they are old, or when there are none yet. Never raises."""
        if self._keys is None or self._clock() - self._fetched_at >= MAX_AGE_S:
            await self._fetch_unless_recent()

    async def close(self) -> None:
        """Gives up a fetch under way and closes the client."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.gather(self._fetching, return_exceptions=True)
        await self._client.aclose()

    async def _fetch_unless_recent(self) -> None:
        if self._fetching is None:
            if self._clock() - self._tried_at < MIN_PAUSE_S:
                return
            self._tried_at = self._clock()
            self._fetching = asyncio.create_task(self._fetch())
        # A caller that leaves does not end the fetch that others wait for.
        await asyncio.shield(self._fetching)

    async def _fetch(self) -> None:
        try:
            async with asyncio.timeout(FETCH_TIMEOUT_S):
                keys = parse_key_set(await self._content())
        except (httpx.HTTPError, httpx.InvalidURL, SettingsInvalid, OSError) as error:
            # The kind alone for the network's own: their sentences may carry whatever the other side sent.
            self._freshness.failed(error.message if isinstance(error, SettingsInvalid) else type(error).__name__)
        else:
            # The same object stands for the same keys: tokens checked with them need no second check.
            if keys != self._keys:
                self._keys = keys
                logger.info("The issuer's public keys were fetched: %d.", len(keys))
            self._fetched_at = self._clock()
            self._freshness.succeeded()
        finally:
            self._fetching = None

    async def _content(self) -> bytes:
        # Unpacking could make much of little.
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        async with self._client.stream("GET", self._url, headers=headers) as response:
            if response.status_code != httpx.codes.OK:
                raise SettingsInvalid(f"status {response.status_code}")
            content = bytearray()
            async for piece in response.aiter_raw():
                content += piece
                if len(content) > MAX_SET_BYTES:
                    raise SettingsInvalid(f"more than {MAX_SET_BYTES} bytes")
            return bytes(content)
