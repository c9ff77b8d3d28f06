"""Kills the indexer, Triton and Milvus at random moments of a run, until a run ends well all the same."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.fixtures.stack import RunningStack
from tests.harness.index_run import KILLED, EndedRun, IndexRun

INDEXER = "indexer"
VICTIMS = (INDEXER, "triton", "milvus")

_POLL_S = 0.02
_LONGEST_WAIT_S = 60.0  # for a run to get as far as the next kill's moment
_SPREAD_S = 1.5  # by so much a kill comes later than its moment: anywhere within an upsert or a batch
_WIDE_SPREAD_S = 6.0  # the same, when the moment had passed before the run began, or comes after all is written
_BEYOND = 1.1  # one kill in eleven comes while a run flushes, waits for the index and points the alias
_LONGEST_ABSENCE_S = 3.0
_FAILURES_MORE_THAN_KILLS = 3


class OutOfTime(Exception):
    """The harness' own limit has passed."""


class NotConverging(Exception):
    """A run failed for another reason than a kill, or runs keep failing."""


@dataclass(frozen=True)
class Kill:
    """One kill -9.

    Args:
        victim: one of VICTIMS.
        seconds: after the beginning of the chaos.
        recorded: products in the ledger at that moment.
        absent_s: how long an engine stayed away; 0 for the indexer.
    """

    victim: str
    seconds: float
    recorded: int
    absent_s: float


class Chaos:
    """Runs of one catalogue, and what happens to them.

    Args:
        stack: both engines, running.
        start: starts the next run; True: everything shall be written again.
        expected: products that the catalogue has.
        deadline: of time.monotonic().
        rng: seeded; kills are repeatable as far as the machine's timing is.
        say: told what happens.
    """

    def __init__(
        self,
        stack: RunningStack,
        start: Callable[[bool], IndexRun],
        *,
        expected: int,
        deadline: float,
        rng: random.Random,
        say: Callable[[str], None],
    ) -> None:
        self.kills: list[Kill] = []
        self.runs: list[EndedRun] = []
        self._stack = stack
        self._start = start
        self._expected = expected
        self._deadline = deadline
        self._rng = rng
        self._say = say
        self._began = time.monotonic()
        self._current: IndexRun | None = None
        self._engine_was_killed = False

    def go(self, kills: int) -> EndedRun:
        """Lets so many kills happen, then lets a run end well, and returns that one.

        Raises:
            OutOfTime, NotConverging: see there; nothing of the indexer is left running.
        """
        try:
            moments = sorted(self._rng.uniform(0, _BEYOND * self._expected) for _ in range(kills))
            for moment, victim in zip(moments, self._victims(kills), strict=True):
                self._kill(victim, moment)
            while True:
                last = self._end(self._running())
                if last.status == 0:
                    return last
        finally:
            if self._current is not None:
                self._current.kill()

    @staticmethod
    def undisturbed(run: IndexRun, deadline: float) -> EndedRun:
        """Lets a run go to its end.

        Raises:
            OutOfTime, NotConverging: it does not end, or not well; it is not left running.
        """
        while not run.is_over():
            if time.monotonic() > deadline:
                run.kill()
                raise OutOfTime("a run that nobody disturbs")
            time.sleep(_POLL_S)
        ended = run.ended(_LONGEST_WAIT_S)
        if ended.status:
            raise NotConverging(f"status {ended.status} without a kill: {ended.complaint}")
        return ended

    def _victims(self, kills: int) -> list[str]:
        """Each at least once where there are three kills or more, in random order."""
        victims = [*VICTIMS, *(self._rng.choice(VICTIMS) for _ in range(kills - len(VICTIMS)))][:kills]
        self._rng.shuffle(victims)
        return victims

    def _kill(self, victim: str, moment: float) -> None:
        while True:
            run = self._running()
            self._wait_for(run, moment)
            if not run.is_over():
                break
            self._end(run)
        seconds, recorded = time.monotonic() - self._began, run.recorded()
        absent_s = 0.0
        if victim == INDEXER:
            self._current = None
            self.runs.append(run.kill())
        else:
            absent_s = self._interrupt(victim)
        self.kills.append(Kill(victim, round(seconds, 2), recorded, round(absent_s, 2)))
        self._say(f"kill {len(self.kills)}: {victim} at {recorded} of {self._expected} products")

    def _interrupt(self, name: str) -> float:
        """Kills an engine, brings it back a little later, and returns how long it was away."""
        engine = self._stack[name]
        self._engine_was_killed = True
        began = time.monotonic()
        engine.kill()
        time.sleep(self._rng.uniform(0, _LONGEST_ABSENCE_S))
        engine.start()
        engine.wait_ready()
        return time.monotonic() - began

    def _wait_for(self, run: IndexRun, moment: float) -> None:
        """Until so many products are recorded, or the run is over; and a random while longer."""
        moment = min(moment, self._expected)
        at_once = run.recorded() >= moment
        spread = _WIDE_SPREAD_S if at_once or moment == self._expected else _SPREAD_S
        until = min(self._deadline, time.monotonic() + _LONGEST_WAIT_S)
        while not run.is_over() and run.recorded() < moment and time.monotonic() < until:
            time.sleep(_POLL_S)
        until = time.monotonic() + self._rng.uniform(0, spread)
        while not run.is_over() and time.monotonic() < until:
            time.sleep(_POLL_S)
        self._check_time()

    def _running(self) -> IndexRun:
        """The run that goes on, or the next one; after one that ended well everything is written again."""
        if self._current is None:
            self._current = self._start(bool(self.runs) and self.runs[-1].status == 0)
        return self._current

    def _end(self, run: IndexRun) -> EndedRun:
        """Waits for a run's end."""
        while not run.is_over():
            self._check_time()
            time.sleep(_POLL_S)
        self._current = None
        ended = run.ended(_LONGEST_WAIT_S)
        self.runs.append(ended)
        if ended.status:
            self._say(f"run {len(self.runs)} ended with status {ended.status}: {ended.complaint}")
            self._check_failure(ended)
        return ended

    def _check_failure(self, ended: EndedRun) -> None:
        failures = sum(run.status not in (0, KILLED) for run in self.runs)
        if not self._engine_was_killed or failures > len(self.kills) + _FAILURES_MORE_THAN_KILLS:
            raise NotConverging(
                f"status {ended.status}, {failures} failures, {len(self.kills)} kills: {ended.complaint}"
            )

    def _check_time(self) -> None:
        if time.monotonic() > self._deadline:
            raise OutOfTime(f"{len(self.kills)} kills, {len(self.runs)} runs")
