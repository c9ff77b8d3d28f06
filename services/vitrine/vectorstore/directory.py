"""Which collection stands behind a name right now, asked at most once a second."""

import asyncio
import time
from dataclasses import dataclass

from vitrine.domain import Deadline
from vitrine.errors import CollectionNotReady, DeadlineExceeded
from vitrine.telemetry.spans import span
from vitrine.vectorstore.collection import CollectionInfo
from vitrine.vectorstore.reader import CollectionReader


@dataclass(frozen=True, slots=True)
class _Known:
    info: CollectionInfo
    until: float  # monotonic seconds


class CollectionDirectory:
    """Resolves aliases for searches, so that each search names one collection and sees that one alone.

    An answer is used for `ttl_s` and not a moment longer: when Milvus does not answer then, neither do we. Errors are
    not remembered. Any number of callers that ask for one name at the same time share one question.

    Args:
        admin: asks Milvus; a `CollectionAdmin` is one.
        ttl_s: how long an alias that has moved is still followed to where it pointed before.
    """

    def __init__(self, admin: CollectionReader, ttl_s: float = 1.0) -> None:
        self._admin = admin
        self._ttl_s = ttl_s
        self._known: dict[str, _Known] = {}
        self._asking: dict[str, asyncio.Task[CollectionInfo]] = {}

    async def resolve(self, name_or_alias: str, deadline: Deadline) -> CollectionInfo:
        """The collection behind a name or alias; its `rows` are Milvus's estimate.

        Raises:
            CollectionNotFound: no such name, or a collection that Vitrine did not make.
            CollectionNotReady: it is half-made.
            VectorStoreUnavailable: Milvus does not answer.
            DeadlineExceeded: not within this caller's time.
        """
        known = self._known.get(name_or_alias)
        if known is not None and time.monotonic() < known.until:
            return known.info
        asking = self._asking.get(name_or_alias)
        if asking is None:
            asking = asyncio.create_task(self._ask(name_or_alias))
            self._asking[name_or_alias] = asking
            asking.add_done_callback(lambda done: self._asked(name_or_alias, done))
        # The question goes on when this caller gives up: others may wait for it, and its own limit ends it.
        with span("describe collection"):
            done, _ = await asyncio.wait({asking}, timeout=deadline.remaining())
        if not done:
            raise DeadlineExceeded(f"Milvus did not say in time what {name_or_alias!r} is.", collection=name_or_alias)
        return asking.result()

    def invalidate(self, name_or_alias: str | None = None) -> None:
        """Forgets one name, or all: after a change made by this process, or when a search found its collection gone."""
        names = list({*self._known, *self._asking}) if name_or_alias is None else [name_or_alias]
        for name in names:
            self._known.pop(name, None)
            self._asking.pop(name, None)  # its answer may be from before the change

    async def _ask(self, name_or_alias: str) -> CollectionInfo:
        began = time.monotonic()
        info = await self._admin.describe(name_or_alias, counted=False)
        if not info.complete:
            raise CollectionNotReady(f"Collection {info.name!r} is half-made.", collection=info.name)
        if self._asking.get(name_or_alias) is asyncio.current_task():
            # Counted from the question, for the answer may have been true only then.
            self._known[name_or_alias] = _Known(info, began + self._ttl_s)
        return info

    def _asked(self, name_or_alias: str, task: asyncio.Task[CollectionInfo]) -> None:
        if self._asking.get(name_or_alias) is task:
            del self._asking[name_or_alias]
            if task.cancelled() or task.exception() is not None:
                self._known.pop(name_or_alias, None)
        elif not task.cancelled():
            task.exception()  # an answer nobody waits for any more is no "exception was never retrieved"
