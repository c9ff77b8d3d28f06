"""Contact sheets."""

from pathlib import Path

import pytest
from PIL import Image

from vitrine.demo.design import sample_products
from vitrine.demo.drawing.sheet import contact_sheet


def test_a_sheet_has_a_tile_for_every_product(tmp_path: Path) -> None:
    contact_sheet(sample_products(5, 1), tmp_path / "sheet.png", columns=3, tile=64)
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.format == "PNG"
        assert sheet.size == (192, 128)
        assert sheet.getpixel((191, 127)) == (255, 255, 255), "the sixth tile stays empty"
        assert sheet.crop((0, 0, 64, 64)).getcolors(4) is None, "the first tile shows a picture"


def test_an_empty_sheet_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="1 to 2000"):
        contact_sheet([], tmp_path / "sheet.png")
