"""Pictures that lie on the server: read below one folder, and nowhere else."""

import asyncio
import errno
import os
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from vitrine.domain import Deadline
from vitrine.errors import ImageMissing, ImageRejected, ImageTooLarge, ImageUnreadable, InvalidInput
from vitrine.gateway.items.checking import check_path

_THREADS: Final = 2
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# Not to wait for the other end of a pipe that took the file's place between the look and the opening.
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
# What the system says of a link where none is followed, of a file on the way, of a name that no file can have.
_NOT_THERE: Final = frozenset(
    {errno.ENOENT, errno.ELOOP, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EMLINK, errno.EISDIR}
)


class ImageFolder:
    """Reads picture files below a folder.

    Paths are walked name by name from the folder's own handle and no symbolic link is followed, so there is no moment
    at which another process could turn a checked path into one that leads out. Only regular files are opened.

    Args:
        root: the folder, which may itself be a link; None: every reading is refused.
        max_bytes: largest file.
        threads: where reading may block, on a file system across a network for long.
    """

    def __init__(self, root: Path | None, max_bytes: int, threads: ThreadPoolExecutor) -> None:
        self._root = root
        self._max_bytes = max_bytes
        self._threads = threads

    async def read(self, path: str, deadline: Deadline) -> bytes:
        """The bytes of a picture file.

        Args:
            path: relative to the folder, with `/`.
            deadline: of the request.

        Raises:
            InvalidInput: no folder is set, or the path leads out of it.
            ImageMissing: there is no regular file; what else there is is not told.
            ImageTooLarge: found before anything is read.
            ImageUnreadable: the operating system refuses.
            DeadlineExceeded
        """
        check_path(path)
        if self._root is None:
            raise InvalidInput("This server has no folder of pictures (items.images_root): send the `image`.")
        loop = asyncio.get_running_loop()
        with deadline.bounding("reading the picture"):
            async with asyncio.timeout(deadline.remaining()):
                return await loop.run_in_executor(self._threads, self._read, self._root, path)

    def _read(self, root: Path, path: str) -> bytes:
        try:
            handle = os.open(root, _FOLDER)
        except OSError as error:
            raise ImageUnreadable("The server's folder of pictures cannot be opened.") from error
        try:
            *folders, name = path.split("/")
            for folder in folders:
                inner = os.open(folder, _FOLDER | os.O_NOFOLLOW, dir_fd=handle)
                os.close(handle)
                handle = inner
            # Opening alone can have effects (a pipe, a tape), so what it is comes first, and again once it is open.
            if not stat.S_ISREG(os.stat(name, dir_fd=handle, follow_symlinks=False).st_mode):
                raise _missing(path)
            with open(os.open(name, _FILE, dir_fd=handle), "rb", buffering=0) as file:  # noqa: PTH123 - by handle
                return self._content(file.fileno(), path)
        except OSError as error:
            raise _refusal(error, path) from error
        finally:
            os.close(handle)

    def _content(self, file: int, path: str) -> bytes:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            raise _missing(path)
        parts: list[bytes] = []
        size = 0
        if status.st_size <= self._max_bytes:
            # A file may grow while it is read.
            while size <= self._max_bytes and (part := os.read(file, self._max_bytes + 1 - size)):
                parts.append(part)
                size += len(part)
        if max(size, status.st_size) > self._max_bytes:
            raise ImageTooLarge(f"The image is larger than {self._max_bytes} bytes.", limit_bytes=self._max_bytes)
        return b"".join(parts)


@contextmanager
def open_folder(root: Path | None, max_bytes: int) -> Iterator[ImageFolder]:
    """A folder with threads of its own, so that a file system that hangs holds up nothing else."""
    threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="pictures")
    try:
        yield ImageFolder(root, max_bytes, threads)
    finally:
        threads.shutdown(wait=False, cancel_futures=True)


def _missing(path: str) -> ImageMissing:
    return ImageMissing(f"There is no picture file {path!r} in the server's folder.", field="image_path")


def _refusal(error: OSError, path: str) -> ImageRejected:
    if error.errno in _NOT_THERE:
        return _missing(path)
    return ImageUnreadable(f"The picture file {path!r} cannot be read.", field="image_path")
