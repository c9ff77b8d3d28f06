"""Changing the file of keys: whole or not at all, and by one person at a time."""

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from vitrine.errors import InvalidInput, NotFound, SettingsInvalid
from vitrine.gateway.auth.keys import MAX_FILE_BYTES, ApiKey, parse_keys, render_keys
from vitrine.gateway.auth.watched_file import WatchedFile

_OWNER_ALONE: Final = 0o600


class KeysInvalid(InvalidInput):
    """A file of keys that cannot be read, written or understood."""

    code = "keys_invalid"


class KeyExists(InvalidInput):
    """A new key of an id that is in use."""

    code = "key_exists"


class KeyNotFound(NotFound):
    """No key of that id in the file."""

    code = "key_not_found"


class KeyFile:
    """The file as its editors see it.

    Args:
        path: need not exist yet; its folder must. A link is followed, so that it stays one.
    """

    def __init__(self, path: Path) -> None:
        self._path = path.resolve()

    def read(self) -> tuple[ApiKey, ...]:
        """All keys in the file's order; none when there is no file.

        Raises:
            KeysInvalid: it cannot be read, or holds something else.
        """
        try:
            return parse_keys(WatchedFile(self._path, MAX_FILE_BYTES).read().data)
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise KeysInvalid(f"{self._path} cannot be read: {error.strerror or error}.") from error
        except SettingsInvalid as error:
            raise KeysInvalid(f"{self._path} is no file of keys: {error.message}.") from error

    def add(self, key: ApiKey) -> None:
        """Adds one key.

        Raises:
            KeyExists: its id is in use. A key is replaced by another id, so that both are valid meanwhile.
            KeysInvalid: the file cannot be read or written, or would be too large.
        """
        with self._locked():
            keys = self.read()
            if any(present.id == key.id for present in keys):
                raise KeyExists(f"{self._path} has a key {key.id!r} already.", id=key.id)
            self._write((*keys, key))

    def revoke(self, key_id: str) -> None:
        """Removes one key.

        Raises:
            KeyNotFound: there is none of that id.
            KeysInvalid: the file cannot be read or written.
        """
        with self._locked():
            keys = self.read()
            left = tuple(key for key in keys if key.id != key_id)
            if len(left) == len(keys):
                raise KeyNotFound(f"{self._path} has no key {key_id!r}.", id=key_id)
            self._write(left)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Keeps other editors out. The lock is the folder's: the file itself is replaced by every change."""
        try:
            folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise KeysInvalid(f"{self._path.parent} cannot be opened: {error.strerror}.") from error
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)

    def _write(self, keys: tuple[ApiKey, ...]) -> None:
        content = render_keys(keys)
        if len(content) > MAX_FILE_BYTES:
            raise KeysInvalid(f"{self._path} would have more than {MAX_FILE_BYTES} bytes.")
        try:
            self._replace(content)
        except OSError as error:
            raise KeysInvalid(f"{self._path} cannot be written: {error.strerror}.") from error

    def _replace(self, content: bytes) -> None:
        # Made with mode 0600, whatever the umask is.
        handle, name = tempfile.mkstemp(prefix=f".{self._path.name}.", dir=self._path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                self._take_over_permissions(file.fileno())
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, self._path)  # noqa: PTH105 - a name of mkstemp
        except BaseException:
            os.unlink(name)  # noqa: PTH108 - likewise
            raise

    def _take_over_permissions(self, handle: int) -> None:
        """A file that a service may read stays readable to it; a new one is the owner's alone."""
        try:
            before = self._path.stat()
        except FileNotFoundError:
            os.fchmod(handle, _OWNER_ALONE)
            return
        try:
            os.fchown(handle, before.st_uid, before.st_gid)
        except PermissionError:
            # Only root may give a file away. Another group must not get what this one had.
            os.fchmod(handle, before.st_mode & 0o700)
        else:
            os.fchmod(handle, before.st_mode & 0o777)
