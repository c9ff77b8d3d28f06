"""One row of a catalogue, brought as far as it gets without the model: unchanged, rejected, or pixels.

Everything here blocks and is called from threads. It is also the whole of `catalogue check`.
"""

import os
import stat
import time
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, TypeAlias

from vitrine.domain import CatalogueItem
from vitrine.embedding.contract import ImagePolicy
from vitrine.embedding.preprocess import prepare
from vitrine.errors import ImageMissing, ImageRejected, ImageTooLarge, ImageUnreadable
from vitrine.indexer.catalogue import CatalogueRow, inside
from vitrine.indexer.rejections import ImageOutsideCatalogue, Rejection
from vitrine.indexer.report import IndexStage, StageTimes
from vitrine.indexer.states import NO_FILE, Mark, Prepared, Unchanged, content_hash, row_hash
from vitrine.settings import ImageSettings

# A file changed again within its time stamp's granularity would look unchanged (git's "racy" entries). A time this
# young is not recorded, so the next run compares contents once.
SETTLED_NS = 2_000_000_000
_UNICODE_FORMS: tuple[Literal["NFC", "NFD"], ...] = ("NFC", "NFD")

Loaded: TypeAlias = Prepared | Unchanged | Rejection


class Loader:
    """Reads, compares and decodes the pictures of one catalogue. Safe to share between threads.

    Args:
        folder: the catalogue's folder; no picture outside of it is opened.
        fingerprint: of the model; part of every content hash.
        policy: how pixels are made.
        limits: what is accepted as a picture.
        times: where busy seconds are added up.
        compare_contents: do not trust a picture's size and time; read it to see whether it changed.
    """

    def __init__(
        self,
        folder: Path,
        *,
        fingerprint: str,
        policy: ImagePolicy,
        limits: ImageSettings,
        times: StageTimes,
        compare_contents: bool = False,
    ) -> None:
        self._folder = folder
        self._fingerprint = fingerprint
        self._policy = policy
        self._limits = limits
        self._times = times
        self._compare_contents = compare_contents

    def skip(self, row: CatalogueRow, known: Mark | None) -> Unchanged | None:
        """Says whether the row is unchanged as far as can be told without opening its picture."""
        if known is None or known.image_mtime_ns == NO_FILE or self._compare_contents:
            return None
        try:
            state = row.item.image.stat()
        except (OSError, ValueError):
            return None
        same_file = (state.st_size, state.st_mtime_ns) == (known.image_bytes, known.image_mtime_ns)
        if same_file and known.row_hash == row_hash(row.item, self._fingerprint):
            return Unchanged(known, touched=False)
        return None

    def load(self, row: CatalogueRow, known: Mark | None) -> Loaded:
        """Reads and decodes the row's picture, unless its content is what the collection holds.

        Args:
            known: what the collection holds of this product; None when it holds nothing or shall be refilled.
        """
        try:
            with self._times.busy(IndexStage.READ):
                data, mark = self._read(row)
            if known is not None and known.content_hash == mark.content_hash:
                return Unchanged(mark, touched=True)
            with self._times.busy(IndexStage.DECODE):
                pixels = prepare(data, self._policy, self._limits)
        except ImageRejected as reason:
            return Rejection.of(reason, product_id=row.item.id, line=row.line, image=row.item.image_path, owns_id=True)
        return Prepared(row.item, pixels, mark)

    def probe(self, row: CatalogueRow) -> Rejection | None:
        """Says why the row's picture would be rejected, as far as can be told without opening it."""
        try:
            with self._times.busy(IndexStage.READ), _told_as_rejected(self._folder, row.item):
                state = self._state_of(row.item)
                if state.st_size > self._limits.max_bytes:
                    raise self._too_large(row.item)
        except ImageRejected as reason:
            return Rejection.of(reason, product_id=row.item.id, line=row.line, image=row.item.image_path, owns_id=True)
        return None

    def _read(self, row: CatalogueRow) -> tuple[bytes, Mark]:
        item = row.item
        with _told_as_rejected(self._folder, item):
            state = self._state_of(item)
            data = self._bytes_of(item)
        row_digest = row_hash(item, self._fingerprint)
        settled = time.time_ns() - state.st_mtime_ns > SETTLED_NS
        modified = state.st_mtime_ns if settled and state.st_size == len(data) else NO_FILE
        return data, Mark(item.id, content_hash(row_digest, data), row_digest, state.st_size, modified, row.line)

    def _state_of(self, item: CatalogueItem) -> os.stat_result:
        if not inside(self._folder, item.image):
            raise ImageOutsideCatalogue(f"{item.image_path} leads out of the catalogue's folder.")
        state = item.image.stat()
        # A pipe or a device would block or never end.
        if not stat.S_ISREG(state.st_mode):
            raise ImageUnreadable(f"{item.image_path} is no regular file.")
        return state

    def _bytes_of(self, item: CatalogueItem) -> bytes:
        with item.image.open("rb") as file:
            data = file.read(self._limits.max_bytes + 1)
        if len(data) > self._limits.max_bytes:
            raise self._too_large(item)
        return data

    def _too_large(self, item: CatalogueItem) -> ImageTooLarge:
        return ImageTooLarge(f"{item.image_path} has more than {self._limits.max_bytes} bytes.")


@contextmanager
def _told_as_rejected(folder: Path, item: CatalogueItem) -> Iterator[None]:
    """Raises ImageMissing or ImageUnreadable for what the operating system says."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError) as error:
        raise _missing(folder, item) from error
    except (OSError, ValueError) as error:
        raise ImageUnreadable(f"{item.image_path} cannot be read: {error}.") from error


def _missing(folder: Path, item: CatalogueItem) -> ImageMissing:
    for form in _UNICODE_FORMS:
        # Files from a Mac are often named in NFD, rows written in NFC: the same to read, other bytes.
        twin = unicodedata.normalize(form, item.image_path)
        if twin != item.image_path and (folder / twin).exists():
            return ImageMissing(
                f"There is no file {item.image_path}, only one whose name is written in Unicode's {form}."
            )
    return ImageMissing(f"There is no file {item.image_path}.")
