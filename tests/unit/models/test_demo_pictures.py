"""Drawings for training: as serving sees them, drawn once, continued after an interruption."""

from pathlib import Path

import numpy as np
import pytest

from vitrine.models import demo_pictures
from vitrine.models.demo_pictures import as_served, draw_pictures, training_products


def test_pictures_are_kept_and_not_drawn_again(tmp_path: Path) -> None:
    products = training_products(3, 1)
    progress: list[tuple[int, int]] = []
    drawn = draw_pictures(products, tmp_path, workers=1, on_progress=lambda *step: progress.append(step))
    assert progress == [(3, 3)]
    np.testing.assert_array_equal(drawn[2], as_served(products[2]))
    again = draw_pictures(products, tmp_path, workers=1, on_progress=lambda *step: progress.append(step))
    assert progress == [(3, 3)]
    np.testing.assert_array_equal(again, drawn)


def test_only_unfinished_blocks_are_drawn_after_an_interruption(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo_pictures, "_BLOCK", 1)
    products = training_products(2, 4)
    whole = np.array(draw_pictures(products, tmp_path, workers=1, on_progress=lambda *_: None))
    ledger = next(tmp_path.glob("*.done"))
    pixels = np.memmap(ledger.with_suffix(".pixels"), dtype=np.uint8, mode="r+", shape=whole.shape)
    pixels[:] = 0
    pixels.flush()
    ledger.write_text("0\n")  # says that the first block is there; the second was cut off
    drawn = draw_pictures(products, tmp_path, workers=1, on_progress=lambda *_: None)
    assert not drawn[0].any()
    np.testing.assert_array_equal(drawn[1], whole[1])


def test_other_products_get_another_file(tmp_path: Path) -> None:
    for seed in (1, 2):
        draw_pictures(training_products(1, seed), tmp_path, workers=1, on_progress=lambda *_: None)
    assert len(list(tmp_path.glob("*.pixels"))) == 2
