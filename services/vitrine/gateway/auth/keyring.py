"""The API keys that are let in now."""

import asyncio
import hmac
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from prometheus_client import Gauge

from vitrine.gateway.auth.errors import Unauthenticated
from vitrine.gateway.auth.kept_file import KeptFile
from vitrine.gateway.auth.keys import MAX_FILE_BYTES, digest_of, id_of, parse_keys
from vitrine.gateway.auth.principal import Principal
from vitrine.gateway.auth.watched_file import WatchedFile

_NO_DIGEST: Final = bytes(32)


@dataclass(frozen=True, slots=True)
class _Admitted:
    digest: bytes
    principal: Principal
    ends: float


class Keyring:
    """Knows keys by their id and compares their digests in constant time.

    Args:
        path: the file of `vitrine key`.
        stale: 1 while the file cannot be used.
        clock: seconds since the epoch.

    Raises:
        SettingsInvalid: there is no usable file to begin with.
    """

    def __init__(self, path: Path, stale: Gauge, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._kept: KeptFile[Mapping[str, _Admitted]] = KeptFile(
            "VITRINE_AUTH__KEYS_FILE", WatchedFile(path, MAX_FILE_BYTES), _admitted, stale, private=True
        )

    def __len__(self) -> int:
        return len(self._kept.value)

    async def refresh(self) -> None:
        """Reads the file again when it has changed. Never raises."""
        await asyncio.to_thread(self._kept.refresh)

    def principal_of(self, key: str) -> Principal:
        """Whoever brings a key.

        Raises:
            Unauthenticated: malformed, of no known id, with another secret, or past its end.
        """
        key_id = id_of(key)
        if key_id is None:
            raise Unauthenticated("malformed key")
        known = self._kept.value.get(key_id)
        # An unknown id takes as long as a wrong secret.
        matches = hmac.compare_digest(digest_of(key), _NO_DIGEST if known is None else known.digest)
        if known is None:
            raise Unauthenticated("unknown key")
        if not matches:
            raise Unauthenticated("wrong secret")
        if self._clock() >= known.ends:
            raise Unauthenticated("expired key")
        return known.principal


def _admitted(content: bytes) -> Mapping[str, _Admitted]:
    return {
        key.id: _Admitted(
            bytes.fromhex(key.sha256),
            key.principal(),
            float("inf") if key.not_after is None else key.not_after.timestamp(),
        )
        for key in parse_keys(content)
    }
