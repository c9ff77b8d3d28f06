"""The lines of a text file, each decoded or refused on its own. Limits keep memory flat, whatever the file is."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

from vitrine.errors import CatalogueInvalid, RowRejected
from vitrine.indexer.rejections import RowHasNul, RowNotUtf8, RowTooLong

MAX_LINE_BYTES = 1024 * 1024
_KEPT_OF_BROKEN = 4096
_UTF8_BOM = b"\xef\xbb\xbf"
_UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True)
class Line:
    """One physical line.

    Args:
        number: counted from 1.
        text: with its end; of a line that cannot be used, what could still be told of its beginning.
        reason: why it cannot be used; None for a good one.
    """

    number: int
    text: str
    reason: RowRejected | None = None


class LineReader:
    """Reads lines, and takes back those that a reader looked at too early.

    Args:
        stream: binary, at its beginning.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._returned: deque[Line] = deque()
        self._number = 0

    def next(self) -> Line | None:
        """The next line; None at the end.

        Raises:
            CatalogueInvalid: the file is UTF-16, or the operating system cannot read on.
        """
        if self._returned:
            return self._returned.popleft()
        data = self._read(MAX_LINE_BYTES + 1)
        if not data:
            return None
        self._number += 1
        if self._number == 1:
            if data.startswith(_UTF16_BOMS):
                raise CatalogueInvalid("The catalogue file is UTF-16; save it as UTF-8.")
            data = data.removeprefix(_UTF8_BOM)
        if len(data) > MAX_LINE_BYTES:
            self._skip_rest_of_line(data)
            return self._broken(data[:_KEPT_OF_BROKEN], RowTooLong(f"The line is longer than {MAX_LINE_BYTES} bytes."))
        if b"\0" in data:
            return self._broken(data, RowHasNul("The line contains a NUL character."))
        try:
            return Line(self._number, data.decode("utf-8"))
        except UnicodeDecodeError as error:
            return self._broken(data, RowNotUtf8(f"Byte {error.start + 1} of the line is not UTF-8."))

    def give_back(self, lines: Sequence[Line]) -> None:
        """Makes these the next lines, in this order."""
        self._returned.extendleft(reversed(lines))

    def _broken(self, data: bytes, reason: RowRejected) -> Line:
        return Line(self._number, data.decode("utf-8", errors="surrogateescape"), reason)

    def _skip_rest_of_line(self, data: bytes) -> None:
        while data and not data.endswith(b"\n"):
            data = self._read(MAX_LINE_BYTES)

    def _read(self, size: int) -> bytes:
        try:
            return self._stream.readline(size)
        except OSError as error:
            raise CatalogueInvalid(
                f"The catalogue file cannot be read beyond line {self._number}: {error.strerror}."
            ) from error
