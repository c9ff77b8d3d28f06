"""The result sheet: one picture with the hits of a query, their names, their similarity and the time it took."""

import io
import os
from http import HTTPStatus
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from vitrine.client import ApiError, Client, SearchAnswer, SearchHit
from vitrine.errors import StackError

_COLUMNS = 5
_TILE = (240, 300)
_GAP = 20
_CAPTION = 58
_HEAD = 96
_INK, _QUIET, _PAPER, _CARD = "#1d1d1f", "#6e6e73", "#f5f5f7", "#ffffff"


def draw_sheet(client: Client, answer: SearchAnswer, query: str, path: Path) -> None:
    """Fetches the hits' pictures through the gateway and writes a PNG, whole or not at all.

    Raises:
        ApiError, GatewayUnreachable: a picture could not be fetched.
        StackError: the file cannot be written.
    """
    columns = min(_COLUMNS, max(1, len(answer.hits)))
    rows = -(-max(1, len(answer.hits)) // columns)
    width = max(_GAP + columns * (_TILE[0] + _GAP), 700)
    sheet = Image.new("RGB", (width, _HEAD + rows * (_TILE[1] + _CAPTION + _GAP) + _GAP // 2), _PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text((_GAP, 20), f"“{query}”", fill=_INK, font=_font(30))
    total = answer.took_ms.get("total", 0.0)
    line = f"{len(answer.hits)} hits in {total:.1f} ms   {answer.collection}   {answer.model.name}"
    pen.text((_GAP, 62), line, fill=_QUIET, font=_font(15))
    for index, hit in enumerate(answer.hits):
        left = _GAP + index % columns * (_TILE[0] + _GAP)
        top = _HEAD + index // columns * (_TILE[1] + _CAPTION + _GAP)
        _draw_hit(sheet, pen, hit, _picture(client, hit), (left, top))
    _write(sheet, path)


def _draw_hit(
    sheet: Image.Image, pen: ImageDraw.ImageDraw, hit: SearchHit, picture: Image.Image | None, at: tuple[int, int]
) -> None:
    left, top = at
    pen.rounded_rectangle((left, top, left + _TILE[0], top + _TILE[1] + _CAPTION), radius=10, fill=_CARD)
    if picture is not None:
        sheet.paste(ImageOps.fit(picture, _TILE, Image.Resampling.LANCZOS), (left, top))
    title_font, fact_font = _font(15), _font(13)
    pen.text((left + 10, top + _TILE[1] + 9), _shortened(hit.title or hit.id, title_font), fill=_INK, font=title_font)
    facts = f"{hit.score:.3f}   {hit.id}" + (f"   +{hit.siblings}" if hit.siblings else "")
    pen.text((left + 10, top + _TILE[1] + 32), _shortened(facts, fact_font), fill=_QUIET, font=fact_font)


def _picture(client: Client, hit: SearchHit) -> Image.Image | None:
    """The hit's picture, or None where the shop has none that can be shown: one gap is no reason to draw no sheet."""
    if hit.image_url is None:
        return None
    try:
        return Image.open(io.BytesIO(client.picture(hit.image_url))).convert("RGB")
    except ApiError as error:
        if error.status == HTTPStatus.NOT_FOUND:
            return None
        raise
    except (OSError, ValueError, Image.DecompressionBombError):
        return None


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    # Pillow carries this typeface, so a sheet looks the same on a machine without any font.
    return ImageFont.load_default(size)


def _shortened(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    room = _TILE[0] - 20
    if font.getlength(text) <= room:
        return text
    while text and font.getlength(text + "…") > room:
        text = text[:-1]
    return text + "…"


def _write(sheet: Image.Image, path: Path) -> None:
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        sheet.save(unfinished, "PNG")
        unfinished.replace(path)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise StackError(f"The sheet cannot be written to {path}: {error.strerror or error}.") from error
