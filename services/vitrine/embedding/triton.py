"""The only module that speaks to Triton. Its refusals stop here and leave as the product's own errors."""

import asyncio
import math
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from types import TracebackType
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import orjson
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import triton_to_np_dtype

from vitrine.domain import Deadline, Pixels, Vectors
from vitrine.embedding.contract import FINGERPRINT_PARAMETER, IMAGE_MODEL, TEXT_MODEL
from vitrine.embedding.transport.connection import Answer
from vitrine.embedding.transport.servers import Servers, Unreachable
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

OUTPUT: Final = "embedding"
"""The one tensor that both models answer with."""
_OUTPUTS: Final = [InferRequestedOutput(OUTPUT, binary_data=True)]
_JSON_BYTES: Final = "Inference-Header-Content-Length"
"""Header of Triton's binary extension: how much of a body is JSON, before the tensors' own bytes."""
_INFER_PATH: Final = "/v2/models/{model}/infer"
_OK: Final = 200
_NOT_FOUND: Final = 404
_TOO_MANY: Final = 429
_SERVERS_FAULT: Final = 500


class TritonClient:
    """Asks Triton servers for embeddings: `tritonclient` writes the requests, connections of our own carry them.

    Triton's protocol over HTTP, with tensors in binary. Connects lazily: making a client never fails because Triton is
    down.
    """

    def __init__(self, settings: TritonSettings) -> None:
        self._settings = settings
        self._servers = Servers(settings.url)

    async def close(self) -> None:
        self._servers.close()

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
        with _transport_errors(model):
            ready = await self._servers.get(f"/v2/models/{model}/ready", timeout)
            if ready.status != _OK:
                raise EncoderUnavailable(f"Triton has not loaded {model} yet.", model=model)
            answer = await self._servers.get(f"/v2/models/{model}/config", timeout)
        if answer.status != _OK:
            raise _refusal(model, answer)
        parameter = _json_in(answer.body).get("parameters", {}).get(FINGERPRINT_PARAMETER)
        return None if parameter is None else str(parameter["string_value"])

    async def _infer(
        self, model: str, input_name: str, datatype: str, tensor: npt.NDArray[np.generic], deadline: Deadline
    ) -> Vectors:
        timeout = deadline.within(self._settings.timeout_s)
        body, json_bytes = infer_request(input_name, datatype, tensor, timeout)
        with _infer_span(model, tensor.shape), _transport_errors(model):
            # Triton records whatever comes with a context, whether or not it says that it is sampled.
            headers = ((_JSON_BYTES, str(json_bytes)), *trace_headers(sampled_only=True))
            answer = await self._servers.post(_INFER_PATH.format(model=model), headers, body, timeout)
            if answer.status != _OK:
                raise _refusal(model, answer)
        vectors = matrix_in(answer)
        if vectors is None or len(vectors) != len(tensor) or not np.isfinite(vectors).all():
            raise InternalError(f"{model} answered {len(tensor)} inputs with what is no embedding of each.")
        return vectors


def infer_request(
    input_name: str, datatype: str, tensor: npt.NDArray[np.generic], timeout_s: float
) -> tuple[bytes, int]:
    """A question in Triton's protocol: its bytes, and how many of them, at their beginning, are JSON.

    Args:
        input_name: of the model's one input.
        datatype: of that, as Triton calls it.
        tensor: its value.
        timeout_s: after which, or a tenth of a second later, Triton takes the request out of its queue, as nobody waits
            for it any more. One that is under way it finishes, and it does not notice that a caller has left.
    """
    told = _told(input_name, datatype, tensor.shape, max(1, math.ceil(10 * timeout_s)))
    return told + tensor.tobytes(), len(told)


@lru_cache(maxsize=256)
def _told(input_name: str, datatype: str, shape: tuple[int, ...], tenths: int) -> bytes:
    """The JSON of a question. Kept: nearly all are one of a few, and to write one takes as long as to send it."""
    given = InferInput(input_name, list(shape), datatype)
    given.set_data_from_numpy(np.zeros(shape, triton_to_np_dtype(datatype)))
    body, json_bytes = InferenceServerClient.generate_request_body([given], outputs=_OUTPUTS, timeout=tenths * 100_000)
    return bytes(body[:json_bytes])


def matrix_in(answer: Answer) -> Vectors | None:
    """The one tensor of an answer, float32 [n, dim], read-only. None: it holds another, or several."""
    try:
        json_bytes = int(answer.headers.get(_JSON_BYTES.lower().encode(), b""))
        (output,) = orjson.loads(memoryview(answer.body)[:json_bytes])["outputs"]
        datatype, (rows, columns) = output["datatype"], output["shape"]
        size = output["parameters"]["binary_data_size"]
    except (ValueError, KeyError, TypeError):
        return None
    if datatype != "FP32" or not rows or size != 4 * rows * columns or len(answer.body) != json_bytes + size:
        return None
    return np.frombuffer(answer.body, "<f4", offset=json_bytes).reshape(rows, columns)


def _json_in(body: bytes) -> Mapping[str, Any]:
    """A JSON object; empty for whatever else it is."""
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _infer_span(model: str, shape: tuple[int, ...]) -> AbstractContextManager[None]:
    """The call as OpenTelemetry names remote calls; Triton's own spans are inside it."""
    if recording() is None:
        return nullcontext()
    attributes: dict[str, str | int] = {
        "http.request.method": "POST",
        "url.template": _INFER_PATH,
        "vitrine.model": model,
        "vitrine.batch_size": shape[0],
    }
    if model == TEXT_MODEL:
        attributes["vitrine.text_length"] = shape[1]
    return span(f"POST {_INFER_PATH}", attributes, kind="client")


def _transport_errors(model: str) -> AbstractContextManager[None]:
    """Lets the connections' errors out of a block as the product's own."""
    return _TransportErrors(model)


class _TransportErrors(AbstractContextManager[None]):
    """See `_transport_errors`. A class: a generator takes five times as long."""

    __slots__ = ("_model",)

    def __init__(self, model: str) -> None:
        self._model = model

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, TimeoutError):
            raise DeadlineExceeded(f"Triton did not answer for {self._model} in time.", model=self._model) from error
        if isinstance(error, Unreachable):
            raise EncoderUnavailable(f"Triton cannot run {self._model}: {error}", model=self._model) from error


def _refusal(model: str, answer: Answer) -> VitrineError:
    """What a refusal means. Only its words tell a full queue from a request that waited there for too long."""
    message = str(_json_in(answer.body).get("error", "")) or f"HTTP status {answer.status}"
    lowered = message.lower()
    if "timeout expired" in lowered:
        return DeadlineExceeded(f"Triton did not answer for {model} in time.", model=model)
    if "maximum queue size" in lowered or answer.status == _TOO_MANY:
        return Overloaded(f"Triton's queue for {model} is full.", reason=ShedReason.TRITON_QUEUE.value, model=model)
    if answer.status < _SERVERS_FAULT and answer.status != _NOT_FOUND and "not ready" not in lowered:
        return InternalError(f"Triton refused a request for {model}: {message}", model=model)
    return EncoderUnavailable(f"Triton cannot run {model}: {message}", model=model)
