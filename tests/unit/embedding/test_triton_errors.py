"""Which of our errors each of Triton's refusals becomes; tests/integration provokes the refusals for real."""

import pytest
from tritonclient.utils import InferenceServerException

from vitrine.embedding.triton import _vendor_errors
from vitrine.errors import DeadlineExceeded, EncoderUnavailable, InternalError, Overloaded, VitrineError


@pytest.mark.parametrize(
    ("status", "message", "expected"),
    [
        ("StatusCode.DEADLINE_EXCEEDED", "Deadline Exceeded", DeadlineExceeded),
        ("StatusCode.UNAVAILABLE", "Request timeout expired", DeadlineExceeded),
        ("StatusCode.UNAVAILABLE", "[request id: <id_unknown>] Exceeds maximum queue size", Overloaded),
        ("StatusCode.RESOURCE_EXHAUSTED", "Sent message larger than max", Overloaded),
        ("StatusCode.UNAVAILABLE", "failed to connect to all addresses", EncoderUnavailable),
        ("StatusCode.UNAVAILABLE", "Request for unknown model: 'clip_text' is not ready", EncoderUnavailable),
        ("StatusCode.NOT_FOUND", "Request for unknown model", EncoderUnavailable),
        ("StatusCode.INTERNAL", "Stub process is not healthy.", EncoderUnavailable),
        ("StatusCode.CANCELLED", "", EncoderUnavailable),
        ("StatusCode.UNKNOWN", "", EncoderUnavailable),
        ("StatusCode.INVALID_ARGUMENT", "unexpected shape for input 'input_ids'", InternalError),
    ],
)
def test_each_refusal_has_its_own_error(status: str, message: str, expected: type[VitrineError]) -> None:
    with pytest.raises(VitrineError) as caught, _vendor_errors("clip_text"):
        raise InferenceServerException(message, status=status)
    assert type(caught.value) is expected
    assert "clip_text" in caught.value.message
