"""What stands in a catalogue where a picture should be: one function for each way, and the code it is rejected with.

Every function makes the file `path` (its folder exists) from a good JPEG. Nothing here asks Vitrine what it would say:
the codes are those that docs/catalogues.md promises.
"""

import io
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from PIL import Image

Place = Callable[[Path, bytes], None]

_HTML = b"<!DOCTYPE html>\n<html><head><title>404</title></head><body>No such picture.</body></html>\n"
_SVG = b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><path d="M0 0h9"/></svg>\n'
_HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64)
_DECLARED_SIDE = 65_500
_TOO_MANY_BYTES = 8 * 1024 * 1024 + 1  # one over the setting images.max_bytes as it ships


def _nothing(path: Path, picture: bytes) -> None:
    del path, picture


def _dangling_link(path: Path, picture: bytes) -> None:
    del picture
    path.symlink_to(path.with_suffix(".gone"))


def _link_out(path: Path, picture: bytes) -> None:
    """To a good picture beside the catalogue's folder: reading it would work."""
    outside = path.parents[3] / f"{path.parents[2].name}-outside.jpg"
    if not outside.exists():
        outside.write_bytes(picture)
    path.symlink_to(outside)


def _folder(path: Path, picture: bytes) -> None:
    path.mkdir()
    (path / path.name).write_bytes(picture)


def _pipe(path: Path, picture: bytes) -> None:
    """Opening it for reading would wait for ever."""
    del picture
    os.mkfifo(path)


def _empty(path: Path, picture: bytes) -> None:
    del picture
    path.touch()


def _page(path: Path, picture: bytes) -> None:
    del picture
    path.write_bytes(_HTML)


def _noise(path: Path, picture: bytes) -> None:
    path.write_bytes(bytes(byte ^ 0x5A for byte in picture[:4096]))


def _vector_graphic(path: Path, picture: bytes) -> None:
    del picture
    path.write_bytes(_SVG)


def _heic(path: Path, picture: bytes) -> None:
    del picture
    path.write_bytes(_HEIC)


def _document(path: Path, picture: bytes) -> None:
    path.write_bytes(b"%PDF-1.7\n" + picture)


def _truncated(path: Path, picture: bytes) -> None:
    """As a broken download leaves it."""
    path.write_bytes(picture[: len(picture) // 2])


def _head_only(path: Path, picture: bytes) -> None:
    path.write_bytes(picture[:24])


def _corrupt(path: Path, picture: bytes) -> None:
    """Its Huffman tables are overwritten: no pixel can be decoded."""
    tables = picture.index(b"\xff\xc4")
    path.write_bytes(picture[: tables + 4] + b"\xff" * 64 + picture[tables + 68 :])


def _many_pixels(path: Path, picture: bytes) -> None:
    """Four billion pixels, declared in a file of a few kilobytes."""
    frame = picture.index(b"\xff\xc0")
    side = _DECLARED_SIDE.to_bytes(2, "big")
    path.write_bytes(picture[: frame + 5] + side + side + picture[frame + 9 :])


def _many_bytes(path: Path, picture: bytes) -> None:
    """A good picture with a hole of megabytes behind it, which takes no room on disk."""
    path.write_bytes(picture)
    os.truncate(path, _TOO_MANY_BYTES)


BAD_PICTURES: Mapping[str, tuple[str, Place]] = {
    "picture absent": ("image_missing", _nothing),
    "picture is a dangling link": ("image_missing", _dangling_link),
    "picture is a link out of the catalogue": ("image_outside_catalogue", _link_out),
    "picture is a folder": ("image_unreadable", _folder),
    "picture is a pipe": ("image_unreadable", _pipe),
    "picture is empty": ("image_unrecognised", _empty),
    "picture is an HTML page": ("image_unrecognised", _page),
    "picture is noise": ("image_unrecognised", _noise),
    "picture is an SVG": ("image_format_unsupported", _vector_graphic),
    "picture is a HEIC": ("image_format_unsupported", _heic),
    "picture is a PDF": ("image_format_unsupported", _document),
    "picture is truncated": ("image_corrupt", _truncated),
    "picture is a header alone": ("image_corrupt", _head_only),
    "picture is corrupt": ("image_corrupt", _corrupt),
    "picture declares too many pixels": ("image_too_many_pixels", _many_pixels),
    "picture has too many bytes": ("image_too_large", _many_bytes),
}
"""Kinds of bad pictures: the code of their rejection, and what makes one."""


def _png(path: Path, picture: bytes) -> None:
    """A lossless copy under the name of a JPEG: names do not decide."""
    with Image.open(io.BytesIO(picture)) as image:
        image.save(path, "PNG", compress_level=1)


def _inner_link(path: Path, picture: bytes) -> None:
    target = path.with_name(f"{path.stem}-original.jpg")
    target.write_bytes(picture)
    path.symlink_to(target.name)


def _trailing_bytes(path: Path, picture: bytes) -> None:
    path.write_bytes(picture + b"\0" * 100 + b"written by a camera")


GOOD_PICTURES: Mapping[str, Place] = {
    "good: PNG named .jpg": _png,
    "good: picture behind a link inside": _inner_link,
    "good: bytes after the picture": _trailing_bytes,
}
"""Odd, and to be taken: all of them show exactly the pixels of the JPEG they are made from."""
