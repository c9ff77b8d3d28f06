"""API keys: how one is written, what is kept of it, and the file of those that are let in."""

import hashlib
import re
import secrets
import string
from collections.abc import Sequence
from typing import Annotated, Final, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, field_serializer

from vitrine.errors import SettingsInvalid
from vitrine.gateway.auth.principal import Principal, Rate, Scope

KEY_ID_PATTERN: Final = r"^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$"
"""Without an underscore, which separates the parts of a key."""
COLLECTION_PATTERN: Final = r"^[A-Za-z_][A-Za-z0-9_]{0,254}$"
MAX_FILE_BYTES: Final = 4 * 1024 * 1024
"""About ten thousand keys."""
MAX_PER_SECOND: Final = 100_000
"""Highest rate of a key; more than a process can serve."""

_ALPHABET: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase
_SECRET_BYTES: Final = 32
# The digits of base 62 that 256 bits need. No separator among them: a double click selects the whole secret.
_SECRET_DIGITS: Final = 43
_KEY: Final = re.compile(rf"vitrine_([a-z0-9-]{{1,63}})_[0-9A-Za-z]{{{_SECRET_DIGITS}}}")

KeyId = Annotated[str, Field(pattern=KEY_ID_PATTERN)]
CollectionName = Annotated[str, Field(pattern=COLLECTION_PATTERN)]


class _Entry(BaseModel):
    """A misspelt member could be a limit that is silently missing, so it is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class KeyRate(_Entry):
    """How often a key may be used."""

    per_second: float = Field(gt=0, le=MAX_PER_SECOND, allow_inf_nan=False)
    burst: int = Field(ge=1, le=10 * MAX_PER_SECOND)


class ApiKey(_Entry):
    """One key as the file has it.

    Args:
        id: stands in the key itself, in logs and in the file.
        sha256: of the whole key, in hexadecimal. A slow hash protects what can be guessed; 256 random bits cannot.
        scopes: what it may do.
        collections: names and aliases it may use, or `*` for all.
        rate: how often it may be used; None: without limit.
        not_after: from then on it is refused.
        note: for people.
    """

    id: KeyId
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    scopes: frozenset[Scope]
    collections: frozenset[CollectionName] | Literal["*"]
    rate: KeyRate | None = None
    not_after: AwareDatetime | None = None
    note: str = Field("", max_length=200)

    @field_serializer("scopes", "collections")
    def _in_order(self, value: frozenset[str] | str) -> list[str] | str:
        return value if isinstance(value, str) else sorted(value)

    def principal(self) -> Principal:
        """Whoever brings this key."""
        return Principal(
            id=f"key:{self.id}",
            scopes=self.scopes,
            collections=None if isinstance(self.collections, str) else self.collections,
            rate=None if self.rate is None else Rate(self.rate.per_second, self.rate.burst),
        )


class _KeysDocument(_Entry):
    keys: tuple[ApiKey, ...]


def new_key(key_id: str) -> str:
    """A new random key: `vitrine_<id>_<43 digits and letters>`, 256 bits."""
    number = int.from_bytes(secrets.token_bytes(_SECRET_BYTES))
    digits = []
    for _ in range(_SECRET_DIGITS):
        number, digit = divmod(number, len(_ALPHABET))
        digits.append(_ALPHABET[digit])
    return f"vitrine_{key_id}_{''.join(reversed(digits))}"


def id_of(key: str) -> str | None:
    """The id that a key names; None for what cannot be a key."""
    match = _KEY.fullmatch(key)
    return match[1] if match else None


def digest_of(key: str) -> bytes:
    """What is kept of a key: SHA-256, 32 bytes."""
    return hashlib.sha256(key.encode()).digest()


def parse_keys(content: bytes) -> tuple[ApiKey, ...]:
    """The keys of a file.

    Raises:
        SettingsInvalid: it is no such JSON, or names an id twice. The sentence says where, and quotes no value.
    """
    try:
        keys = _KeysDocument.model_validate_json(content).keys
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the document"
        what = "no valid JSON" if first["type"] == "json_invalid" else first["msg"]
        raise SettingsInvalid(f"{where}: {what}") from None
    seen: set[str] = set()
    for key in keys:
        if key.id in seen:
            raise SettingsInvalid(f"the id {key.id!r} is there twice")
        seen.add(key.id)
    return keys


def render_keys(keys: Sequence[ApiKey]) -> bytes:
    """The file of some keys, for people to read and to review."""
    return _KeysDocument(keys=tuple(keys)).model_dump_json(indent=2, exclude_none=True).encode() + b"\n"
