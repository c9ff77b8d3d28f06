"""Contact sheets: many pictures on one page, to be looked at."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw

from vitrine.demo.design import Product
from vitrine.demo.drawing.picture import draw

_MAX_PRODUCTS = 2000


def contact_sheet(products: Sequence[Product], path: Path, *, columns: int = 10, tile: int = 224) -> None:
    """Writes a PNG with the middle squares of the products' pictures, as a model sees them, with their attributes.

    Raises ValueError for no products or more than 2000 of them.
    """
    if not 1 <= len(products) <= _MAX_PRODUCTS:
        raise ValueError(f"a contact sheet shows 1 to {_MAX_PRODUCTS} products, not {len(products)}")
    rows = -(-len(products) // columns)
    sheet = Image.new("RGB", (columns * tile, rows * tile), "white")
    pen = ImageDraw.Draw(sheet)
    for index, product in enumerate(products):
        picture = draw(product)
        top = (picture.height - picture.width) // 2
        square = picture.crop((0, top, picture.width, top + picture.width))
        corner = (index % columns * tile, index // columns * tile)
        sheet.paste(square.resize((tile, tile), Image.Resampling.BICUBIC), corner)
        label = f"{product.colour} {product.pattern} {product.garment}"
        pen.text((corner[0] + 4, corner[1] + 3), label, fill=(90, 90, 90))
    sheet.save(path, "PNG")
