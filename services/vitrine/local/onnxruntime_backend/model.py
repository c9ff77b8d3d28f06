"""A Triton backend named `onnxruntime`, for machines where NVIDIA's native one is not installed.

Triton loads this file for every model whose config.pbtxt says `backend: "onnxruntime"`, so one model repository serves
here on a CPU and, untouched, on a GPU server with the native backend. It runs inside Triton's Python stub, in the
engines' environment: nothing of the `vitrine` package can be imported here.

Tensors cross over as DLPack, not through the stub's NumPy calls: those were compiled against NumPy 1 and hand back
empty arrays under NumPy 2.
"""

import ctypes
import json
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import triton_python_backend_utils as pb_utils  # type: ignore[import-not-found]  # Triton provides it
from onnxruntime.capi.onnxruntime_pybind11_state import InvalidArgument

MODEL_FILE = "model.onnx"
# Inputs of requests that run as one batch; a larger request runs by itself. On a CPU more rows do not make a row
# cheaper for ever: ViT-B/32 takes 89 ms a picture in a batch of 8, 94 in one of 16, 99 in one of 32. Texts stay below.
RUN_BYTES = 2 << 20
NICENESS_PARAMETER = "vitrine_niceness"
TRITON_TYPES = {
    "tensor(bool)": "TYPE_BOOL",
    "tensor(uint8)": "TYPE_UINT8",
    "tensor(uint16)": "TYPE_UINT16",
    "tensor(uint32)": "TYPE_UINT32",
    "tensor(uint64)": "TYPE_UINT64",
    "tensor(int8)": "TYPE_INT8",
    "tensor(int16)": "TYPE_INT16",
    "tensor(int32)": "TYPE_INT32",
    "tensor(int64)": "TYPE_INT64",
    "tensor(float16)": "TYPE_FP16",
    "tensor(float)": "TYPE_FP32",
    "tensor(double)": "TYPE_FP64",
}
GRAPH_LEVELS = {  # optimization.graph.level of config.pbtxt, with the native backend's meaning
    -1: ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    1: ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    2: ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
}
ERRORS_ONLY = 4  # ONNX Runtime's log severity "fatal": its errors reach the client, logging them twice helps nobody
Feeds = dict[str, np.ndarray[Any, Any]]
CPU = (1, 0)  # DLPack's device type and number

_CONSUMED = b"used_dltensor"
_rename_capsule = ctypes.pythonapi.PyCapsule_SetName
_rename_capsule.argtypes = (ctypes.py_object, ctypes.c_char_p)


def session_options(config: dict[str, Any]) -> ort.SessionOptions:
    """Builds ONNX Runtime's options from a model configuration.

    Reads the parameters that the native backend reads (intra_op_thread_count, inter_op_thread_count, execution_mode,
    enable_mem_arena, enable_mem_pattern, session.*) and optimization.graph.level.

    Args:
        config: config.pbtxt as Triton hands it to backends, parsed from JSON.
    """
    parameters = {key: value["string_value"] for key, value in config.get("parameters", {}).items()}
    options = ort.SessionOptions()
    options.log_severity_level = ERRORS_ONLY
    options.intra_op_num_threads = int(parameters.get("intra_op_thread_count", 0))
    options.inter_op_num_threads = int(parameters.get("inter_op_thread_count", 0))
    if parameters.get("execution_mode", "0") == "1":
        options.execution_mode = ort.ExecutionMode.ORT_PARALLEL
    options.enable_cpu_mem_arena = parameters.get("enable_mem_arena", "1") != "0"
    options.enable_mem_pattern = parameters.get("enable_mem_pattern", "1") != "0"
    level = config.get("optimization", {}).get("graph", {}).get("level", 0)
    options.graph_optimization_level = GRAPH_LEVELS.get(level, ort.GraphOptimizationLevel.ORT_ENABLE_ALL)
    # Threads that spin for as long as ONNX Runtime lets them would take cores from Milvus and the gateway. A model's
    # own parameters, read below, may ask for a moment of it.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    for key, value in parameters.items():
        if key.startswith("session."):
            options.add_session_config_entry(key, value)
    return options


def niceness(config: dict[str, Any]) -> int:
    """How far the instance stands back for other processes: the parameter vitrine_niceness, 0 to 19.

    The native backend ignores it. A model that embeds catalogues in batches shall not keep queries waiting on a machine
    where both share the cores.

    Args:
        config: as for `session_options`.
    """
    value = config.get("parameters", {}).get(NICENESS_PARAMETER, {}).get("string_value", "0")
    return min(19, max(0, int(value)))


