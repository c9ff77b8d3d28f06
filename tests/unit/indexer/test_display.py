import asyncio
import io
import logging
from collections import Counter
from collections.abc import Iterator

import pytest
from rich.console import Console

from vitrine.indexer import display
from vitrine.indexer.display import BarDisplay, LineDisplay, followed, log_to, open_display
from vitrine.indexer.report import Tally


def terminal() -> tuple[io.StringIO, Console]:
    stream = io.StringIO()
    return stream, Console(file=stream, force_terminal=True, width=120)


async def test_a_terminal_gets_a_bar_with_rate_and_rejections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(display, "REFRESH_S", 0.01)
    stream, console = terminal()
    tally = Tally()
    with open_display(console) as shown:
        assert isinstance(shown, BarDisplay)
        async with followed(shown, tally, 10):
            tally.embedded, tally.unchanged, tally.rejected = 3, 2, Counter(image_missing=2)
            await asyncio.sleep(0.05)
    text = stream.getvalue()
    assert "7/10" in text
    assert "/s" in text
    assert "2 rejected" in text


async def test_a_log_gets_lines_now_and_then(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(display, "LINE_EVERY_S", 0.01)
    tally = Tally()
    with (
        caplog.at_level(logging.INFO, "vitrine.indexer"),
        open_display(Console(file=io.StringIO())) as shown,
    ):
        assert isinstance(shown, LineDisplay)
        async with followed(shown, tally, 10):
            await asyncio.sleep(0.03)
            tally.embedded, tally.written = 4, 3
            await asyncio.sleep(0.05)
    assert "nothing done yet" in caplog.messages[0]
    assert caplog.messages[-1].startswith("4 of about 10 products")
    assert "s left; 3 written" in caplog.messages[-1]


def test_a_wait_is_told_once_and_then_now_and_then(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "vitrine.indexer"), LineDisplay() as shown:
        for share in (0.0, 0.1, 0.2, 1.0):
            shown.waiting("loading products_v1", share)
        shown.waiting("Flushing", 0.5)
    assert caplog.messages == ["loading products_v1", "Flushing: 50%"]


@pytest.fixture
def package_log() -> Iterator[logging.Logger]:
    """The package's logger, as it was afterwards."""
    package = logging.getLogger("vitrine.indexer")
    before = (package.handlers, package.level, package.propagate)
    yield package
    package.handlers, package.level, package.propagate = before[0], before[1], before[2]


def test_log_lines_are_not_broken_where_nobody_looks(package_log: logging.Logger) -> None:
    stream = io.StringIO()
    log_to(Console(file=stream), "INFO")
    package_log.getChild("sink").info("word " * 60)
    assert len(stream.getvalue().splitlines()) == 1
    assert " INFO word" in stream.getvalue()


def test_log_lines_on_a_terminal_stand_above_the_bar(package_log: logging.Logger) -> None:
    stream, console = terminal()
    log_to(console, "WARNING")
    package_log.info("quiet")
    package_log.warning("loud")
    assert "loud" in stream.getvalue()
    assert "quiet" not in stream.getvalue()


def test_a_bar_shows_other_waits_only_while_they_last() -> None:
    stream, console = terminal()
    with BarDisplay(console) as shown:
        shown.waiting("loading products_v1", 0.5)
        shown._progress.refresh()
        assert "loading products_v1" in stream.getvalue()
        shown.waiting("loading products_v1", 1.0)
        stream.truncate(0)
        shown._progress.refresh()
        assert "loading products_v1" not in stream.getvalue()
