"""A closed set of files, read once and served from memory: nothing else of the disk can be asked for."""

import hashlib
import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass

from fastapi import APIRouter, Request
from starlette.responses import Response


@dataclass(frozen=True, slots=True)
class ServedFile:
    """The content of one address."""

    content: bytes
    media_type: str
    etag: str

    @classmethod
    def named(cls, name: str, content: bytes) -> "ServedFile":
        """A file whose type is known by its name."""
        media_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
        return cls(content, media_type, f'"{hashlib.sha256(content).hexdigest()[:32]}"')


def add_file(router: APIRouter, address: str, file: ServedFile, headers: Mapping[str, str]) -> None:
    """Serves a file at one address; a browser that has it already is told so."""
    sent = {"Cache-Control": "no-cache", "ETag": file.etag, **headers}

    async def send(request: Request) -> Response:
        if file.etag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=sent)
        return Response(file.content, headers=sent, media_type=file.media_type)

    router.add_api_route(address, send, methods=["GET", "HEAD"])
