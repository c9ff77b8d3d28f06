"""A checkpoint's text tower is read back from what was exported of it. Needs the export extra."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from loadtest.bench.exported_text import read_text_checkpoint
from vitrine.models.checkpoint import load_checkpoint
from vitrine.models.export import export
from vitrine.models.random_clip import write_random_clip

pytestmark = pytest.mark.export


def test_the_weights_that_are_read_back_are_the_checkpoints(tmp_path: Path) -> None:
    source = write_random_clip(tmp_path / "checkpoint", size="tiny", seed=5)
    export(source, tmp_path / "out")
    sent, read = load_checkpoint(source), read_text_checkpoint(tmp_path / "out")
    # ONNX keeps the epsilon in 32 bits.
    assert replace(read.text, epsilon=0) == replace(sent.text, epsilon=0)
    assert read.text.epsilon == pytest.approx(sent.text.epsilon)
    assert read.dimension == sent.dimension
    assert (read.begin_id, read.end_id, read.vocabulary) == (sent.begin_id, sent.end_id, sent.vocabulary)
    of_texts = {name for name in sent.weights if name.startswith("text_")}
    assert of_texts == set(read.weights)
    for name in of_texts:
        np.testing.assert_allclose(read.weights[name], sent.weights[name], rtol=1e-6, err_msg=name)
