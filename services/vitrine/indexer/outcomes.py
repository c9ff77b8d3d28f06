"""Where a product ends that is not written: counted, listed in the rejects file, noted in the ledger."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import Executor
from typing import TypeAlias

from vitrine.errors import LimitExceeded
from vitrine.indexer.control import RunControl
from vitrine.indexer.ledger import Ledger
from vitrine.indexer.rejections import Rejection, RejectsFile
from vitrine.indexer.report import Tally
from vitrine.indexer.states import Unchanged

Outcome: TypeAlias = Unchanged | Rejection


class Outcomes:
    """Accounts for products that need no writing.

    Args:
        rejects: None: rejections are only counted.
        ledger: None in a dry run.
        bookkeeping: the one thread that ledger and rejects file are used from.
        max_rejects: more rejections than this end the run as failed; None: any number is fine.
    """

    def __init__(
        self,
        tally: Tally,
        control: RunControl,
        bookkeeping: Executor,
        *,
        rejects: RejectsFile | None,
        ledger: Ledger | None,
        max_rejects: int | None = None,
    ) -> None:
        self._tally = tally
        self._control = control
        self._bookkeeping = bookkeeping
        self._rejects = rejects
        self._ledger = ledger
        self._max_rejects = max_rejects

    async def settle(self, outcomes: Sequence[Outcome]) -> None:
        """Records outcomes, then counts them."""
        if not outcomes:
            return
        await asyncio.get_running_loop().run_in_executor(self._bookkeeping, self._record, outcomes)
        for outcome in outcomes:
            if isinstance(outcome, Rejection):
                self._tally.rejected[outcome.code] += 1
            else:
                self._tally.unchanged += 1
        if self._max_rejects is not None and self._tally.rejections > self._max_rejects:
            self._control.fail(
                LimitExceeded(
                    f"More than {self._max_rejects} products were rejected; the rejects file says why.",
                    rejected=self._tally.rejections,
                    limit=self._max_rejects,
                )
            )

    def drop(self, count: int) -> None:
        """Counts products that an early end left unfinished."""
        self._tally.dropped += count

    def _record(self, outcomes: Sequence[Outcome]) -> None:
        rejections = [outcome for outcome in outcomes if isinstance(outcome, Rejection)]
        if self._rejects is not None:
            for rejection in rejections:
                self._rejects.add(rejection)
        if self._ledger is not None:
            self._ledger.mark_rejected(rejection for rejection in rejections if rejection.owns_id)
            unchanged = [outcome for outcome in outcomes if isinstance(outcome, Unchanged)]
            self._ledger.mark_seen(one.mark for one in unchanged if one.touched)
            # A line that cannot be read still says that the catalogue has the product, if its id is what it looks like.
            broken = [(one.id, None) for one in rejections if one.id and not one.owns_id]
            self._ledger.mark_present([*((o.mark.id, o.mark.line) for o in unchanged if not o.touched), *broken])
