"""Composition root of `vitrine tune`: opens Milvus and, for texts, the model; chooses, and writes the choice."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from vitrine.domain import Deadline
from vitrine.errors import (
    CollectionNotReady,
    DeadlineExceeded,
    InvalidInput,
    LimitExceeded,
    VitrineError,
)
from vitrine.settings import Settings
from vitrine.tuning.frontier import Point
from vitrine.tuning.queries import QueryKind
from vitrine.tuning.questions import QuerySource, answered, find_queries
from vitrine.tuning.trial_builds import LONGEST, drop_leftovers, trial_build, wait_searched_by_index
from vitrine.tuning.tuner import Checked, Questions, Target, Tuner
from vitrine.vectorstore.admin import CollectionAdmin
from vitrine.vectorstore.collection import CollectionInfo
from vitrine.vectorstore.connection import MilvusConnection
from vitrine.vectorstore.index_params import IndexParams
from vitrine.vectorstore.searcher import VectorSearcher

MAX_BUILDS: Final = 16

OnProgress = Callable[[str, float], None]


class TargetNotReached(VitrineError):
    """No setting of the collection meets the target, or none that does holds on the held-out queries."""

    code = "target_not_reached"


@dataclass(frozen=True, slots=True)
class TuneRequest:
    """What `vitrine tune` shall do.

    Args:
        collection: a name or an alias.
        target: to be met.
        queries: in all; half of them are held out.
        kind: of the queries; None: texts where the model answers, else pictures of the collection.
        texts: file of them, one a line; None: titles of products.
        builds: other indexes to try on copies of the collection.
        max_builds: the most of them.
        max_minutes: the longest that all of it may take.
        dry_run: write nothing.
    """

    collection: str
    target: Target
    queries: int = 400
    kind: QueryKind | None = None
    texts: Path | None = None
    builds: tuple[IndexParams, ...] = ()
    max_builds: int = 4
    max_minutes: float = 20.0
    dry_run: bool = False

    def check(self) -> None:
        """Raises InvalidInput, LimitExceeded: parts that exclude each other, or a figure out of bounds."""
        if self.texts is not None and self.kind is QueryKind.IMAGE:
            raise InvalidInput("A file of texts and queries by picture exclude each other.")
        longest = LONGEST.total_seconds() / 60
        if not 0 < self.max_minutes <= longest:
            raise LimitExceeded(f"max-minutes must be more than 0 and at most {longest:g}.", maximum=longest)
        most = min(self.max_builds, MAX_BUILDS)
        if len(self.builds) > most:
            raise LimitExceeded(
                f"{len(self.builds)} trial builds are more than {most}; see --max-builds.", maximum=most
            )


@dataclass(frozen=True, slots=True)
class Tuned:
    """What was found.

    Args:
        collection: as it was before.
        asked: what the queries were, for people.
        queries: how many chose, and how many checked.
        points: every setting that was timed.
        checked: those checked with the held-out queries; the last holds unless none does.
        build: a trial build that meets the target, and does so quicker than the collection; None: there is none.
        notes: what could not be done.
        written: whether the choice is the collection's default by now.
    """

    request: TuneRequest
    collection: CollectionInfo
    asked: str
    queries: tuple[int, int]
    points: tuple[Point, ...]
    checked: tuple[Checked, ...]
    build: Checked | None
    notes: tuple[str, ...]
    written: bool

    @property
    def chosen(self) -> Checked | None:
        """What is, or would be, written."""
        return self.checked[-1] if self.checked and self.checked[-1].holds else None


async def run_tune(request: TuneRequest, settings: Settings, on_progress: OnProgress) -> Tuned:
    """Looks for settings that meet the target and makes them the collection's defaults.

    Where nothing meets it, that comes back in the answer, and nothing is written.

    Raises:
        CollectionNotFound, CollectionNotReady: there is no such collection, or it cannot be searched.
        ContractMismatch: texts were asked for, and another model than the collection's would embed them.
        InvalidInput, LimitExceeded: see `TuneRequest.check`; or too few queries.
        VectorStoreUnavailable, EncoderUnavailable, DeadlineExceeded
    """
    request.check()
    deadline = Deadline.after(request.max_minutes * 60)
    async with await MilvusConnection.open(settings.milvus) as connection:
        info = await CollectionAdmin(connection).describe(request.collection)
        if not (info.complete and info.loaded):
            raise CollectionNotReady(
                f"Collection {info.name} is {'not loaded' if info.complete else 'half-made'}: it cannot be searched.",
                collection=info.name,
            )
        try:
            tuned = await _tune(request, settings, connection, info, deadline, on_progress)
        except DeadlineExceeded as error:
            if time.monotonic() < deadline.at:
                raise
            raise DeadlineExceeded(
                f"{info.name} could not be tuned in {request.max_minutes:g} minutes; nothing was changed.",
                collection=info.name,
            ) from error
        return await settle(connection, tuned)


async def tune_by(
    request: TuneRequest,
    connection: MilvusConnection,
    info: CollectionInfo,
    questions: Questions,
    asked: str,
    deadline: Deadline,
    on_progress: OnProgress,
) -> Tuned:
    """Looks for settings that answer given questions well enough; writes nothing.

    Args:
        info: the collection, whose searches use its index.
        asked: what the questions are, for people.

    Raises:
        VectorStoreUnavailable, CollectionNotReady, DeadlineExceeded
    """
    tuner = Tuner(VectorSearcher(connection), questions, request.target, deadline, on_progress)
    points = await tuner.explore(info, own=True)
    checked = await tuner.check(points)
    others, build, notes = await _try_builds(request, connection, info, tuner, deadline, on_progress)
    return Tuned(
        request=request,
        collection=info,
        asked=asked,
        queries=(len(questions.tuning), len(questions.held_out)),
        points=(*points, *others),
        checked=tuple(checked),
        build=build if build is not None and _quicker(build, checked) else None,
        notes=tuple(notes),
        written=False,
    )


async def settle(connection: MilvusConnection, tuned: Tuned) -> Tuned:
    """Makes the choice the default of the collection's searches, unless there is none or the run is a dry one."""
    if tuned.chosen is None or tuned.request.dry_run:
        return tuned
    settings = tuned.chosen.point.index.search_settings()
    await CollectionAdmin(connection).set_search_defaults(tuned.collection.name, settings)
    return replace(tuned, written=True)


