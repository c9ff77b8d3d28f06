"""The three changes to what readers see: promote, roll back, retire.

Each records first and moves second, and each move is one call to Milvus. Killed anywhere, a change has either happened
or not, and running it again is safe.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice

from vitrine.errors import CollectionNotFound, CollectionNotReady, ContractMismatch, InvalidInput, VitrineError
from vitrine.promotion.family import Member, State, members, predecessors
from vitrine.promotion.gates import ServedModel
from vitrine.vectorstore.admin import CollectionAdmin, Progress
from vitrine.vectorstore.collection import CollectionInfo
from vitrine.vectorstore.lineage import GateRecord, now


class AliasMoved(VitrineError):
    """Somebody else moved the alias meanwhile; what was compared is no longer what is live."""

    code = "alias_moved"


class RollbackImpossible(VitrineError):
    """There is nothing to go back to that readers could see."""

    code = "rollback_impossible"


@dataclass(frozen=True, slots=True)
class Pair:
    """What an alias points at, and what it shall point at."""

    live: CollectionInfo | None
    candidate: CollectionInfo


@dataclass(frozen=True, slots=True)
class Moved:
    """An alias that was moved; `before` is empty when it was made."""

    alias: str
    before: str
    after: str


async def choose(admin: CollectionAdmin, alias: str, name: str | None) -> Pair:
    """The live collection of an alias and the one to promote.

    Args:
        name: None: the newest candidate.

    Raises:
        InvalidInput: there is no candidate, the one named is live, or the alias is a collection.
        CollectionNotFound: no collection has that name.
    """
    live = await _live(admin, alias)
    if name is not None:
        candidate = await admin.describe(name, counted=False)
        if candidate.name != name:
            raise InvalidInput(f"{name} is an alias. Name the collection itself: {candidate.name}.", collection=name)
        if live is not None and name == live.name:
            raise InvalidInput(f"{alias} points at {name} already.", alias=alias, collection=name)
        return Pair(live, candidate)
    family = members(await admin.list(counted=False), alias)
    newest = next((member.info for member in family if member.state is State.CANDIDATE), None)
    if newest is None:
        states = ", ".join(f"{member.info.name} is {member.state}" for member in family) or "there is no collection"
        raise InvalidInput(
            f"{alias} has no candidate ({states}). Build one with `vitrine index --collection {alias} --new`, or name "
            "a collection with --to.",
            alias=alias,
        )
    return Pair(live, newest)


async def promote(
    admin: CollectionAdmin, alias: str, pair: Pair, gates: Sequence[GateRecord], *, forced: bool
) -> Moved:
    """Makes the candidate live. Whoever calls has judged the gates.

    Raises:
        AliasMoved: the alias points elsewhere by now.
        CollectionNotReady: the candidate is half-made.
    """
    before = "" if pair.live is None else pair.live.name
    name = pair.candidate.name
    if not pair.candidate.complete:
        raise CollectionNotReady(f"Collection {name!r} is half-made.", collection=name)
    lineage = replace(
        pair.candidate.lineage,
        alias=alias,
        promoted_at=now(),
        replaces=before,
        moved_from=before,
        gates=tuple(gates),
        forced=forced,
        rolled_back_at=None,
    )
    await admin.record_lineage(name, lineage)
    await _require_unmoved(admin, alias, before)
    await admin.point_alias(alias, name)
    return Moved(alias, before, name)


async def roll_back(admin: CollectionAdmin, alias: str, served: ServedModel | None, *, on_progress: Progress) -> Moved:
    """Makes live again what the live collection replaced.

    Args:
        served: the model that gateways are about to have; None: whatever that is.

    Raises:
        CollectionNotFound: there is no such alias.
        RollbackImpossible: nothing was replaced, or it is gone, half-made or empty.
        ContractMismatch: it is of another model than is served.
        AliasMoved: the alias points elsewhere by now.
    """
    live = await _live(admin, alias)
    if live is None:
        raise CollectionNotFound(f"There is no alias {alias!r}.", collection=alias)
    before = await _previous(admin, alias, live)
    if served is not None:
        _require_served(before, served)
    await admin.load(before.name, on_progress=on_progress)
    if await admin.count(before.name) == 0:
        raise RollbackImpossible(f"{before.name} is empty.", alias=alias, collection=before.name)
    await admin.record_lineage(
        before.name, replace(before.lineage, alias=alias, promoted_at=now(), moved_from=live.name, rolled_back_at=None)
    )
    await admin.record_lineage(live.name, replace(live.lineage, rolled_back_at=now()))
    await _require_unmoved(admin, alias, live.name)
    await admin.point_alias(alias, before.name)
    return Moved(alias, live.name, before.name)


async def to_retire(admin: CollectionAdmin, name_or_alias: str, *, keep: int, everything: bool) -> list[CollectionInfo]:
    """The collections that nobody needs any more.

    Args:
        name_or_alias: a collection itself; or an alias, for what was live behind it.
        keep: how many of those that rollbacks would go back to stay, counted from the live one; 1 at least.
        everything: none of them stays, nor what a rollback left.

    Raises:
        CollectionNotFound: no such name.
        InvalidInput: the collection is live.
    """
    infos = await admin.list(counted=False)
    named = next((info for info in infos if info.name == name_or_alias), None)
    if named is not None:
        if named.aliases:
            raise InvalidInput(f"{named.name} is live behind {', '.join(named.aliases)}.", collection=named.name)
        return [named]
    family = members(infos, name_or_alias)
    live = next((member.info for member in family if member.state is State.LIVE), None)
    if live is None:
        raise CollectionNotFound(f"There is no collection or alias {name_or_alias!r}.", collection=name_or_alias)
    return left_over(family, live, keep, everything=everything)


async def drop(admin: CollectionAdmin, info: CollectionInfo) -> None:
    """Drops a collection that nothing points at, unless another one has its name by now.

    Raises:
        InvalidInput: an alias points at it by now.
    """
    try:
        there = await admin.describe(info.name, counted=False)
    except CollectionNotFound:
        return
    if there.build_id == info.build_id:
        await admin.drop(info.name)


def left_over(family: Sequence[Member], live: CollectionInfo, keep: int, *, everything: bool) -> list[CollectionInfo]:
    """What was live and is needed for nothing; arguments as of `to_retire`."""
    kept: set[str] = set()
    if not everything:
        by_name = {member.info.name: member.info for member in family}
        kept = {info.name for info in islice(predecessors(live, by_name), keep)}
        kept.add(live.lineage.moved_from)  # gateways of its model may still be on it
    gone = (State.PREVIOUS, State.REPLACED, State.ROLLED_BACK)
    return [member.info for member in family if member.state in gone and member.info.name not in kept]


async def _live(admin: CollectionAdmin, alias: str) -> CollectionInfo | None:
    """What an alias points at; None when there is no such alias.

    Raises:
        InvalidInput: it is a collection.
    """
    try:
        live = await admin.describe(alias, counted=False)
    except CollectionNotFound as error:
        if error.details.get("foreign"):
            raise
        return None
    if live.name == alias:
        raise InvalidInput(f"{alias} is a collection, not an alias.", collection=alias)
    return live


async def _previous(admin: CollectionAdmin, alias: str, live: CollectionInfo) -> CollectionInfo:
    name = live.lineage.replaces
    if not name or live.lineage.alias != alias:
        raise RollbackImpossible(f"{live.name} replaced nothing behind {alias}.", alias=alias, collection=live.name)
    try:
        before = await admin.describe(name, counted=False)
    except CollectionNotFound as error:
        raise RollbackImpossible(
            f"{live.name} replaced {name}, which is gone.", alias=alias, collection=name
        ) from error
    if not before.complete or before.name != name:
        raise RollbackImpossible(f"{name} is half-made.", alias=alias, collection=name)
    return before


def _require_served(before: CollectionInfo, served: ServedModel) -> None:
    found = f"{before.name} was built with model fingerprint {before.fingerprint}"
    if before.fingerprint != served.fingerprint:
        raise ContractMismatch(
            f"{found}, the model repository of the settings has {served.fingerprint}. Name the repository of that "
            "model, or go ahead with --force.",
            owner=before.name,
            expected=served.fingerprint,
            found=before.fingerprint,
        )
    if served.triton is not None and served.reached:
        raise ContractMismatch(
            f"{found}, but Triton serves another: {served.triton} Go ahead with --force if that is about to change.",
            owner=before.name,
            expected=served.fingerprint,
        )


async def _require_unmoved(admin: CollectionAdmin, alias: str, before: str) -> None:
    there = await admin.alias_target(alias) or ""
    if there != before:
        raise AliasMoved(
            f"{alias} pointed at {before or 'nothing'} and points at {there or 'nothing'} now. Nothing was moved; "
            "run again.",
            alias=alias,
        )
