from pathlib import Path

import pytest
from PIL import Image

from vitrine.cli.sheet import draw_sheet
from vitrine.client import Client, SearchAnswer
from vitrine.errors import StackError


def answer(hits: int) -> SearchAnswer:
    return SearchAnswer.model_validate(
        {
            "hits": [{"id": f"{n:010}", "score": 0.5, "title": "A very long title " * 5} for n in range(hits)],
            "took_ms": {"total": 12.3},
            "collection": "products_v1",
            "model": {"name": "demo", "fingerprint": "f" * 64},
        }
    )


@pytest.mark.parametrize("hits", [0, 1, 5, 11])
def test_a_sheet_is_a_whole_png_for_any_number_of_hits(tmp_path: Path, hits: int) -> None:
    path = tmp_path / "sheet.png"
    with Client("http://127.0.0.1:9") as client:
        draw_sheet(client, answer(hits), "floral top 花", path)
    with Image.open(path) as sheet:
        sheet.load()
        assert sheet.format == "PNG"
    assert [entry.name for entry in tmp_path.iterdir()] == ["sheet.png"]


def test_more_hits_make_a_taller_sheet(tmp_path: Path) -> None:
    heights = []
    with Client("http://127.0.0.1:9") as client:
        for hits in (5, 6):
            draw_sheet(client, answer(hits), "x", tmp_path / "sheet.png")
            with Image.open(tmp_path / "sheet.png") as sheet:
                heights.append(sheet.height)
    assert heights[0] < heights[1]


def test_a_folder_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with Client("http://127.0.0.1:9") as client, pytest.raises(StackError, match="cannot be written"):
        draw_sheet(client, answer(1), "x", tmp_path / "absent" / "sheet.png")
