"""What is asked of Triton, what is taken from its answer, and what is none that can be used."""

import numpy as np
import orjson
import pytest

from vitrine.embedding.transport.connection import Answer
from vitrine.embedding.triton import infer_request, matrix_in

VALUES = np.arange(6, dtype="<f4")
Tensor = tuple[str, list[int], bytes]


def answer(*tensors: Tensor) -> Answer:
    """One with tensors of these types, shapes and contents."""
    told = orjson.dumps(
        {
            "outputs": [
                {
                    "name": "embedding",
                    "datatype": kind,
                    "shape": shape,
                    "parameters": {"binary_data_size": len(content)},
                }
                for kind, shape, content in tensors
            ]
        }
    )
    content = b"".join(content for *_, content in tensors)
    return Answer(200, {b"inference-header-content-length": str(len(told)).encode()}, told + content)


def test_a_question_is_what_tritonclient_says_and_then_the_tensor() -> None:
    ids = np.array([[1, 2, 3]], np.int32)
    body, json_bytes = infer_request("input_ids", "INT32", ids, 4.96)
    told = orjson.loads(body[:json_bytes])
    (given,) = told["inputs"]
    assert (given["name"], given["shape"], given["datatype"]) == ("input_ids", [1, 3], "INT32")
    assert given["parameters"] == {"binary_data_size": 12}
    assert told["outputs"] == [{"name": "embedding", "parameters": {"binary_data": True}}]
    assert np.frombuffer(body, np.int32, offset=json_bytes).tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("seconds", "microseconds"), [(4.96, 5_000_000), (0.3, 300_000), (0.01, 100_000), (0, 100_000)]
)
def test_the_queue_keeps_a_question_until_nobody_waits_any_more(seconds: float, microseconds: int) -> None:
    body, json_bytes = infer_request("input_ids", "INT32", np.zeros((2, 4), np.int32), seconds)
    assert orjson.loads(body[:json_bytes])["parameters"] == {"timeout": microseconds}


def test_a_matrix_of_float32_is_read_row_by_row() -> None:
    found = matrix_in(answer(("FP32", [2, 3], VALUES.tobytes())))
    assert found is not None
    assert found.dtype == np.float32
    assert found.tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize(
    "tensors",
    [
        [],
        [("FP32", [2, 3], VALUES.tobytes())] * 2,
        [("FP16", [2, 3], VALUES.astype("<f2").tobytes())],
        [("INT32", [2, 3], VALUES.tobytes())],
        [("FP32", [6], VALUES.tobytes())],
        [("FP32", [1, 2, 3], VALUES.tobytes())],
        [("FP32", [2, 4], VALUES.tobytes())],
        [("FP32", [], VALUES.tobytes())],
        [("FP32", [0, 3], b"")],
        [("FP32", [2, 3], VALUES.tobytes()[:-1])],
        [("FP32", ["2", 3], VALUES.tobytes())],
    ],
)
def test_whatever_else_is_answered_is_none(tensors: list[Tensor]) -> None:
    assert matrix_in(answer(*tensors)) is None


@pytest.mark.parametrize(
    ("length", "body"),
    [
        (None, b""),
        (b"x", b"{}"),
        (b"2", b"{}"),
        (b"2", b"[]"),
        (b"4", b"null"),
        (b"9", b"no JSON at all"),
        (b"2", b'"a"'),
    ],
)
def test_an_answer_that_is_no_answer_of_triton_is_none(length: bytes | None, body: bytes) -> None:
    headers = {} if length is None else {b"inference-header-content-length": length}
    assert matrix_in(Answer(200, headers, body)) is None


def test_a_tensor_that_was_cut_short_or_has_more_behind_it_is_none() -> None:
    whole = answer(("FP32", [2, 3], VALUES.tobytes()))
    assert matrix_in(Answer(200, whole.headers, whole.body[:-4])) is None
    assert matrix_in(Answer(200, whole.headers, whole.body + b"....")) is None
