"""Our `onnxruntime` backend in the real Triton, over models that need every part of it."""

import concurrent.futures
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
import tritonclient.grpc as triton
from onnx import TensorProto, helper
from tritonclient.utils import InferenceServerException, triton_to_np_dtype

from tests.fixtures.stack import RunningService, settings_on_free_ports
from tests.fixtures.tiny_models import save_model
from vitrine.local.engines import Engines
from vitrine.local.service import LOOPBACK
from vitrine.local.triton import SHARED_MEMORY, TritonService

TIMEOUT_S = 20.0
TYPES = {
    "UINT8": TensorProto.UINT8,
    "INT32": TensorProto.INT32,
    "INT64": TensorProto.INT64,
    "FP16": TensorProto.FLOAT16,
    "FP32": TensorProto.FLOAT,
    "FP64": TensorProto.DOUBLE,
    "BOOL": TensorProto.BOOL,
}


def tensor(name: str, kind: int, *shape: int | str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, list(shape))


def write_model(root: Path, name: str, graph: onnx.GraphProto, config: str) -> None:
    save_model(root, name, graph)
    (root / name / "config.pbtxt").write_text(f'name: "{name}"\nbackend: "onnxruntime"\n{config}', encoding="utf-8")


def two_in_two_out() -> onnx.GraphProto:
    """left FP32 [b, n], right FP32 [b, n] -> total, difference FP32 [b, n]."""
    shape = ("b", "n")
    return helper.make_graph(
        [
            helper.make_node("Add", ["left", "right"], ["total"]),
            helper.make_node("Sub", ["left", "right"], ["difference"]),
        ],
        "two",
        [tensor("left", TensorProto.FLOAT, *shape), tensor("right", TensorProto.FLOAT, *shape)],
        [tensor("total", TensorProto.FLOAT, *shape), tensor("difference", TensorProto.FLOAT, *shape)],
    )


def picky() -> onnx.GraphProto:
    """index INT64 [b, 1] -> value FP32 [b, 1]: a table of ten rows, an error beyond."""
    table = onnx.numpy_helper.from_array(np.arange(10, dtype=np.float32), "table")
    return helper.make_graph(
        [helper.make_node("Gather", ["table", "index"], ["value"])],
        "picky",
        [tensor("index", TensorProto.INT64, "b", 1)],
        [tensor("value", TensorProto.FLOAT, "b", 1)],
        [table],
    )


def identities() -> onnx.GraphProto:
    """One input and one output of each type, any shape [n]."""
    return helper.make_graph(
        [helper.make_node("Identity", [f"in_{kind}"], [f"out_{kind}"]) for kind in TYPES],
        "identities",
        [tensor(f"in_{kind}", number, "n") for kind, number in TYPES.items()],
        [tensor(f"out_{kind}", number, "n") for kind, number in TYPES.items()],
    )


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    root = tmp_path_factory.mktemp("backend")
    models = root / "models"
    # No inputs and outputs listed: the backend fills them in from the graph.
    write_model(models, "two", two_in_two_out(), "max_batch_size: 16\ndynamic_batching { }\n")
    write_model(
        models,
        "picky",
        picky(),
        "max_batch_size: 8\n"
        'input [ { name: "index" data_type: TYPE_INT64 dims: [ 1 ] } ]\n'
        'output [ { name: "value" data_type: TYPE_FP32 dims: [ 1 ] } ]\n'
        "dynamic_batching { max_queue_delay_microseconds: 200000 }\n"
        'parameters { key: "intra_op_thread_count" value: { string_value: "1" } }\n'
        'parameters { key: "session.set_denormal_as_zero" value: { string_value: "1" } }\n',
    )
    write_model(models, "identities", identities(), "max_batch_size: 0\n")
    settings = settings_on_free_ports(root / "state", models)
    service = TritonService(settings.local, Engines.locate(settings.local.engines_dir), models, root / "triton")
    running = RunningService(service, root / "triton.log", settings)
    running.start()
    running.wait_ready()
    yield running
    running.stop()
    assert not list(SHARED_MEMORY.glob(f"{service.shared_memory_prefix}*"))


@pytest.fixture
def client(server: RunningService) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(f"{LOOPBACK}:{server.settings.local.triton_grpc_port}") as client:
        yield client


