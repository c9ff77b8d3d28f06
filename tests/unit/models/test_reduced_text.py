"""What is done to a text model before it is rounded. Needs the export extra."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vitrine.models.agreement import open_graph, pad, random_texts, text_agreement
from vitrine.models.balancing import balanced
from vitrine.models.begin_token import begin_of_text
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
    return text_inputs(checkpoint, begin_of_text(checkpoint))


def written(folder: Path, model: Any) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString(deterministic=True))
    return path


@pytest.mark.parametrize("activation", ["quick_gelu", "gelu"])
def test_a_begin_of_text_computed_beforehand_changes_no_vector(
    checkpoint: Checkpoint, tmp_path: Path, activation: str
) -> None:
    tower = replace(checkpoint.text, activation=activation)
    checkpoint = replace(checkpoint, text=tower)
    ids = pad(random_texts(checkpoint, 3, 8, seed=1), 9, 0)
    whole = open_graph(written(tmp_path, text_graph(checkpoint, FloatLinear()))).run(None, {"input_ids": ids})[0]
    graph = text_graph(checkpoint, FloatLinear(), begin_of_text(checkpoint))
    found = open_graph(written(tmp_path, graph)).run(None, {"input_ids": ids})[0]
    np.testing.assert_allclose(found, whole, atol=1e-6)


def test_a_graph_that_knows_the_begin_takes_texts_of_two_tokens_and_ids_of_zeros(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    session = open_graph(written(tmp_path, text_graph(checkpoint, FloatLinear(), begin_of_text(checkpoint))))
    # Zeros are what Triton warms a model up with.
    for ids in ([[checkpoint.begin_id, checkpoint.end_id]], [[0] * 4] * 3):
        assert np.isfinite(session.run(None, {"input_ids": np.array(ids, np.int32)})[0]).all()


def test_balancing_changes_no_vector(checkpoint: Checkpoint, seen: Mapping[str, Inputs], tmp_path: Path) -> None:
    even, _ = balanced(checkpoint, seen)
    path = written(tmp_path, text_graph(even, FloatLinear(), begin_of_text(even)))
    found = text_agreement(checkpoint, path, BUCKETS)
    assert found.max_difference <= 1e-5
    assert found.min_cosine >= 0.999999


def test_balanced_inputs_lie_around_zero_in_channels_of_one_width(
    checkpoint: Checkpoint, seen: Mapping[str, Inputs]
) -> None:
    even, told = balanced(checkpoint, seen)
    found = text_inputs(even, begin_of_text(even))
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
