"""What a query is made of, and how pictures are put into JSON."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

from vitrine.errors import ImageMissing, ImageUnreadable

Picture: TypeAlias = bytes | Path | str
"""An encoded picture, the file it is in, or its address (`data:`, `https:`, `http:`); other texts are paths."""

_ADDRESSES: Final = ("data:", "https:", "http:")
_SIGNATURES: Final = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF8", "image/gif"),
    (b"BM", "image/bmp"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
)
# What the data is, the gateway finds out itself; a `data:` URL only has to say that it is meant as a picture.
_UNKNOWN: Final = "image/unknown"
_LONGEST_NAME_TOLD: Final = 200


@dataclass(frozen=True, slots=True)
class TextPart:
    """A text and its share in a query. Build one by `text`."""

    text: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class ImagePart:
    """A picture, as a `data:` URL or an address, and its share in a query. Build one by `image`."""

    image: str = field(repr=False)
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class ItemPart:
    """A product of the collection and its share in a query. Build one by `item`."""

    id: str
    weight: float = 1.0


Part: TypeAlias = TextPart | ImagePart | ItemPart | Mapping[str, object]
"""One part of a query; a mapping is sent as it is, such as {"text": "red", "weight": 0.5}."""

Query: TypeAlias = str | Part | Sequence[str | Part]
"""A text, one part, or several of either."""


def text(words: str, weight: float = 1.0) -> TextPart:
    """A text as part of a query; a negative weight leads away from it."""
    return TextPart(words, weight)


def image(picture: Picture, weight: float = 1.0) -> ImagePart:
    """A picture as part of a query; a file is read now.

    Raises:
        ImageMissing, ImageUnreadable
    """
    return ImagePart(image_url(picture), weight)


def item(item_id: str, weight: float = 1.0) -> ItemPart:
    """A product as part of a query: more like it, or less with a negative weight."""
    return ItemPart(item_id, weight)


def query_body(query: Query) -> str | list[object]:
    """A query as the API takes it."""
    if isinstance(query, str):
        return query
    parts = query if isinstance(query, Sequence) else [query]
    return [_part_body(part) for part in parts]


def image_url(picture: Picture) -> str:
    """A picture's address; data that has none becomes a `data:` URL.

    Raises:
        ImageMissing, ImageUnreadable
    """
    if isinstance(picture, str) and picture.startswith(_ADDRESSES):
        return picture
    data = image_bytes(picture)
    return f"data:{kind_of(data)};base64,{base64.b64encode(data).decode()}"


def image_bytes(picture: bytes | Path | str) -> bytes:
    """A picture's data; a text is the path of its file.

    Raises:
        ImageMissing, ImageUnreadable
    """
    if isinstance(picture, bytes):
        return picture
    # Somebody may pass a picture's base64 for its path.
    named = str(picture)[:_LONGEST_NAME_TOLD]
    try:
        return Path(picture).read_bytes()
    except FileNotFoundError as error:
        raise ImageMissing(f"{named} cannot be read: {error.strerror}.") from error
    except (OSError, ValueError) as error:
        raise ImageUnreadable(f"{named} cannot be read: {getattr(error, 'strerror', None) or error}.") from error


def kind_of(data: bytes) -> str:
    """The media type of a picture by its first bytes."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for signature, kind in _SIGNATURES if data.startswith(signature)), _UNKNOWN)


def _part_body(part: str | Part) -> object:
    match part:
        case str():
            return {"text": part}
        case TextPart():
            return {"text": part.text, "weight": part.weight}
        case ImagePart():
            return {"image": part.image, "weight": part.weight}
        case ItemPart():
            return {"id": part.id, "weight": part.weight}
        case _:
            return part
