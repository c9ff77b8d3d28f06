"""Pictures below one folder, and nothing else of it."""

from pathlib import Path, PurePosixPath
from typing import Final

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

from vitrine.errors import NotFound

PICTURES: Final = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".avif"})
"""What is served; the catalogue's tables beside the pictures are not."""
# A catalogue replaces pictures rarely, and then the ETag tells.
_CACHE: Final = "public, max-age=3600"


def media_router(root: Path) -> APIRouter:
    """Serves the pictures below `root` at /media/. Ways out of it, `..` and symbolic links alike, end in 404."""
    router = APIRouter(include_in_schema=False)
    # The folder may appear later (a volume, a catalogue still being drawn).
    files = StaticFiles(directory=root, check_dir=False)

    @router.api_route("/media/{path:path}", methods=["GET", "HEAD"])
    async def picture(path: str, request: Request) -> Response:
        name = PurePosixPath(path)
        if name.suffix.lower() not in PICTURES or any(part.startswith(".") for part in name.parts):
            raise NotFound("There is no such picture.")
        try:
            response = await files.get_response(path, request.scope)
        except (HTTPException, OSError) as error:
            raise NotFound("There is no such picture.") from error
        response.headers["Cache-Control"] = _CACHE
        return response

    return router
