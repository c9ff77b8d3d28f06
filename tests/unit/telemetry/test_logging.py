import io
import logging
import warnings
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.fixtures.logs import lines_of, logged
from vitrine.settings import TelemetrySettings
from vitrine.telemetry.logging import FIELDS, REQUEST_ID
from vitrine.telemetry.tracing import tracing_to


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    with logged("INFO") as stream:
        yield stream


def _line(log: io.StringIO) -> dict[str, object]:
    (line,) = lines_of(log)
    return line


def test_a_line_is_one_json_object(log: io.StringIO) -> None:
    logging.getLogger("vitrine.x").info("two\nlines of %s", "text", extra={FIELDS: {"rows": 3}})
    line = _line(log)
    assert line["message"] == "two\nlines of text"
    assert (line["level"], line["logger"], line["rows"]) == ("info", "vitrine.x", 3)
    assert str(line["time"]).endswith("+00:00")


def test_ids_of_the_request_stand_in_every_line_written_meanwhile(log: io.StringIO) -> None:
    tracing = tracing_to(InMemorySpanExporter(), TelemetrySettings(sample_ratio=0), "vitrine-test", "0")
    request = REQUEST_ID.set("r-1")
    try:
        with tracing.server_span("GET /x", {}) as trace:
            logging.getLogger("deep.inside").warning("x")
    finally:
        REQUEST_ID.reset(request)
        tracing.close()
    assert (_line(log)["request_id"], _line(log)["trace_id"]) == ("r-1", trace.trace_id)


def test_a_stack_is_a_field(log: io.StringIO) -> None:
    try:
        int("inner")
    except ValueError:
        logging.getLogger("x").exception("outer")
    assert "ValueError: invalid literal" in str(_line(log)["exception"])


@pytest.mark.parametrize("value", ["\ud800", object(), {1: "\udfff"}, 1 << 80])
def test_no_value_loses_its_line(log: io.StringIO, value: object) -> None:
    logging.getLogger("x").info("odd", extra={FIELDS: {"value": value}})
    assert "odd" in str(_line(log)["message"])


def test_the_level_is_the_settings(log: io.StringIO) -> None:
    logging.getLogger("x").debug("quiet")
    logging.getLogger("httpx").info("chatty")
    assert log.getvalue() == ""


def test_warnings_become_lines(log: io.StringIO) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old habit", UserWarning, stacklevel=1)
    assert "old habit" in str(_line(log)["message"])
