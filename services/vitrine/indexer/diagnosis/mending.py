"""Where a collection and its ledgers differ, in words, and the command that mends each difference."""

import shlex
from collections.abc import Iterator, Sequence

from vitrine.indexer.diagnosis.status import CollectionStatus, Difference, LedgerStatus
from vitrine.indexer.ledger import RunNote
from vitrine.indexer.ledger_files import LedgerFolder


def differences(status: CollectionStatus, folder: LedgerFolder) -> Iterator[Difference]:
    """What an operator has to know, most pressing first."""
    note = next((one.runs[0].note for one in status.ledgers if one.runs), None)
    usable = [one for one in status.ledgers if one.holdings is not None]
    if not status.ledgers:
        yield Difference("no_ledger", f"There is no ledger in {folder.path}: the next run writes everything again.")
    for ledger in status.ledgers:
        if ledger.problem:
            yield Difference("ledger_unusable", f"{ledger.path}: {ledger.problem}")
    if status.rows is None:
        yield Difference("not_loaded", "The collection is not in memory: nobody can search it.", rerun(status, note))
    if not status.live and status.alias:
        yield Difference(
            "not_live",
            f"{status.alias} does not point at {status.info.name}.",
            _publishing(status, note),
        )
    yield from _row_differences(status, usable, note)
    yield from _run_differences(status, usable, note)
    pending = (status.rows or 0) - status.indexed
    if pending > 0:
        yield Difference(
            "index_pending", f"About {pending} rows are not in the index yet; searches compare them one by one."
        )


def _row_differences(
    status: CollectionStatus, ledgers: Sequence[LedgerStatus], note: RunNote | None
) -> Iterator[Difference]:
    compared = status.comparison
    if ledgers and status.rows is not None:
        if status.rows < status.expected:
            lost = f"Milvus holds {status.rows} rows, the ledgers account for {status.expected}."
            yield Difference("rows_missing", lost, rerun(status, note, _rewriting(status)))
        if status.rows > status.expected:
            more = f"Milvus holds {status.rows - status.expected} rows that no ledger here accounts for."
            yield Difference("rows_unknown", more, rerun(status, note, "--prune-unknown"))
    if compared is not None and compared.doubled:
        doubled = f"{compared.doubled} rows are second rows of their id."
        yield Difference("rows_doubled", doubled, rerun(status, note, "--reindex"))
    if compared is not None and status.rows == status.expected and (compared.missing or compared.unknown):
        other = f"{compared.missing} products are missing, {compared.unknown} rows are unknown to the ledgers."
        yield Difference("rows_differ", other, rerun(status, note, "--reindex --prune-unknown"))


def _rewriting(status: CollectionStatus) -> str:
    """Options that write what is missing again: by id where all ids are known."""
    compared = status.comparison
    missing = () if compared is None else compared.examples.get("missing", ())
    if compared is None or not missing or len(missing) < compared.missing:
        return "--reindex"
    return " ".join(f"--rewrite {shlex.quote(product_id)}" for product_id in missing)


def _run_differences(
    status: CollectionStatus, ledgers: Sequence[LedgerStatus], note: RunNote | None
) -> Iterator[Difference]:
    holdings = [one.holdings for one in ledgers if one.holdings is not None]
    for ledger in ledgers:
        last = ledger.runs[0] if ledger.runs else None
        if last is not None and not ledger.held and last.how != "done":
            ended = f"ended with {last.how}" if last.how else "was killed"
            yield Difference("run_unfinished", f"Run {last.number} of {ledger.path} {ended}.", rerun(status, last.note))
    if leaving := sum(one.leaving for one in holdings):
        yield Difference("deletions_unfinished", f"{leaving} deletions are decided and not done.", rerun(status, note))
    if gone := sum(one.gone for one in holdings):
        yield Difference(
            "gone", f"{gone} products left the catalogue and can be found.", rerun(status, note, "--prune")
        )
    if stale := sum(status.added_up("stale").values()):
        rejected = f"{stale} products are rejected now and can be found in their older state."
        yield Difference("stale", rejected, rerun(status, note, "--prune-rejected"))


def _publishing(status: CollectionStatus, note: RunNote | None) -> str:
    if note is not None and note.shard:
        return f"vitrine index finish --collection {status.alias} --shards {note.shard.split('/')[1]}"
    if status.info.lineage.finished_at is not None:
        return f"vitrine promote {status.alias} --to {status.info.name}"
    return rerun(status, note)


def rerun(status: CollectionStatus, note: RunNote | None, flags: str = "") -> str:
    """The command of the last run, with more options."""
    if note is None:
        return f"vitrine index --collection {status.alias} --catalogue FOLDER {flags}".rstrip()
    return rerun_command(status.alias, note, flags)


def rerun_command(alias: str, note: RunNote, flags: str = "") -> str:
    """The command that a run was started with, as far as the ledger has it, with more options."""
    source = "--catalogue" if note.mapping else "--from-embeddings"
    words = ["vitrine", "index", "--collection", alias, source, note.source]
    if note.mapping not in ("", "hm"):
        words += ["--mapping", note.mapping]
    if note.shard:
        words += ["--shard", note.shard]
    return " ".join([*map(shlex.quote, words), *([flags] if flags else [])])
