"""What is done to a text model before it is rounded. Needs the export extra."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vitrine.models.agreement import text_agreement
from vitrine.models.balancing import balanced
from vitrine.models.calibration import TEXTS, calibration_texts, text_inputs
from vitrine.models.checkpoint import Checkpoint, load_checkpoint
from vitrine.models.precision import DynamicInt8Linear, FloatLinear, name_of
from vitrine.models.random_clip import write_random_clip
from vitrine.models.reduced_text import reduced_text_graph
from vitrine.models.rounding import Inputs
from vitrine.models.towers import text_graph

pytestmark = pytest.mark.export

BUCKETS = (4, 6, 8, 16, 32, 77)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return load_checkpoint(write_random_clip(tmp_path_factory.mktemp("checkpoint"), size="tiny", seed=5))


@pytest.fixture(scope="module")
def seen(checkpoint: Checkpoint) -> Mapping[str, Inputs]:
    return text_inputs(checkpoint)


def written(folder: Path, model: Any) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString(deterministic=True))
    return path


def test_balancing_changes_no_vector(checkpoint: Checkpoint, seen: Mapping[str, Inputs], tmp_path: Path) -> None:
    even, _ = balanced(checkpoint, seen)
    path = written(tmp_path, text_graph(even, FloatLinear()))
    found = text_agreement(checkpoint, path, BUCKETS)
    assert found.max_difference <= 1e-5
    assert found.min_cosine >= 0.999999


def test_balanced_inputs_lie_around_zero_in_channels_of_one_width(
    checkpoint: Checkpoint, seen: Mapping[str, Inputs]
) -> None:
    even, told = balanced(checkpoint, seen)
    found = text_inputs(even)
    for name, inputs in found.items():
        # What is told without another calibration is what another one finds.
        np.testing.assert_allclose(told[name].mean, inputs.mean, atol=1e-4)
        np.testing.assert_allclose(told[name].moments, inputs.moments, rtol=1e-3, atol=1e-4)
    fc1 = found[name_of(even.weights["text_model.encoder.layers.0.mlp.fc1.weight"])]
    assert np.abs(fc1.mean).max() < 1e-4
    widths = np.diagonal(fc1.moments)
    assert widths.max() < 1.01 * widths.min()


def test_calibrated_int8_is_truer_than_the_nearest_codes(checkpoint: Checkpoint, tmp_path: Path) -> None:
    plain = text_agreement(checkpoint, written(tmp_path, text_graph(checkpoint, DynamicInt8Linear())), BUCKETS)
    graph = reduced_text_graph(checkpoint)(DynamicInt8Linear())
    found = text_agreement(checkpoint, written(tmp_path, graph), BUCKETS)
    assert 1 - found.mean_cosine < 0.6 * (1 - plain.mean_cosine)


def test_calibration_texts_are_words_of_the_vocabulary_and_the_same_each_time(checkpoint: Checkpoint) -> None:
    batches, again = list(calibration_texts(checkpoint)), list(calibration_texts(checkpoint))
    assert sum(len(ids) for ids in batches) == sum(TEXTS.values())
    token_of = {number: token for token, number in checkpoint.vocabulary.items()}
    for ids, same in zip(batches, again, strict=True):
        np.testing.assert_array_equal(ids, same)
        assert (ids[:, 0] == checkpoint.begin_id).all()
        assert (ids[:, -1] == checkpoint.end_id).all()
        assert all(token_of[number].removesuffix("</w>").isalpha() for number in ids[:, 1:-1].ravel())
    assert not np.array_equal(batches[0], next(calibration_texts(checkpoint, seed=1)))


def test_a_short_context_is_calibrated_with_what_fits(checkpoint: Checkpoint) -> None:
    assert {ids.shape[1] for ids in calibration_texts(replace(checkpoint, context_length=6))} == {3, 4, 5, 6}
