"""Pictures that lie in a catalogue's folder and that no row names."""

import hashlib
import os
from array import array
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")
_EXAMPLES = 5
_BATCH = 4096


class NamedPictures:
    """Remembers which pictures rows name, in 8 bytes each: a hash of the path.

    Two paths share a hash once in 2^64 pairs; then one picture too few is found.
    """

    def __init__(self, folder: Path) -> None:
        self._real = os.path.realpath(folder)
        self._hashes = array("Q")

    def add(self, image_path: str, image: Path | None = None) -> None:
        """Notes a path relative to the folder; with `image`, also the file that a link leads to."""
        self._hashes.append(_hash(image_path.encode("utf-8", "surrogateescape")))
        if image is None:
            return
        real = os.path.realpath(image)
        if real != f"{self._real}{os.sep}{image_path}" and real.startswith(self._real + os.sep):
            self._hashes.append(_hash(os.fsencode(real[len(self._real) + 1 :])))

    def others(self, under: Path, stopped: Callable[[], bool]) -> "UnnamedPictures":
        """Looks through a folder, the catalogue's or one inside of it.

        Args:
            stopped: asked now and then; the search is given up when it says so.
        """
        top = os.path.realpath(under)
        if top != self._real and not top.startswith(self._real + os.sep):
            # Behind a link that leads out: no row may name a picture there.
            return UnnamedPictures(complete=True)
        known = np.sort(np.frombuffer(self._hashes, np.uint64)) if self._hashes else np.empty(0, np.uint64)
        found = UnnamedPictures()
        files = _pictures(top, found)
        while batch := [] if stopped() else list(islice(files, _BATCH)):
            names = [path[len(self._real) + 1 :] for path in batch]
            hashes = np.array([_hash(os.fsencode(name)) for name in names], np.uint64)
            places = np.searchsorted(known, hashes)
            missing = np.ones(len(hashes), bool)
            inside = places < len(known)
            missing[inside] = known[places[inside]] != hashes[inside]
            found.add([names[position] for position in np.flatnonzero(missing)])
        found.complete = not stopped()
        return found


class UnnamedPictures:
    """What the search found.

    Attributes:
        count: pictures that no row names.
        examples: the first of them, by name, of those that were found first.
        unlisted: folders that could not be looked into.
        complete: the search came to its end.
    """

    def __init__(self, *, complete: bool = False) -> None:
        self.count = 0
        self.examples: list[str] = []
        self.unlisted = 0
        self.complete = complete

    def add(self, names: list[str]) -> None:
        """Counts pictures."""
        self.count += len(names)
        self.examples += names[: max(0, _EXAMPLES - len(self.examples))]


def _pictures(folder: str, found: UnnamedPictures) -> Iterator[str]:
    """Files with a picture's suffix, without following links to folders."""
    waiting = [folder]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    elif entry.name.lower().endswith(SUFFIXES) and entry.is_file():
                        yield entry.path
        except FileNotFoundError:
            continue
        except OSError:
            found.unlisted += 1


def _hash(path: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(path, digest_size=8).digest(), "big")
