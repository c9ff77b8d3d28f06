"""What was read last from a file stays in use while the file is broken or gone."""

import logging
import stat
from collections.abc import Callable
from typing import Generic, TypeVar

from prometheus_client import Gauge

from vitrine.errors import InvalidInput, SettingsInvalid
from vitrine.gateway.auth.watched_file import WatchedFile
from vitrine.telemetry.logging import FIELDS

logger = logging.getLogger(__name__)

T = TypeVar("T")


class Freshness:
    """Tells, once for each change, that something cannot be read or can be again.

    Args:
        what: name for the log.
        stale: 1 while it cannot be read.
    """

    def __init__(self, what: str, stale: Gauge) -> None:
        self._what = what
        self._stale = stale
        self._failure: str | None = None

    def failed(self, reason: str) -> None:
        """It could not be read now."""
        self._stale.set(1)
        if reason != self._failure:
            logger.error(
                "%s cannot be used; what was read before stays in force.",
                self._what,
                extra={FIELDS: {"code": "auth_source_stale", "error": reason}},
            )
        self._failure = reason

    def succeeded(self) -> None:
        """It could."""
        self._stale.set(0)
        if self._failure is not None:
            logger.info("%s can be used again.", self._what)
        self._failure = None


class KeptFile(Generic[T]):
    """A file's content, parsed; the last good one.

    Args:
        setting: the variable that names the file.
        file: where it is.
        parse: gives the value of a content, or raises `InvalidInput`.
        stale: 1 while the file cannot be used.
        private: nobody but its owner and group should be able to read it.
    """

    def __init__(
        self, setting: str, file: WatchedFile, parse: Callable[[bytes], T], stale: Gauge, *, private: bool
    ) -> None:
        self._setting = setting
        self._file = file
        self._parse = parse
        self._private = private
        self._freshness = Freshness(f"The file of {setting}", stale)
        try:
            self._content = file.read()
            self.value = parse(self._content.data)
        except (OSError, InvalidInput) as error:
            raise SettingsInvalid(f"{setting}: {file.path} cannot be used: {_reason(error)}.") from None
        stale.set(0)
        self._warn_if_open()

    def refresh(self) -> bool:
        """Reads the file again when it has changed; whether it had. Blocks, so it belongs in a thread. Never raises."""
        try:
            content = self._file.read_if_changed()
            changed = content is not None and content != self._content
            if content is not None and changed:
                self.value = self._parse(content.data)
                self._content = content
        except (OSError, InvalidInput) as error:
            self._file.forget()
            self._freshness.failed(_reason(error))
            return False
        self._freshness.succeeded()
        if changed:
            logger.info("The file of %s was read again.", self._setting)
            self._warn_if_open()
        return changed

    def _warn_if_open(self) -> None:
        if self._private and self._content.mode & stat.S_IRWXO:
            logger.warning("The file of %s is open to every user here (mode %o).", self._setting, self._content.mode)


def _reason(error: OSError | InvalidInput) -> str:
    if isinstance(error, InvalidInput):
        return error.message
    return error.strerror or str(error)
