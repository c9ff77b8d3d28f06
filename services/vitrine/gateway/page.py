"""The pages: the shop window at `/` and the interactive documentation at `/docs`. Nothing is loaded from elsewhere."""

from importlib import resources
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from fastapi import APIRouter

from vitrine.gateway.files import ServedFile, add_file

_FOLDER: Final = Path(__file__).parent / "ui"
_INDEX: Final = "index.html"
EXAMPLES: Final = ("floral top", "red striped dress", "blue jeans", "white sneakers", "dotted scarf", "black handbag")
"""Queries that the page offers for a start."""

_DOCS: Final = b"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Vitrine API</title>
<link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
<div id="api"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""
_DOCS_START: Final = b'SwaggerUIBundle({ url: "/openapi.json", dom_id: "#api", deepLinking: true });\n'


def page_router(media_base_url: str) -> APIRouter:
    """Routes for the page's files, each at its own name.

    Args:
        media_base_url: where pictures come from; its origin is added to what the page may load pictures from.
    """
    router = APIRouter(include_in_schema=False)
    headers = {"Content-Security-Policy": content_security_policy(media_base_url)}
    for path in sorted(_FOLDER.rglob("*")):
        if path.is_file():
            name = path.relative_to(_FOLDER).as_posix()
            add_file(router, "/" if name == _INDEX else f"/{name}", ServedFile.named(name, path.read_bytes()), headers)
    return router


def docs_router() -> APIRouter:
    """Routes for the documentation page; Swagger UI itself comes with a package."""
    router = APIRouter(include_in_schema=False)
    # Swagger UI writes style attributes, and shows its icons as data: images.
    policy = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'"
    headers = {"Content-Security-Policy": policy}
    add_file(router, "/docs", ServedFile.named("docs.html", _DOCS), headers)
    add_file(router, "/docs/start.js", ServedFile.named("start.js", _DOCS_START), headers)
    static = resources.files("fastapi_offline").joinpath("static")
    for name in ("swagger-ui-bundle.js", "swagger-ui.css"):
        add_file(router, f"/docs/{name}", ServedFile.named(name, static.joinpath(name).read_bytes()), headers)
    return router


def content_security_policy(media_base_url: str) -> str:
    """Everything from this origin alone; pictures also from the media host, and as uploads shown before they leave."""
    origin = urlsplit(media_base_url)
    pictures = f"{origin.scheme}://{origin.netloc}" if origin.netloc else ""
    return "; ".join(
        (
            "default-src 'self'",
            f"img-src 'self' data: blob: {pictures}".rstrip(),
            "object-src 'none'",
            "base-uri 'none'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        )
    )
