"""Why a product is missing, stale or doubled: what is known of it, and the one sentence that follows."""

import shlex
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum

from vitrine.indexer.diagnosis.mending import rerun_command
from vitrine.indexer.ledger import RunNote
from vitrine.indexer.ledger_view import Entry


class PictureState(StrEnum):
    """A product's picture now, against what was indexed."""

    SAME = "same"
    CHANGED = "changed"  # it, or its row
    NEW = "new"  # usable, and nothing was indexed
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class CatalogueLine:
    """A record of the catalogue that has the id. `code` and `message` say why it is rejected; empty: it is not."""

    line: int
    image: str = ""
    code: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class InCatalogue:
    """What the catalogue has of the product now.

    Args:
        path: the catalogue's file.
        lines: the first records with the id, the one that speaks for it before the others.
        picture: None when no line of it can be used.
    """

    path: str
    lines: Sequence[CatalogueLine]
    picture: PictureState | None = None


@dataclass(frozen=True, slots=True)
class InLedger:
    """What one ledger has of the product.

    Args:
        gone: the last run that read its source to the end did not see it.
        note: of the last run, to name a command by.
    """

    path: str
    entry: Entry
    gone: bool
    note: RunNote


@dataclass(frozen=True, slots=True)
class InMilvus:
    """Rows of the id, counted with strong consistency, and what a search would show of one of them."""

    rows: int
    title: str = ""
    image_path: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """All that is known. `milvus` is None while the collection is not loaded, `catalogue` when none was named."""

    id: str
    alias: str
    collection: str
    ledgers: Sequence[InLedger]
    milvus: InMilvus | None
    catalogue: InCatalogue | None

    @property
    def ledger(self) -> InLedger | None:
        """The one that looked at the product last."""
        return max(self.ledgers, key=lambda one: one.entry.looked_at, default=None)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why, in a word for programs and a sentence for people, and the command that mends it; empty where none is due."""

    code: str
    sentence: str
    command: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """Of `vitrine index why`."""

    facts: Facts
    verdict: Verdict

    def as_json(self) -> dict[str, object]:
        """For `--json`: plain types only."""
        content = asdict(self.facts) | {"verdict": asdict(self.verdict)}
        for one in content["ledgers"]:
            digest = one["entry"].pop("content_hash")
            one["entry"]["content_hash"] = None if digest is None else digest.hex()
        return content


def judge(facts: Facts) -> Verdict:
    """The first thing that explains the product's state."""
    if facts.milvus is None:
        return Verdict("not_loaded", f"{facts.collection} is not in memory, so nobody finds {facts.id}.")
    if facts.milvus.rows > 1:
        sentence = f"{facts.id} is doubled: {facts.milvus.rows} rows have its id. Writing it again leaves one."
        return Verdict("doubled", sentence, _again(facts, f"--rewrite {shlex.quote(facts.id)}"))
    return _missing(facts) if facts.milvus.rows == 0 else _there(facts)


def _missing(facts: Facts) -> Verdict:
    known, product = facts.ledger, facts.id
    if known is None:
        return _never_seen(facts)
    entry = known.entry
    if entry.content_hash is not None:
        sentence = f"{product} was written on {_day(entry.written_at)}, and Milvus has lost it."
        return Verdict("lost", sentence, _again(facts, f"--rewrite {shlex.quote(product)}"))
    if entry.rejected_code is not None and not entry.leaving and entry.deleted_at is None:
        return _rejected(facts, entry)
    if _usable(facts):
        sentence = f"{product} was deleted by run {entry.deleted_run} and is back in the catalogue since."
        return Verdict("not_indexed", sentence, _again(facts))
    when = "and that is not confirmed yet" if entry.leaving else f"on {_day(entry.deleted_at)}"
    why = "it was rejected" if entry.rejected_code is not None else "the catalogue did not have it"
    return Verdict("pruned", f"{product} was deleted by run {entry.deleted_run} {when}, because {why}.")


