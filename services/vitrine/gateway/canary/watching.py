"""The canary as a task of the gateway: beside the requests, with none of their permits, and silent but for changes."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import resources
from random import Random
from typing import Final

from prometheus_client import CollectorRegistry

from vitrine.domain import Deadline
from vitrine.embedding.encoder import open_encoder
from vitrine.errors import InvalidInput, SettingsInvalid, VitrineError
from vitrine.gateway.canary.recall import RecallCanary
from vitrine.search.searcher import Searcher
from vitrine.settings import CanarySettings, Settings
from vitrine.telemetry.canary_metrics import CanaryMetrics
from vitrine.telemetry.logging import FIELDS
from vitrine.tuning.queries import read_texts
from vitrine.vectorstore.connection import MilvusConnection
from vitrine.vectorstore.directory import CollectionDirectory
from vitrine.vectorstore.sampling import SampleReader
from vitrine.vectorstore.searcher import VectorSearcher

MOST_QUERIES: Final = 500

_log = logging.getLogger(__name__)


def known_queries(settings: CanarySettings) -> list[str]:
    """The texts that the canary asks.

    Raises:
        SettingsInvalid: the file of them cannot be used.
    """
    try:
        if settings.queries_file is not None:
            return read_texts(settings.queries_file, MOST_QUERIES)
        with resources.as_file(resources.files("vitrine.gateway.canary") / "queries.txt") as shipped:
            return read_texts(shipped, MOST_QUERIES)
    except InvalidInput as error:
        raise SettingsInvalid(f"VITRINE_CANARY__QUERIES_FILE: {error.message}") from error


@asynccontextmanager
async def watched_recall(
    settings: Settings, connection: MilvusConnection, registry: CollectorRegistry
) -> AsyncIterator[None]:
    """Runs the canary while the block lasts, when it is switched on; else does nothing at all.

    Args:
        settings: all of them.
        connection: to Milvus; stays the caller's.
        registry: where its metrics are.

    Raises:
        SettingsInvalid: see `known_queries`.
        ModelInvalid: the model repository's contract or tokenizer cannot be read.
    """
    if settings.canary.interval_s == 0:
        yield
        return
    texts = await asyncio.to_thread(known_queries, settings.canary)
    async with open_encoder(settings) as encoder:
        reader = SampleReader(connection)
        searcher = Searcher(encoder, CollectionDirectory(reader), VectorSearcher(connection), settings.search)
        random = Random()
        canary = RecallCanary(searcher, reader, settings.gateway.default_collection, texts, settings.canary, random)
        task = asyncio.create_task(Watch(canary, settings.canary, CanaryMetrics(registry), random).keep_running())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


class Watch:
    """Runs the canary again and again. Whatever happens to a run, the next one comes.

    Args:
        canary: what is run.
        settings: how often, and for how long at most.
        metrics: what its runs are told by.
        random: for the pause before the first.
    """

    def __init__(self, canary: RecallCanary, settings: CanarySettings, metrics: CanaryMetrics, random: Random) -> None:
        self._canary = canary
        self._settings = settings
        self._metrics = metrics
        self._random = random
        self._told: str | None = None

    async def keep_running(self) -> None:
        """Until it is cancelled."""
        # Gateways that start together shall not ask together.
        await asyncio.sleep(self._random.uniform(0, self._settings.interval_s))
        while True:
            await self._run_once()
            await asyncio.sleep(self._settings.interval_s)

    async def _run_once(self) -> None:
        began = time.monotonic()
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                figure = await self._canary.run(Deadline.after(self._settings.timeout_s))
        except VitrineError as error:
            self._failed(error.code, error.message, began)
        except TimeoutError:
            self._failed("deadline_exceeded", f"No end within {self._settings.timeout_s:g} s.", began)
        except Exception as error:  # noqa: BLE001 - the figure is the canary's only say; the next run may be well
            self._failed(type(error).__name__, str(error), began, error)
        else:
            seconds = time.monotonic() - began
            self._metrics.succeeded(figure.found, figure.neighbours, at=time.time(), seconds=seconds)
            if self._told is not None:
                _log.info("The recall canary runs again.")
            self._told = None

    def _failed(self, code: str, message: str, began: float, unforeseen: Exception | None = None) -> None:
        """One line when runs begin to fail, or fail otherwise; they come every minute."""
        self._metrics.failed(time.monotonic() - began)
        if code != self._told:
            fields = {"code": code, "error": message}
            _log.warning("The recall canary fails.", extra={FIELDS: fields}, exc_info=unforeseen)
        self._told = code