def open_session(folder: Path, config: dict[str, Any]) -> ort.InferenceSession:
    """Opens the ONNX file of one model version.

    Args:
        folder: of the version.
        config: as for `session_options`.

    Raises:
        pb_utils.TritonModelException: no file, a graph with text tensors, or ONNX Runtime refuses it.
    """
    path = folder / MODEL_FILE
    if not path.is_file():
        raise pb_utils.TritonModelException(f"{path} does not exist")
    try:
        session = ort.InferenceSession(path, session_options(config), providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors have no common class
        raise pb_utils.TritonModelException(f"{path} cannot be opened: {error}") from error
    for tensor in (*session.get_inputs(), *session.get_outputs()):
        if tensor.type not in TRITON_TYPES:
            raise pb_utils.TritonModelException(f"{path}: {tensor.name} is a {tensor.type}, which is not served here")
    return session


def complete_config(config: Any, signature: Any) -> None:
    """Adds inputs and outputs that a model configuration leaves out, as the native backend does.

    Args:
        config: Triton's ModelConfig.
        signature: an ONNX Runtime session (or anything with its get_inputs and get_outputs).
    """
    known = config.as_dict()
    batched = known["max_batch_size"] > 0
    for tensors, listed, add in (
        (signature.get_inputs(), known["input"], config.add_input),
        (signature.get_outputs(), known["output"], config.add_output),
    ):
        if listed:
            continue
        for tensor in tensors:
            dims = [size if isinstance(size, int) else -1 for size in tensor.shape]
            add({"name": tensor.name, "data_type": TRITON_TYPES[tensor.type], "dims": dims[1:] if batched else dims})


class _Readable:
    """A request's tensor as NumPy reads DLPack; the stub's own `__dlpack__` refuses the arguments NumPy 2 passes."""

    __slots__ = ("_tensor",)

    def __init__(self, tensor: Any) -> None:
        self._tensor = tensor

    def __dlpack__(self, **_: object) -> Any:
        return self._tensor.to_dlpack()

    def __dlpack_device__(self) -> tuple[int, int]:
        return CPU


def read_inputs(request: Any) -> Feeds:
    """Arrays of a request by input name; they share memory with the request and must not outlive it."""
    return {tensor.name(): np.from_dlpack(_Readable(tensor)) for tensor in request.inputs()}


def write_output(name: str, array: np.ndarray[Any, Any]) -> Any:
    """An array [any shape], C-contiguous, as a response tensor."""
    capsule = array.__dlpack__()
    tensor = pb_utils.Tensor.from_dlpack(name, capsule)
    # The stub marks a consumed capsule with a name of its own; NumPy then reports an error for every single output.
    _rename_capsule(capsule, _CONSUMED)
    return tensor


def failure(error: Exception) -> Any:
    """What ONNX Runtime raised, as Triton's error: a caller's bad input is told apart from a broken server."""
    code = pb_utils.TritonError.INVALID_ARG if isinstance(error, InvalidArgument) else pb_utils.TritonError.INTERNAL
    return pb_utils.InferenceResponse(output_tensors=[], error=pb_utils.TritonError(str(error), code))


class TritonPythonModel:
    """One instance of one ONNX model; the class name and methods are those Triton's Python backend calls."""

    @staticmethod
    def auto_complete_config(auto_complete_model_config: Any) -> Any:
        """Fills in what config.pbtxt leaves out; a complete configuration costs nothing here."""
        known = auto_complete_model_config.as_dict()
        if not (known["input"] and known["output"]):
            complete_config(auto_complete_model_config, open_session(Path(pb_utils.get_model_dir()), known))
        return auto_complete_model_config

    def initialize(self, args: dict[str, str]) -> None:
        """Opens the ONNX file of this model version.

        Raises:
            pb_utils.TritonModelException: as `open_session`; Triton then reports the model as failed.
        """
        config = json.loads(args["model_config"])
        # Before the session makes its threads, which inherit it. This stub serves this one instance and nothing else.
        os.nice(niceness(config))
        self._session = open_session(Path(args["model_repository"]) / args["model_version"], config)
        self._batches = config["max_batch_size"] > 0
        self._outputs = [tensor["name"] for tensor in config["output"]]

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answers one response per request; requests that Triton put together run as one batch."""
        if len(requests) == 1 or not self._batches:
            return [self._run_alone(request) for request in requests]
        responses: list[Any] = [None] * len(requests)
        for indices, feeds in self._same_shapes(requests):
            group = [requests[index] for index in indices]
            for index, response in zip(indices, self._run_together(group, feeds), strict=True):
                responses[index] = response
        return responses

    def _same_shapes(self, requests: Sequence[Any]) -> Iterable[tuple[list[int], list[Feeds]]]:
        """Groups requests whose rows have equal shapes, and that are not too large for one run together."""
        groups: list[tuple[list[int], list[Feeds]]] = []
        latest: dict[object, tuple[list[int], list[Feeds]]] = {}
        room: dict[object, int] = defaultdict(int)
        for index, request in enumerate(requests):
            feeds = read_inputs(request)
            shape = tuple((name, array.shape[1:]) for name, array in feeds.items())
            size = sum(array.nbytes for array in feeds.values())
            if size > room[shape]:
                latest[shape] = ([], [])
                groups.append(latest[shape])
                room[shape] = RUN_BYTES
            room[shape] -= size
            indices, members = latest[shape]
            indices.append(index)
            members.append(feeds)
        return groups

    def _run_alone(self, request: Any) -> Any:
        wanted = [name for name in self._outputs if name in request.requested_output_names()]
        try:
            results = self._session.run(wanted, read_inputs(request))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this request's answer
            return failure(error)
        return pb_utils.InferenceResponse(output_tensors=list(map(write_output, wanted, results)))

    def _run_together(self, requests: Sequence[Any], feeds: Sequence[Feeds]) -> list[Any]:
        """Runs requests of equal row shapes [rows_i, ...] as one batch [sum of rows_i, ...] and splits the outputs."""
        batch = {name: np.concatenate([one[name] for one in feeds]) for name in feeds[0]}
        try:
            results = self._session.run(self._outputs, batch)
        except Exception:  # noqa: BLE001 - told apart below
            # One bad request must not fail its neighbours: alone, each gets its own answer or its own error.
            return [self._run_alone(request) for request in requests]
        responses, start = [], 0
        for request, one in zip(requests, feeds, strict=True):
            end = start + len(next(iter(one.values())))
            wanted = request.requested_output_names()
            tensors = [
                write_output(name, result[start:end])
                for name, result in zip(self._outputs, results, strict=True)
                if name in wanted
            ]
            responses.append(pb_utils.InferenceResponse(output_tensors=tensors))
            start = end
        return responses
