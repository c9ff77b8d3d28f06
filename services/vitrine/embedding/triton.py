"""The only module that speaks to Triton. Its exceptions stop here and leave as the product's own errors."""

import asyncio
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt
from grpc.aio import AioRpcError
from tritonclient.grpc import service_pb2, service_pb2_grpc

from vitrine.domain import Deadline, Pixels, Vectors
from vitrine.embedding.contract import FINGERPRINT_PARAMETER, IMAGE_MODEL, TEXT_MODEL
from vitrine.errors import (
    DeadlineExceeded,
    EncoderUnavailable,
    InternalError,
    Overloaded,
    VitrineError,
)
from vitrine.settings import TritonSettings
from vitrine.telemetry.metrics import ShedReason
from vitrine.telemetry.spans import recording, span, trace_headers

# gRPC's own limit is less than a batch of pictures (32 x 224 x 224 x 3 bytes = 4.6 MiB).
_MAX_MESSAGE_BYTES = 64 * 1024 * 1024
_CHANNEL_OPTIONS = [
    ("grpc.max_send_message_length", _MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
    # With a headless Service behind dns:///, every Triton pod gets its share; pick_first would pin one.
    ("grpc.lb_policy_name", "round_robin"),
    # Retries belong to whoever owns the deadline, not to the channel.
    ("grpc.enable_retries", 0),
    # A restarted Triton is found again within a second instead of gRPC's two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # gRPC obeys http_proxy, for loopback and for a cluster's own addresses too; no proxy stands before Triton.
    ("grpc.enable_http_proxy", 0),
]

OUTPUT = "embedding"
"""The one tensor that both models answer with."""
_OUTPUTS = [service_pb2.ModelInferRequest.InferRequestedOutputTensor(name=OUTPUT)]
_SERVICE, _INFER = "inference.GRPCInferenceService", "ModelInfer"


class TritonClient:
    """Asks a Triton server for embeddings, in the messages of `tritonclient`.

    Its ready-made client would describe tensors that are always alike anew for each call, by objects of its own.

    Must be made inside the event loop that uses it. Connects lazily: making one never fails because Triton is down.
    """

    def __init__(self, settings: TritonSettings) -> None:
        self._settings = settings
        self._channel = grpc.aio.insecure_channel(settings.url, options=_CHANNEL_OPTIONS)
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)

    async def close(self) -> None:
        await self._channel.close()

    async def infer_text(self, ids: npt.NDArray[np.int32], deadline: Deadline) -> Vectors:
        """Embeds token ids, int32 [n, length], every row padded to the same bucket. Returns float32 [n, dim].

        Raises:
            EncoderUnavailable, Overloaded, DeadlineExceeded, InternalError
        """
        return await self._infer(TEXT_MODEL, "input_ids", "INT32", ids, deadline)

    async def infer_image(self, pixels: Pixels, deadline: Deadline) -> Vectors:
        """Embeds pictures, uint8 [n, size, size, 3]. Returns float32 [n, dim].

        Raises:
            EncoderUnavailable, Overloaded, DeadlineExceeded, InternalError
        """
        return await self._infer(IMAGE_MODEL, "pixels", "UINT8", pixels, deadline)

    async def fingerprints(self, deadline: Deadline) -> dict[str, str | None]:
        """The contract fingerprint that each loaded model carries in its config, None where it carries none.

        Raises:
            EncoderUnavailable: a model is not loaded, or Triton does not answer.
            DeadlineExceeded: Triton did not answer in time.
        """
        names = (TEXT_MODEL, IMAGE_MODEL)
        return dict(
            zip(names, await asyncio.gather(*(self._fingerprint(name, deadline) for name in names)), strict=True)
        )

    async def _fingerprint(self, model: str, deadline: Deadline) -> str | None:
        timeout = deadline.within(self._settings.control_timeout_s)
        with _vendor_errors(model):
            ready = await self._stub.ModelReady(service_pb2.ModelReadyRequest(name=model), timeout=timeout)
            if not ready.ready:
                raise EncoderUnavailable(f"Triton has not loaded {model} yet.", model=model)
            answer = await self._stub.ModelConfig(service_pb2.ModelConfigRequest(name=model), timeout=timeout)
        parameters = answer.config.parameters
        return str(parameters[FINGERPRINT_PARAMETER].string_value) if FINGERPRINT_PARAMETER in parameters else None

    async def _infer(
        self, model: str, input_name: str, datatype: str, tensor: npt.NDArray[np.generic], deadline: Deadline
    ) -> Vectors:
        timeout = deadline.within(self._settings.timeout_s)
        request = infer_request(model, input_name, datatype, tensor, timeout)
        with _infer_span(model, tensor.shape), _vendor_errors(model):
            # Triton records whatever comes with a context, whether or not it says that it is sampled.
            metadata = trace_headers(sampled_only=True) or None
            answer = await self._stub.ModelInfer(request, timeout=timeout, metadata=metadata)
        vectors = _matrix_in(answer)
        if vectors is None or len(vectors) != len(tensor) or not np.isfinite(vectors).all():
            shape = [tuple(output.shape) for output in answer.outputs]
            raise InternalError(f"{model} answered {len(tensor)} inputs with an unusable tensor of shape {shape}.")
        return vectors