def infer(
    client: triton.InferenceServerClient, model: str, outputs: list[str] | None = None, **arrays: np.ndarray
) -> triton.InferResult:
    inputs = []
    for name, array in arrays.items():
        kind = name.removeprefix("in_") if name.startswith("in_") else {"index": "INT64"}.get(name, "FP32")
        inputs.append(triton.InferInput(name, list(array.shape), kind))
        inputs[-1].set_data_from_numpy(array)
    wanted = [triton.InferRequestedOutput(name) for name in outputs] if outputs else None
    return client.infer(model, inputs, outputs=wanted, client_timeout=TIMEOUT_S)


def test_several_inputs_and_outputs_keep_their_names(client: triton.InferenceServerClient) -> None:
    left = np.arange(6, dtype=np.float32).reshape(2, 3)
    result = infer(client, "two", left=left, right=np.ones_like(left))
    np.testing.assert_array_equal(result.as_numpy("total"), left + 1)
    np.testing.assert_array_equal(result.as_numpy("difference"), left - 1)


def test_only_the_requested_output_is_sent(client: triton.InferenceServerClient) -> None:
    ones = np.ones((1, 4), dtype=np.float32)
    result = infer(client, "two", ["difference"], left=ones, right=ones)
    assert [output.name for output in result.get_response().outputs] == ["difference"]


def test_a_configuration_without_inputs_is_completed_from_the_graph(client: triton.InferenceServerClient) -> None:
    config = client.get_model_config("two", client_timeout=TIMEOUT_S).config
    assert [(part.name, list(part.dims)) for part in config.input] == [("left", [-1]), ("right", [-1])]
    assert [part.name for part in config.output] == ["total", "difference"]


@pytest.mark.parametrize("kind", TYPES)
def test_every_type_crosses_unchanged(client: triton.InferenceServerClient, kind: str) -> None:
    sent = {
        f"in_{each}": np.array([0, 1, 1, 0, 1]).astype(triton_to_np_dtype(each)) * (1 if each == "BOOL" else 3)
        for each in TYPES
    }
    sent["in_BOOL"] = sent["in_BOOL"].astype(bool)
    got = infer(client, "identities", **sent).as_numpy(f"out_{kind}")
    assert got.dtype == triton_to_np_dtype(kind)
    np.testing.assert_array_equal(got, sent[f"in_{kind}"])


def test_a_bad_request_fails_alone_when_it_shares_a_batch(client: triton.InferenceServerClient) -> None:
    def ask(index: int) -> float | str | None:
        try:
            return float(infer(client, "picky", index=np.array([[index]], dtype=np.int64)).as_numpy("value")[0, 0])
        except InferenceServerException as error:
            return error.status()

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, [0, 1, 99, 3, 4, -99, 6, 7]))
    bad = "StatusCode.INVALID_ARGUMENT"
    assert answers == [0.0, 1.0, bad, 3.0, 4.0, bad, 6.0, 7.0]
    statistics = client.get_inference_statistics("picky", client_timeout=TIMEOUT_S).model_stats[0]
    assert max(part.batch_size for part in statistics.batch_stats) > 1


def test_rows_of_batched_requests_of_different_sizes_come_back_to_their_owners(
    client: triton.InferenceServerClient,
) -> None:
    def ask(rows: int) -> bool:
        left = np.full((rows, 5), rows, dtype=np.float32)
        total = infer(client, "two", left=left, right=left).as_numpy("total")
        return total.shape == left.shape and bool((total == 2 * rows).all())

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        assert all(pool.map(ask, [1 + number % 7 for number in range(400)]))


def test_the_stub_does_not_grow_over_many_calls(client: triton.InferenceServerClient, server: RunningService) -> None:
    import psutil

    def stub_bytes() -> int:
        return sum(child.memory_info().rss for child in psutil.Process(server.pid).children(recursive=True))

    left = np.ones((16, 2_000), dtype=np.float32)  # 125 KiB in, 250 KiB out
    for _ in range(50):
        infer(client, "two", left=left, right=left)
    before = stub_bytes()
    for _ in range(400):
        infer(client, "two", left=left, right=left)
    assert stub_bytes() - before < 20 << 20, "400 calls moved 150 MiB; a leak of them would show"


def test_nothing_is_written_about_good_calls(client: triton.InferenceServerClient, server: RunningService) -> None:
    ones = np.ones((1, 4), dtype=np.float32)
    before = server.log.stat().st_size
    for _ in range(20):
        infer(client, "two", left=ones, right=ones)
    assert server.log.stat().st_size == before, server.log.read_text(encoding="utf-8")[before:]
