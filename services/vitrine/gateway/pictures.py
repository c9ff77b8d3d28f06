"""Bytes of the pictures that JSON bodies name."""

import binascii
import re
from collections.abc import Iterable
from typing import Final

from vitrine.domain import Deadline
from vitrine.errors import ImageCorrupt, ImageFormatUnsupported, ImageTooLarge, InvalidInput, LimitExceeded
from vitrine.gateway.remote_images.fetching import RemoteImages
from vitrine.gateway.remote_images.reasons import Refusal, refused
from vitrine.settings import ImageSettings

_SCHEME: Final = re.compile(r"(?!data:)[a-z][a-z0-9+.-]*:", re.ASCII | re.IGNORECASE)
_DATA_URL: Final = re.compile(r"data:(?P<type>[\w.+-]+/[\w.+-]+)?(?:;[\w.+-]+=[\w.+-]+)*;base64,", re.ASCII)


class Pictures:
    """Turns what a body says of a picture into the picture's bytes. Whether they are one, the decoder finds out.

    Args:
        limits: most bytes of a picture.
        remote: fetches pictures by address; None: they are refused.
    """

    def __init__(self, limits: ImageSettings, remote: RemoteImages | None = None) -> None:
        self._limits = limits
        self._remote = remote

    async def bytes_of(self, sent: str, deadline: Deadline) -> bytes:
        """The bytes of an encoded picture.

        Args:
            sent: a `data:` URL in base64, or an address.
            deadline: of the request.

        Raises:
            InvalidInput, ImageFormatUnsupported, ImageTooLarge, ImageCorrupt: of a `data:` URL.
            ImageUrlRefused, ImageUrlFailed, DeadlineExceeded: of an address.
        """
        if _SCHEME.match(sent) is None:
            return _decoded(sent, self._limits.max_bytes)
        if self._remote is None:
            raise refused(Refusal.OFF, "This server fetches no images: send them as `data:` URLs.")
        return await self._remote.fetch(sent, deadline)

    def check_count(self, sent: Iterable[str]) -> None:
        """Counts the addresses among all the pictures of one request, before the first of them is fetched.

        Raises:
            LimitExceeded: more than one request may name.
        """
        if self._remote is None:
            return
        found, most = sum(_SCHEME.match(picture) is not None for picture in sent), self._remote.max_per_request
        if found > most:
            raise LimitExceeded(
                f"A request may name {most} images by address at most, not {found}.",
                field="image",
                maximum=most,
            )


def _decoded(url: str, max_bytes: int) -> bytes:
    head = _DATA_URL.match(url)
    if head is None:
        raise InvalidInput(
            "An image is sent as a `data:` URL in base64, such as data:image/jpeg;base64,..., or as an https address."
        )
    if not (head["type"] or "").lower().startswith("image/"):
        raise ImageFormatUnsupported(f"A `data:` URL of type {head['type']} is no image.", given=head["type"])
    # Before decoding: four characters carry three bytes.
    if (len(url) - head.end()) // 4 * 3 > max_bytes + 2:
        raise ImageTooLarge(f"The image is larger than {max_bytes} bytes.", limit_bytes=max_bytes)
    try:
        return binascii.a2b_base64(url[head.end() :], strict_mode=True)
    except (binascii.Error, ValueError) as error:
        raise ImageCorrupt("The `data:` URL is no valid base64.") from error
