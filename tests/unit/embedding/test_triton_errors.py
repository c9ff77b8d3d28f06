"""Which of our errors each of Triton's refusals becomes; tests/integration provokes the refusals for real."""

import grpc
import pytest
from grpc.aio import AioRpcError, Metadata

from vitrine.embedding.triton import _vendor_errors
from vitrine.errors import DeadlineExceeded, EncoderUnavailable, InternalError, Overloaded, VitrineError


@pytest.mark.parametrize(
    ("status", "message", "expected"),
    [
        ("DEADLINE_EXCEEDED", "Deadline Exceeded", DeadlineExceeded),
        ("UNAVAILABLE", "Request timeout expired", DeadlineExceeded),
        ("UNAVAILABLE", "[request id: <id_unknown>] Exceeds maximum queue size", Overloaded),
        ("RESOURCE_EXHAUSTED", "Sent message larger than max", Overloaded),
        ("UNAVAILABLE", "failed to connect to all addresses", EncoderUnavailable),
        ("UNAVAILABLE", "Request for unknown model: 'clip_text' is not ready", EncoderUnavailable),
        ("NOT_FOUND", "Request for unknown model", EncoderUnavailable),
        ("INTERNAL", "Stub process is not healthy.", EncoderUnavailable),
        ("CANCELLED", None, EncoderUnavailable),
        ("UNKNOWN", "", EncoderUnavailable),
        ("INVALID_ARGUMENT", "unexpected shape for input 'input_ids'", InternalError),
    ],
)
def test_each_refusal_has_its_own_error(status: str, message: str | None, expected: type[VitrineError]) -> None:
    with pytest.raises(VitrineError) as caught, _vendor_errors("clip_text"):
        raise AioRpcError(grpc.StatusCode[status], Metadata(), Metadata(), details=message)
    assert type(caught.value) is expected
    assert "clip_text" in caught.value.message
