"""The demo model's training: repeatable, resumable, and what it writes is an ordinary CLIP checkpoint."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from vitrine.demo.design import Product
from vitrine.demo.evaluation import Report
from vitrine.domain import Pixels
from vitrine.models.bpe import train_bpe
from vitrine.models.demo_batches import Batch

# torch is imported in fixtures: where the export extra is missing these tests are deselected, but still collected.
pytestmark = pytest.mark.export


@pytest.fixture
def clip(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The training, with noise for drawings: drawing thousands takes minutes, and nothing here looks at them."""
    from vitrine.models import demo_clip

    def noise(products: Sequence[Product], *_: object, **__: object) -> Pixels:
        few = np.random.default_rng(0).integers(0, 256, (16, 224, 224, 3), dtype=np.uint8)
        return few[np.arange(len(products)) % 16] if len(products) < 100 else np.broadcast_to(few[:1], _shape(products))

    monkeypatch.setattr(demo_clip, "draw_pictures", noise)
    monkeypatch.setattr(demo_clip, "_CAPTIONS_FOR_BPE", 2000)
    return demo_clip


@pytest.fixture
def unexamined(clip: ModuleType, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The training without its examinations, which take longer than a few steps and change no weight."""

    class NoExamination:
        def __init__(self, *_: object) -> None:
            pass

        def put_to(self, _: object) -> Report:
            return Report((), 0.0, 0.0)

    monkeypatch.setattr(clip, "Examination", NoExamination)
    monkeypatch.setattr(clip, "picture_queries", lambda _: [])
    return clip


@pytest.fixture
def parts() -> ModuleType:
    from vitrine.models import demo_network

    return demo_network


@pytest.fixture
def network(parts: ModuleType) -> Any:
    return parts.build(train_bpe(["red floral dress"], size=530), seed=1).eval()


@pytest.fixture
def recipe(clip: ModuleType) -> Any:
    return clip.Recipe(pictures=2160, steps=4, batch_size=16, warmup_steps=2)


def _shape(products: Sequence[Product]) -> tuple[int, int, int, int]:
    return (len(products), 224, 224, 3)


def _digest(folder: Path) -> str:
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


def test_an_interrupted_training_ends_with_the_weights_of_an_uninterrupted_one(
    unexamined: ModuleType, recipe: Any, tmp_path: Path
) -> None:
    whole = replace(recipe, decay_share=0.0)
    unexamined.train_demo(tmp_path / "a", recipe=whole, workspace=tmp_path / "one", on_line=_quiet)
    unexamined.train_demo(tmp_path / "b", recipe=replace(whole, steps=2), workspace=tmp_path / "two", on_line=_quiet)
    lines: list[str] = []
    unexamined.train_demo(tmp_path / "b", recipe=whole, workspace=tmp_path / "two", on_line=lines.append)
    assert lines[0] == "goes on after step 2"
    assert _digest(tmp_path / "a") == _digest(tmp_path / "b")


def test_a_checkpoint_of_another_recipe_is_refused(unexamined: ModuleType, recipe: Any, tmp_path: Path) -> None:
    short = replace(recipe, steps=1)
    unexamined.train_demo(tmp_path / "a", recipe=short, workspace=tmp_path, on_line=_quiet)
    with pytest.raises(ValueError, match="another recipe"):
        unexamined.train_demo(
            tmp_path / "a", recipe=replace(short, learning_rate=0.5), workspace=tmp_path, on_line=_quiet
        )


def test_what_is_written_loads_as_a_clip_of_the_right_sizes(clip: ModuleType, recipe: Any, tmp_path: Path) -> None:
    clip.train_demo(tmp_path / "a", recipe=replace(recipe, steps=1), workspace=tmp_path, on_line=_quiet)
    from transformers import CLIPModel

    model = CLIPModel.from_pretrained(tmp_path / "a")
    assert model.projection_dim == 512
    assert model.text_model.eos_token_id == model.config.text_config.vocab_size - 1
    assert sum(parameter.numel() for parameter in model.parameters()) * 4 < 14_500_000
    assert {"vocab.json", "merges.txt", "preprocessor_config.json"} <= {p.name for p in (tmp_path / "a").iterdir()}


def test_the_fast_way_through_the_image_tower_is_the_towers_own(parts: ModuleType, network: Any) -> None:
    import torch

    pixels = torch.randint(0, 256, (3, 224, 224, 3), dtype=torch.uint8)
    parts.prime_vision(network, pixels)
    mean, std = torch.tensor(parts._POLICY.mean), torch.tensor(parts._POLICY.std)
    expected = network.vision_model(pixel_values=((pixels / 255 - mean) / std).permute(0, 3, 1, 2)).pooler_output
    patches = parts.patches_of(pixels, 1.0, 0.0, torch.float32)
    assert torch.allclose(parts.pool_pictures(network, patches), expected, atol=1e-5)


def test_captions_that_say_the_same_are_no_wrong_answers_to_each_other(parts: ModuleType, network: Any) -> None:
    """Two pictures, the same caption twice: with all four pairs true, an even answer is the perfect one."""
    import torch

    eot = network.config.text_config.eos_token_id
    ids = np.array([[eot - 1, 5, eot]] * 2)
    pictures = torch.nn.functional.normalize(torch.ones(2, 512), dim=1)
    shared = parts.contrastive_loss(network, pictures, _batch(ids, np.ones((2, 2), dtype=bool)))
    assert float(shared.detach()) == pytest.approx(np.log(2), abs=1e-4)


def test_the_rate_rises_stays_and_falls(clip: ModuleType) -> None:
    recipe = clip.Recipe(steps=100, warmup_steps=10, decay_share=0.25, learning_rate=1.0)
    assert recipe.rate(0) == pytest.approx(0.1)
    assert recipe.rate(9) == recipe.rate(74) == pytest.approx(1.0)
    assert recipe.rate(90) == pytest.approx(0.4)


def _batch(ids: np.ndarray, truth: np.ndarray) -> Batch:
    ones = np.ones(len(ids), dtype=np.float32)
    pixels = np.zeros((len(ids), 224, 224, 3), dtype=np.uint8)
    return Batch(pixels, ids, truth, np.zeros((len(ids), 3), dtype=np.int64), ones, ones)


def _quiet(_: str) -> None:
    """Takes log lines that a test has no use for."""
