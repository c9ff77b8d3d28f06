"""A small file that somebody changes while the process runs."""

import os
import stat
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

# A file changed twice within one tick of the file system's clock looks the same; read it again until that is past.
_SETTLED_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class FileContent:
    """What a file was when it was read.

    Args:
        data: its bytes.
        mode: its permission bits.
    """

    data: bytes
    mode: int


class WatchedFile:
    """Reads a file when it is another one than before, by its device, inode, size and time of change.

    Args:
        path: the file; links are followed anew each time, as Kubernetes swaps them.
        max_bytes: largest file that is read.
    """

    def __init__(self, path: Path, max_bytes: int) -> None:
        self.path = path
        self._max_bytes = max_bytes
        self._seen: tuple[int, int, int, int] | None = None

    def read_if_changed(self) -> FileContent | None:
        """Content of the file; None when it is surely the one that was read last.

        Raises:
            OSError: as `read`.
        """
        return None if self._seen == _identity(self.path.stat()) else self.read()

    def read(self) -> FileContent:
        """Content of the file.

        Raises:
            OSError: it cannot be read, is no file, or is larger than the limit. The next call tries again.
        """
        self._seen = None
        # Opening a pipe would wait for somebody to write into it.
        with os.fdopen(os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise OSError("it is no regular file")
            data = file.read(self._max_bytes + 1)
        if len(data) > self._max_bytes:
            raise OSError(f"it has more than {self._max_bytes} bytes")
        if abs(time.time() - status.st_mtime) > _SETTLED_S:
            self._seen = _identity(status)
        return FileContent(data, stat.S_IMODE(status.st_mode))

    def forget(self) -> None:
        """Makes the next call read, whether the file has changed or not."""
        self._seen = None


def _identity(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
