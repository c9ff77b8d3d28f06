"""The states of a product on its way through a run, and what identifies its content."""

import hashlib
import json
from dataclasses import dataclass, replace

from vitrine.domain import CatalogueItem, EmbeddedItem, Pixels

NO_FILE = -1
"""Size and time of a picture whose file state is not known or cannot be relied on."""


@dataclass(frozen=True, slots=True)
class Mark:
    """What identifies one state of one product.

    Args:
        id: the product.
        content_hash: 32 bytes over the row, the picture's bytes and the model's fingerprint.
        row_hash: 32 bytes over the row and the fingerprint alone.
        image_bytes: size of the picture's file, or `NO_FILE`.
        image_mtime_ns: its modification time, or `NO_FILE`.
        line: where the catalogue has it.
    """

    id: str
    content_hash: bytes
    row_hash: bytes
    image_bytes: int = NO_FILE
    image_mtime_ns: int = NO_FILE
    line: int = 0


@dataclass(frozen=True, slots=True)
class Unchanged:
    """The collection holds this very content. `touched` when the ledger's file state is out of date."""

    mark: Mark
    touched: bool

    def at_line(self, line: int) -> "Unchanged":
        """The same, told by another line of the catalogue than before, maybe."""
        return self if line == self.mark.line else Unchanged(replace(self.mark, line=line), self.touched)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A row ready for the model: its pixels, uint8 [size, size, 3], and what to record once it is written."""

    item: CatalogueItem
    pixels: Pixels
    mark: Mark


@dataclass(frozen=True, slots=True)
class Embedded:
    """A product with its vector, and what to record once it is written."""

    item: EmbeddedItem
    mark: Mark


def row_hash(item: CatalogueItem, fingerprint: str) -> bytes:
    """32 bytes over everything of a product that is stored, but its picture, and the model's fingerprint."""
    row = [fingerprint, item.id, item.title, item.group, item.image_path, sorted(item.fields.items())]
    return hashlib.sha256(json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode()).digest()


def content_hash(row_digest: bytes, picture: bytes) -> bytes:
    """32 bytes over a row's hash and its picture's bytes."""
    return hashlib.sha256(row_digest + hashlib.sha256(picture).digest()).digest()
