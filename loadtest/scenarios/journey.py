"""What one visitor asks, one request after the other. When a journey goes on is decided by others."""

import json
import random
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from loadtest.queries.log import QueryLog

JSON: Final = "application/json"
_COMMENT_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class Ask:
    """One request.

    `endpoint` is its name in statistics and thresholds. `after_s` is how long the visitor takes for it, counted from
    the answer before. `finds` says that a good answer has hits.
    """

    endpoint: str
    method: str
    path: str
    body: bytes = b""
    content_type: str = JSON
    after_s: float = 0.0
    finds: bool = False


Content = dict[str, Any]
Journey = Generator[Ask, Content, None]
"""Yields what is asked and is sent the content of each good answer. After any other answer the visitor leaves."""


@dataclass(frozen=True)
class Shop:
    """What is asked of, and where the questions come from.

    Args:
        collection: the alias that is searched.
        log: texts of queries.
        pictures: JPEG files that are searched with and stored.
        scratch: the alias that is written to; None for no writes.
        facets: fields that are counted, and filtered by.
        group_by: field whose groups are asked for.
    """

    collection: str
    log: QueryLog
    pictures: Sequence[bytes] = field(repr=False)
    scratch: str | None = None
    facets: tuple[str, ...] = ()
    group_by: str | None = None

    def search(self, endpoint: str, *, after_s: float = 0.0, finds: bool = True, **members: Any) -> Ask:
        """A search of the collection with these members."""
        path = f"/v1/collections/{self.collection}/search"
        return Ask(endpoint, "POST", path, json.dumps(members).encode(), after_s=after_s, finds=finds)

    def picture(self, rng: random.Random) -> bytes:
        """One of the pictures as a file that nobody has sent before, as photographs are: no cache can know it."""
        jpeg = self.pictures[int(rng.random() * len(self.pictures))]
        comment = rng.randbytes(_COMMENT_BYTES)
        # A comment segment behind the start marker: FF FE, the length with its own two bytes, the comment.
        return jpeg[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + jpeg[2:]


def form(picture: bytes, **fields: str) -> tuple[bytes, str]:
    """A multipart form of a file and texts: its body, and the content type that goes with it."""
    boundary = "vitrine-loadtest"
    parts = [f'--{boundary}\r\nContent-Disposition: form-data; name="{n}"\r\n\r\n{v}\r\n' for n, v in fields.items()]
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="picture.jpg"\r\n'
        "Content-Type: image/jpeg\r\n\r\n"
    )
    end = f"\r\n--{boundary}--\r\n"
    return "".join([*parts, head]).encode() + picture + end.encode(), f"multipart/form-data; boundary={boundary}"