async def _tune(
    request: TuneRequest,
    settings: Settings,
    connection: MilvusConnection,
    info: CollectionInfo,
    deadline: Deadline,
    on_progress: OnProgress,
) -> Tuned:
    admin, searcher = CollectionAdmin(connection), VectorSearcher(connection)
    await wait_searched_by_index(admin, info, deadline, on_progress)
    source = QuerySource(request.queries, request.kind, request.texts)
    asked, queries = await find_queries(source, settings, admin, searcher, info, deadline)
    questions = await answered(queries, request.target.k, admin, info, deadline, on_progress)
    return await tune_by(request, connection, info, questions, asked, deadline, on_progress)


async def _try_builds(
    request: TuneRequest,
    connection: MilvusConnection,
    info: CollectionInfo,
    tuner: Tuner,
    deadline: Deadline,
    on_progress: OnProgress,
) -> tuple[list[Point], Checked | None, list[str]]:
    """Points of each trial build, the quickest that holds, and why others were not tried."""
    points: list[Point] = []
    holding: list[Checked] = []
    notes: list[str] = []
    if request.builds:
        await drop_leftovers(CollectionAdmin(connection))
    for index in request.builds:
        try:
            async with trial_build(connection, info, index, deadline, on_progress) as copy:
                found = await tuner.explore(copy, own=False)
                points += found
                holding += [checked for checked in await tuner.check(found) if checked.holds]
        except (InvalidInput, DeadlineExceeded) as error:
            notes.append(f"{index.index_type} was not tried to its end: {error.message}")
    return points, min(holding, key=lambda one: one.point.p50_ms, default=None), notes


def _quicker(build: Checked, checked: list[Checked]) -> bool:
    return not (checked and checked[-1].holds) or build.point.p50_ms < checked[-1].point.p50_ms
