"""What is taken from an answer of Triton, and what is none that can be used."""

import numpy as np
import pytest
from tritonclient.grpc import service_pb2

from vitrine.embedding.triton import _matrix_in

VALUES = np.arange(6, dtype="<f4")


def answer(*tensors: tuple[str, tuple[int, ...], bytes]) -> service_pb2.ModelInferResponse:
    """One with tensors of these types, shapes and contents."""
    told = [service_pb2.ModelInferResponse.InferOutputTensor(datatype=kind, shape=shape) for kind, shape, _ in tensors]
    return service_pb2.ModelInferResponse(outputs=told, raw_output_contents=[content for *_, content in tensors])


def test_a_matrix_of_float32_is_read_row_by_row() -> None:
    found = _matrix_in(answer(("FP32", (2, 3), VALUES.tobytes())))
    assert found is not None
    assert found.dtype == np.float32
    assert found.tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize(
    "tensors",
    [
        [],
        [("FP32", (2, 3), VALUES.tobytes())] * 2,
        [("FP16", (2, 3), VALUES.astype("<f2").tobytes())],
        [("INT32", (2, 3), VALUES.tobytes())],
        [("FP32", (6,), VALUES.tobytes())],
        [("FP32", (1, 2, 3), VALUES.tobytes())],
        [("FP32", (2, 4), VALUES.tobytes())],
        [("FP32", (), VALUES.tobytes())],
        [("FP32", (0, 3), b"")],
        [("FP32", (2, 3), VALUES.tobytes()[:-1])],
    ],
)
def test_whatever_else_is_answered_is_none(tensors: list[tuple[str, tuple[int, ...], bytes]]) -> None:
    assert _matrix_in(answer(*tensors)) is None


def test_a_shape_without_its_content_is_none() -> None:
    told = service_pb2.ModelInferResponse.InferOutputTensor(datatype="FP32", shape=(2, 3))
    assert _matrix_in(service_pb2.ModelInferResponse(outputs=[told])) is None