def _never_seen(facts: Facts) -> Verdict:
    product, catalogue = facts.id, facts.catalogue
    if catalogue is None:
        sentence = f"No run into {facts.collection} that has a ledger here saw {product}; --catalogue looks for it."
        return Verdict("never_seen", sentence)
    if not catalogue.lines:
        return Verdict("not_in_catalogue", f"{product} is not in {catalogue.path}, and no run ever saw it.")
    if _usable(facts):
        return Verdict("not_indexed", f"{product} can be indexed, and no run has done it yet.", _again(facts))
    line = catalogue.lines[0]
    return Verdict("rejected", f"{product} is rejected: line {line.line}, {line.code}: {line.message}")


def _rejected(facts: Facts, entry: Entry) -> Verdict:
    if _usable(facts):
        sentence = f"{facts.id} was rejected ({entry.rejected_code}) and can be indexed now."
        return Verdict("not_indexed", sentence, _again(facts))
    if facts.catalogue is not None and not facts.catalogue.lines:
        sentence = f"{facts.id} was rejected ({entry.rejected_code}) and is not in the catalogue any more."
        return Verdict("not_in_catalogue", sentence)
    reason = f"line {entry.line}, {entry.rejected_code}: {entry.rejected_message}"
    return Verdict("rejected", f"{facts.id} was never indexed because it is rejected: {reason}")


def _there(facts: Facts) -> Verdict:
    known, product = facts.ledger, facts.id
    if known is not None and known.entry.leaving:
        return Verdict("leaving", f"The deletion of {product} is decided; the next run does it.", _again(facts))
    if known is None or known.entry.content_hash is None:
        sentence = f"{product} can be found, but no ledger here knows it: written over the API, or a ledger was lost."
        return Verdict("unknown", sentence, _again(facts, "--prune-unknown"))
    entry, since = known.entry, _day(known.entry.written_at)
    if facts.catalogue is None:
        if known.gone:
            return _stale_gone(facts, "the last complete run")
        if entry.rejected_code is not None:
            return _stale_rejected(facts, f"line {entry.line}, {entry.rejected_code}: {entry.rejected_message}")
        return Verdict("present", f"{product} can be found as line {entry.line} had it on {since}.")
    if not facts.catalogue.lines:
        return _stale_gone(facts, facts.catalogue.path)
    if facts.catalogue.picture is PictureState.CHANGED:
        sentence = f"{product} changed since it was written on {since}; the next run updates it."
        return Verdict("stale_changed", sentence, _again(facts))
    if facts.catalogue.picture is PictureState.SAME:
        line = facts.catalogue.lines[0].line
        return Verdict("present", f"{product} can be found, and is what line {line} and its picture are now.")
    line_now = facts.catalogue.lines[0]
    return _stale_rejected(facts, f"line {line_now.line}, {line_now.code}: {line_now.message}")


def _stale_gone(facts: Facts, where: str) -> Verdict:
    sentence = f"{facts.id} is stale: {where} does not have it any more, and nobody pruned it."
    return Verdict("stale_gone", sentence, _again(facts, "--prune"))


def _stale_rejected(facts: Facts, reason: str) -> Verdict:
    known = facts.ledger
    since = _day(None if known is None else known.entry.written_at)
    return Verdict("stale_rejected", f"{facts.id} is stale, in its state of {since}: it is rejected now, {reason}")


def _usable(facts: Facts) -> bool:
    return facts.catalogue is not None and facts.catalogue.picture not in (None, PictureState.REJECTED)


def _again(facts: Facts, flags: str = "") -> str:
    if facts.ledger is None:
        return f"vitrine index --collection {facts.alias} --catalogue FOLDER {flags}".rstrip()
    return rerun_command(facts.alias, facts.ledger.note, flags)


def _day(seconds: float | None) -> str:
    return "an unknown day" if seconds is None else time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))
