"""The integer arithmetic of int8 graphs, on whatever CPU runs this. Needs the export extra."""

from pathlib import Path

import numpy as np
import pytest

from vitrine.models.agreement import open_graph
from vitrine.models.graph import Array, Graph
from vitrine.models.precision import DynamicInt8Linear

pytestmark = pytest.mark.export

ROWS = 96


def outlying(columns: int) -> Array:
    """float32 [ROWS, columns]: small weights, and some that stand out, as neighbours of one sign and of both."""
    rng = np.random.default_rng(columns)
    weight = rng.normal(0, 0.1, (ROWS, columns))
    weight[: ROWS // 2, ::5] = rng.choice([-1, 1], (ROWS // 2, 1))
    weight[: ROWS // 2, 1::5] = weight[: ROWS // 2, ::5][:, : weight[:, 1::5].shape[1]]
    weight[3] = 0
    return weight.astype(np.float32)


def by_hand(x: Array, weight: Array) -> Array:
    """Both sides rounded as ONNX's DynamicQuantizeLinear and the exporter do, multiplied in float64."""
    low, high = min(0.0, float(x.min())), max(0.0, float(x.max()))
    step = np.float32((high - low) / 255)
    zero = np.clip(np.rint(-low / step), 0, 255)
    codes = np.clip(np.rint(x / step) + zero, 0, 255) - zero
    graph = Graph()
    DynamicInt8Linear().apply(graph, "x", weight, None)
    from onnx import numpy_helper

    kept, scale = (numpy_helper.to_array(graph.constants[index]) for index in (1, 2))
    return codes.astype(np.float64) @ kept.astype(np.float64) * float(step) * scale.astype(np.float64)


def through_onnxruntime(folder: Path, x: Array, weight: Array) -> Array:
    graph = Graph()
    product = DynamicInt8Linear().apply(graph, "x", weight, None)
    graph.op("Identity", product, output="embedding")
    path = folder / "product.onnx"
    path.write_bytes(graph.model("product", ("x", np.float32, ["batch", x.shape[1]]), ROWS).SerializeToString())
    return np.asarray(open_graph(path).run(None, {"x": x})[0])


@pytest.mark.parametrize("columns", [7, 64, 514])
@pytest.mark.parametrize("batch", [1, 2, 9])
def test_large_neighbours_do_not_overflow_on_any_cpu(tmp_path: Path, batch: int, columns: int) -> None:
    # Values at the upper end, where bytes are 255: without VNNI, sums of two products must still fit into 16 bits.
    x = np.random.default_rng(batch).uniform(0.9, 1, (batch, columns)).astype(np.float32)
    weight = outlying(columns)
    expected = by_hand(x, weight)
    np.testing.assert_allclose(through_onnxruntime(tmp_path, x, weight), expected, rtol=1e-5, atol=1e-5)


def test_no_two_neighbouring_codes_of_one_sign_exceed_128() -> None:
    from onnx import numpy_helper

    graph = Graph()
    DynamicInt8Linear().apply(graph, "x", outlying(514), None)
    codes = numpy_helper.to_array(graph.constants[1]).T.astype(int)
    pairs = codes.reshape(ROWS, -1, 2)
    assert np.maximum(pairs, 0).sum(axis=2).max() <= 128
    assert np.minimum(pairs, 0).sum(axis=2).min() >= -128
    # A row without such neighbours uses the whole range.
    assert np.abs(pairs).max() >= 100