def infer_request(model: str, input_name: str, datatype: str, tensor: npt.NDArray[np.generic], timeout_s: float) -> Any:
    """A question as a message of Triton's protocol.

    Args:
        model: its name.
        input_name: of its one input.
        datatype: of that, as Triton calls it.
        tensor: its value.
        timeout_s: after which Triton takes the request out of its queue, as nobody waits for it any more. One that is
            under way it finishes, so the call needs a timeout of its own.
    """
    request = service_pb2.ModelInferRequest(
        model_name=model,
        inputs=[service_pb2.ModelInferRequest.InferInputTensor(name=input_name, datatype=datatype, shape=tensor.shape)],
        outputs=_OUTPUTS,
        raw_input_contents=[tensor.tobytes()],
    )
    request.parameters["timeout"].int64_param = max(1, int(timeout_s * 1_000_000))
    return request


def _matrix_in(answer: Any) -> Vectors | None:
    """The one tensor of an answer, float32 [n, dim], read-only. None: it holds another, or several."""
    if len(answer.outputs) != 1 or len(answer.raw_output_contents) != 1:
        return None
    (output,), (content,) = answer.outputs, answer.raw_output_contents
    if output.datatype != "FP32" or len(output.shape) != 2:
        return None
    rows, columns = output.shape
    if not content or len(content) != 4 * rows * columns:
        return None
    return np.frombuffer(content, dtype="<f4").reshape(rows, columns)


def _infer_span(model: str, shape: tuple[int, ...]) -> AbstractContextManager[None]:
    """The call as OpenTelemetry names remote calls; Triton's own spans are inside it."""
    if recording() is None:
        return nullcontext()
    attributes: dict[str, str | int] = {
        "rpc.system": "grpc",
        "rpc.service": _SERVICE,
        "rpc.method": _INFER,
        "vitrine.model": model,
        "vitrine.batch_size": shape[0],
    }
    if model == TEXT_MODEL:
        attributes["vitrine.text_length"] = shape[1]
    return span(f"{_SERVICE}/{_INFER}", attributes, kind="client")


def _vendor_errors(model: str) -> AbstractContextManager[None]:
    """Lets the client's errors out of a block as the product's own."""
    return _VendorErrors(model)


class _VendorErrors(AbstractContextManager[None]):
    """See `_vendor_errors`. A class: a generator takes five times as long."""

    __slots__ = ("_model",)

    def __init__(self, model: str) -> None:
        self._model = model

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, AioRpcError):
            raise _translated(self._model, error.code().name, error.details() or "") from error


def _translated(model: str, status: str, message: str) -> VitrineError:
    """Triton's queue refusals are all UNAVAILABLE; only their words tell a full queue from a server that is gone."""
    lowered = message.lower()
    if status == "DEADLINE_EXCEEDED" or "timeout expired" in lowered or "deadline exceeded" in lowered:
        return DeadlineExceeded(f"Triton did not answer for {model} in time.", model=model)
    if "maximum queue size" in lowered or status == "RESOURCE_EXHAUSTED":
        return Overloaded(f"Triton's queue for {model} is full.", reason=ShedReason.TRITON_QUEUE.value, model=model)
    if status in {"INVALID_ARGUMENT", "OUT_OF_RANGE", "UNIMPLEMENTED"}:
        return InternalError(f"Triton refused a request for {model}: {message}", model=model)
    return EncoderUnavailable(f"Triton cannot run {model}: {message or status}", model=model)
