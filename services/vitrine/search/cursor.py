"""Cursors: where a walk over the hits of one search has come to, kept by the caller and not by a server.

A cursor is url-safe base64 of

    version (1 byte), when it was made (4, seconds), digest of the request (16), digest of the collection's build (8),
    best score of the walk (4, float), rows looked through (2), length of the name (1), the collection's own name,
    6 bytes for each hit or group given so far, and a signature (16).

What was given stands there as keyed hashes: who holds the cursor learns nothing about a query or a product from it.
They are as good as random, so there is nothing to compress: 100 hits are 600 bytes, 800 characters, and all the rest is
about 80.
"""

import base64
import binascii
import hashlib
import hmac
import secrets
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Self

from vitrine.errors import CursorExpired, CursorInvalid, SettingsInvalid
from vitrine.search.request import ImagePart, ItemPart, SearchRequest, TextPart
from vitrine.settings import SearchSettings
from vitrine.vectorstore.collection import CollectionInfo

MARK_BYTES: Final = 6
"""Of the hash of what was given. In one of 500 million walks of a thousand hits, two share it and one is left out."""
MAX_CURSOR_CHARS: Final = 70_000
"""More than any cursor has: the settings allow no deeper walk than 8,192 hits."""

_VERSION: Final = 1
_HEAD: Final = struct.Struct(">BI16s8sfHB")
_SIGNATURE_BYTES: Final = 16
_LEAST_KEY_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class Position:
    """How far a walk has come.

    Args:
        collection: the own name of the collection it began with.
        build: digest of that collection's build id.
        request: digest of the request it belongs to.
        best: score of the first hit of the first page.
        rows: neighbours that had to be looked through so far.
        seen: marks of what was given.
    """

    collection: str
    build: bytes
    request: bytes
    best: float
    rows: int
    seen: frozenset[bytes]


class Cursors:
    """Writes cursors and reads them back.

    Args:
        key: secret; every replica needs the same.
        ttl_s: seconds a cursor can be used.
        now: seconds since 1970.
    """

    def __init__(self, key: bytes, ttl_s: int, now: Callable[[], float] = time.time) -> None:
        self._signing, self._hashing = (_derived(key, use) for use in (b"signature", b"marks"))
        self._ttl_s = ttl_s
        self._now = now

    @classmethod
    def of(cls, settings: SearchSettings) -> Self:
        """Raises SettingsInvalid: a key so short that it can be guessed."""
        return cls(cursor_key(settings), settings.cursor_ttl_s)

    def digest(self, request: SearchRequest) -> bytes:
        """16 bytes that differ for requests whose walks differ; hashes every byte of a picture."""
        parts = [_told(part) for part in request.parts]
        told = (
            request.collection,
            parts,
            sorted(request.params.items()),
            request.filter,
            request.min_score,
            request.relative_cut,
            request.group_by,
            request.audience,
        )
        return hashlib.blake2b(repr(told).encode(), digest_size=16, key=self._hashing, person=b"request").digest()

    def build(self, collection: CollectionInfo) -> bytes:
        """8 bytes that differ for two collections that had one name after each other."""
        told = collection.build_id.encode()
        return hashlib.blake2b(told, digest_size=8, key=self._hashing, person=b"build").digest()

    def mark(self, request: bytes, unit: str) -> bytes:
        """The hash of a hit or a group, another one in each walk."""
        return hashlib.blake2b(unit.encode(), digest_size=MARK_BYTES, key=self._hashing, salt=request).digest()

    def write(self, position: Position) -> str:
        """The cursor for the page after `position`."""
        name = position.collection.encode()
        head = _HEAD.pack(
            _VERSION, int(self._now()), position.request, position.build, position.best, position.rows, len(name)
        )
        content = b"".join((head, name, *sorted(position.seen)))
        return base64.urlsafe_b64encode(content + self._signature(content)).rstrip(b"=").decode()

    def read(self, cursor: str, request: bytes) -> Position:
        """What `write` wrote.

        Args:
            cursor: as it was sent.
            request: digest of the request that it came with.

        Raises:
            CursorInvalid: altered, signed with another key, or made for another request or caller.
            CursorExpired: older than it may be.
        """
        content = self._verified(cursor)
        version, made, own_request, build, best, rows, length = _HEAD.unpack_from(content)
        if version != _VERSION:
            raise CursorInvalid("This cursor was made by another version of the server.")
        if not hmac.compare_digest(own_request, request):
            raise CursorInvalid("This cursor belongs to another search: only `limit` may change between pages.")
        if self._now() - made > self._ttl_s:
            raise CursorExpired(f"A cursor can be used for {self._ttl_s} seconds.", seconds=self._ttl_s)
        start = _HEAD.size + length
        marks = (content[at : at + MARK_BYTES] for at in range(start, len(content), MARK_BYTES))
        return Position(content[_HEAD.size : start].decode(), build, own_request, best, rows, frozenset(marks))

    def _verified(self, cursor: str) -> bytes:
        signed = _decoded(cursor)
        content, signature = signed[:-_SIGNATURE_BYTES], signed[-_SIGNATURE_BYTES:]
        if not hmac.compare_digest(self._signature(content), signature) or len(content) < _HEAD.size:
            raise CursorInvalid("This is no cursor of this server, or it was altered.")
        return content

    def _signature(self, content: bytes) -> bytes:
        # Keyed as RFC 7693 says, which needs no HMAC around it.
        return hashlib.blake2b(content, digest_size=_SIGNATURE_BYTES, key=self._signing, person=b"signature").digest()


def cursor_key(settings: SearchSettings) -> bytes:
    """The key of the settings; without one, a new one at each call.

    Raises:
        SettingsInvalid: a key so short that it can be guessed.
    """
    key = settings.cursor_key.get_secret_value().encode() or secrets.token_bytes(32)
    if len(key) < _LEAST_KEY_BYTES:
        raise SettingsInvalid(
            f"VITRINE_SEARCH__CURSOR_KEY needs {_LEAST_KEY_BYTES} bytes at least; `openssl rand -hex 32` makes one."
        )
    return key


def _derived(key: bytes, use: bytes) -> bytes:
    return hmac.digest(key, b"vitrine cursor " + use, "sha256")


def _told(part: TextPart | ImagePart | ItemPart) -> tuple[str, str | bytes, float]:
    weight = float(part.weight)
    if isinstance(part, TextPart):
        return "text", part.text, weight
    if isinstance(part, ItemPart):
        return "item", part.id, weight
    return "image", hashlib.blake2b(part.data, digest_size=32).digest(), weight


def _decoded(cursor: str) -> bytes:
    refused = CursorInvalid("This is no cursor of this server, or it was altered.")
    if len(cursor) > MAX_CURSOR_CHARS:
        raise refused
    try:
        signed = base64.b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise refused from None
    # Base64 has several spellings of the same bytes; one is ours.
    if base64.urlsafe_b64encode(signed).rstrip(b"=").decode() != cursor:
        raise refused
    return signed
