"""Bytes of the pictures that JSON bodies name."""

import binascii
import re
from typing import Final

from vitrine.domain import Deadline
from vitrine.errors import ImageCorrupt, ImageFormatUnsupported, ImageTooLarge, InvalidInput
from vitrine.settings import ImageSettings

_DATA_URL: Final = re.compile(r"data:(?P<type>[\w.+-]+/[\w.+-]+)?(?:;[\w.+-]+=[\w.+-]+)*;base64,", re.ASCII)


class Pictures:
    """Turns what a body says of a picture into the picture's bytes. Whether they are one, the decoder finds out.

    Args:
        limits: most bytes of a picture.
    """

    def __init__(self, limits: ImageSettings) -> None:
        self._limits = limits

    async def bytes_of(self, sent: str, deadline: Deadline) -> bytes:
        """The bytes of an encoded picture.

        Args:
            sent: a `data:` URL in base64.
            deadline: of the request.

        Raises:
            InvalidInput, ImageFormatUnsupported, ImageTooLarge, ImageCorrupt
        """
        return _decoded(sent, self._limits.max_bytes)


def _decoded(url: str, max_bytes: int) -> bytes:
    head = _DATA_URL.match(url)
    if head is None:
        raise InvalidInput("An image is sent as a `data:` URL in base64, such as data:image/jpeg;base64,....")
    if not (head["type"] or "").lower().startswith("image/"):
        raise ImageFormatUnsupported(f"A `data:` URL of type {head['type']} is no image.", given=head["type"])
    # Before decoding: four characters carry three bytes.
    if (len(url) - head.end()) // 4 * 3 > max_bytes + 2:
        raise ImageTooLarge(f"The image is larger than {max_bytes} bytes.", limit_bytes=max_bytes)
    try:
        return binascii.a2b_base64(url[head.end() :], strict_mode=True)
    except (binascii.Error, ValueError) as error:
        raise ImageCorrupt("The `data:` URL is no valid base64.") from error
