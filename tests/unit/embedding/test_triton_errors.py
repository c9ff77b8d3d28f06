"""Which of our errors each of Triton's refusals becomes; tests/integration provokes the refusals for real."""

import orjson
import pytest

from vitrine.embedding.transport.connection import Answer
from vitrine.embedding.transport.servers import Unreachable
from vitrine.embedding.triton import _refusal, _transport_errors
from vitrine.errors import DeadlineExceeded, EncoderUnavailable, InternalError, Overloaded, VitrineError


@pytest.mark.parametrize(
    ("status", "message", "expected"),
    [
        (503, "Request timeout expired", DeadlineExceeded),
        (503, "[request id: <id_unknown>] Exceeds maximum queue size", Overloaded),
        (429, "slow down", Overloaded),
        (
            503,
            "Server is stopping, scheduler for model has stopped accepting new inference requests",
            EncoderUnavailable,
        ),
        (400, "Request for unknown model: 'clip_text' is not ready", EncoderUnavailable),
        (400, "Model version not ready", EncoderUnavailable),
        (404, "Request for unknown model: 'clip_text' is not found", EncoderUnavailable),
        (500, "Stub process is not healthy.", EncoderUnavailable),
        (400, "unexpected shape for input 'input_ids'", InternalError),
        (413, "too large", InternalError),
    ],
)
def test_each_refusal_has_its_own_error(status: int, message: str, expected: type[VitrineError]) -> None:
    error = _refusal("clip_text", Answer(status, {}, orjson.dumps({"error": message})))
    assert type(error) is expected
    assert "clip_text" in error.message


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}"])
def test_a_refusal_without_words_is_told_by_its_status(body: bytes) -> None:
    error = _refusal("clip_text", Answer(502, {}, body))
    assert type(error) is EncoderUnavailable
    assert "502" in error.message


@pytest.mark.parametrize(
    ("failure", "expected"), [(TimeoutError(), DeadlineExceeded), (Unreachable("refused"), EncoderUnavailable)]
)
def test_what_happens_on_the_way_has_its_own_error(failure: Exception, expected: type[VitrineError]) -> None:
    with pytest.raises(VitrineError) as caught, _transport_errors("clip_text"):
        raise failure
    assert type(caught.value) is expected
    assert "clip_text" in caught.value.message
