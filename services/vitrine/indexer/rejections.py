"""Why a line of a catalogue did not become a product, and the file that says so."""

import csv
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from vitrine.errors import ImageRejected, InvalidInput, RowRejected

PARTIAL_SUFFIX = ".partial"
MAX_MESSAGE_CHARACTERS = 500


class RowRagged(RowRejected):
    """More or fewer cells than the header has columns."""

    code = "row_ragged"


class RowMalformed(RowRejected):
    """Quotes that never close, or text between a closing quote and the next delimiter."""

    code = "row_malformed"


class RowNotUtf8(RowRejected):
    """Bytes that are no UTF-8."""

    code = "row_not_utf8"


class RowHasNul(RowRejected):
    """A NUL character: Milvus and most file systems cannot hold it."""

    code = "row_nul"


class RowTooLong(RowRejected):
    """One line over the limit, such as a binary file named .csv."""

    code = "row_too_long"


class IdMissing(RowRejected):
    """The id column is empty."""

    code = "id_missing"


class IdInvalid(RowRejected):
    """An id that is too long, holds control characters, or is not made of the digits that the mapping asks for."""

    code = "id_invalid"


class IdDuplicate(RowRejected):
    """An earlier line has the same id; the first one wins."""

    code = "id_duplicate"


class FieldInvalid(RowRejected):
    """A value that is not of its declared type."""

    code = "field_invalid"


class EmbeddingInvalid(RowRejected):
    """A kept embedding that is missing, not finite or not of unit length."""

    code = "embedding_invalid"


class ImageOutsideCatalogue(ImageRejected):
    """A picture's path that leaves the catalogue's folder, by `..`, by being absolute, or through a symbolic link."""

    code = "image_outside_catalogue"


def rejection_codes() -> frozenset[str]:
    """Every code that a rejection can have."""
    return frozenset(kind.code for parent in (RowRejected, ImageRejected) for kind in _family(parent))


@dataclass(frozen=True, slots=True)
class Rejection:
    """One line of the rejects file.

    Args:
        id: the product's id as far as it could be read, else empty.
        line: line of the catalogue file where the record begins, counted from 1, the header included.
        image: path of the picture relative to the catalogue, else empty.
        code: closed set: the `code`s of `RowRejected` and `ImageRejected` and their subclasses.
        message: one sentence for a person.
        owns_id: the line is the one that speaks for this id: it is no duplicate, and the id is no guess.
    """

    id: str
    line: int
    image: str
    code: str
    message: str
    owns_id: bool = False

    @classmethod
    def of(
        cls,
        reason: InvalidInput,
        *,
        product_id: str = "",
        line: int = 0,
        image: str = "",
        owns_id: bool = False,
    ) -> "Rejection":
        """From the error that says why."""
        return cls(product_id, line, image, reason.code, reason.message[:MAX_MESSAGE_CHARACTERS], owns_id)


class RejectsFile:
    """CSV of rejections: streamed to `<path>.partial`, renamed to `path` when the run is over.

    A killed run leaves the partial file beside the complete one of the run before it.
    """

    def __init__(self, path: Path) -> None:
        """Opens the partial file. Raises OSError when the folder cannot be written."""
        self.path = path
        self._partial = path.with_name(path.name + PARTIAL_SUFFIX)
        path.parent.mkdir(parents=True, exist_ok=True)
        # backslashreplace: the very rows that are no UTF-8 must still be writable here.
        self._file = self._partial.open("w", encoding="utf-8", errors="backslashreplace", newline="")
        self._writer = csv.writer(self._file)
        self._writer.writerow(("id", "line", "image", "code", "message"))

    def add(self, rejection: Rejection) -> None:
        """Writes one line through to the operating system, so that it can be followed with `tail -f`."""
        row = (rejection.id, rejection.line, rejection.image, rejection.code, rejection.message)
        self._writer.writerow([cell.replace("\0", "\\0") if isinstance(cell, str) else cell for cell in row])
        self._file.flush()

    def close(self) -> None:
        """Publishes the file under its name. A second call does nothing."""
        if not self._file.closed:
            self._file.close()
            self._partial.replace(self.path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _family(kind: type[InvalidInput]) -> set[type[InvalidInput]]:
    return {kind}.union(*(_family(child) for child in kind.__subclasses__()))
