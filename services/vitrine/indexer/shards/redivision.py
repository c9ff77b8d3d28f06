"""A catalogue that is divided into shards otherwise than before, or no longer: each ledger goes on from the others.

A ledger is right about its products until another ledger of the same collection is written. So a run looks for such
ledgers first, and takes over what they say.
"""

import logging
from pathlib import Path

from vitrine.indexer.ledger import Ledger
from vitrine.indexer.ledger_files import LedgerFolder
from vitrine.indexer.ledger_schema import LedgerInvalid
from vitrine.indexer.ledger_view import LedgerView
from vitrine.indexer.shards.sharding import Shard

_log = logging.getLogger(__name__)


def go_on_from_others(ledger: Ledger, collection: str, shard: Shard, *, build_id: str, fingerprint: str) -> int:
    """Takes over what later runs under another division recorded of this shard's products.

    Args:
        ledger: of this run, which has not begun.
        collection: its own name.
        shard: of this run.
        build_id: of the collection; ledgers of another one are left alone.
        fingerprint: of the model, likewise.

    Returns:
        Products taken over.
    """
    with LedgerView(ledger.path) as view:
        mine = _last_run(view)
    later: list[tuple[float, Path, Shard]] = []
    for path, theirs in LedgerFolder(ledger.path.parent).all_ledgers(collection):
        if theirs.count == shard.count:
            continue
        try:
            with LedgerView(path) as view:
                if (view.build_id, view.fingerprint) == (build_id, fingerprint) and _last_run(view) > mine:
                    later.append((_last_run(view), path, theirs))
        except LedgerInvalid as error:
            _log.warning("%s", error.message)
    # The latest one last: where two of them answer for a product, it knows better.
    later.sort(key=lambda one: one[0])
    taken = sum(ledger.take_over(path, theirs.owns, shard.owns) for _, path, theirs in later)
    if taken:
        _log.info("Went on from %d other ledgers of %s: %d products.", len(later), collection, taken)
    return taken


def _last_run(view: LedgerView) -> float:
    runs = view.runs(1)
    return runs[0].began if runs else 0.0
