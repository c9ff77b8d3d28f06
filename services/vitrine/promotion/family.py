"""What each collection is to its alias: live, the one a rollback goes back to, a candidate, or something left over.

The alias is the only truth about what is live; everything else follows from it and from the lineages.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from vitrine.vectorstore.collection import CollectionInfo

_VERSIONED = re.compile(r"(?P<alias>.+)_v[1-9][0-9]{0,8}")


class State(StrEnum):
    """What a collection is to its alias."""

    LIVE = "live"
    PREVIOUS = "previous"
    """Where `vitrine rollback` goes back to."""
    CANDIDATE = "candidate"
    """Filled to its end and never live."""
    UNFINISHED = "unfinished"
    """No run filled it to its end."""
    ROLLED_BACK = "rolled back"
    """It was live until a rollback."""
    REPLACED = "replaced"
    """It was live before the previous one."""


@dataclass(frozen=True, slots=True)
class Member:
    """A collection as one of those of an alias; `alias` is empty where none is known."""

    alias: str
    info: CollectionInfo
    state: State


def members(infos: Sequence[CollectionInfo], alias: str | None = None) -> list[Member]:
    """All collections by alias, each alias' live one first and the others from new to old.

    Args:
        infos: every collection there is.
        alias: only its.
    """
    by_name = {info.name: info for info in infos}
    live = {name: info for info in infos for name in info.aliases}
    found = [
        Member(name, info, _state(info, name, live.get(name), by_name))
        for info in infos
        for name in info.aliases or (alias_of(info),)
        if alias is None or name == alias
    ]
    return sorted(found, key=lambda one: (one.alias, one.state is not State.LIVE, -one.info.created_at.timestamp()))


def alias_of(info: CollectionInfo) -> str:
    """The alias that a collection without one was made for; from its name where no lineage says it."""
    match = _VERSIONED.fullmatch(info.name)
    return info.lineage.alias or (match["alias"] if match else "")


def predecessors(live: CollectionInfo, by_name: Mapping[str, CollectionInfo]) -> Iterator[CollectionInfo]:
    """What was live before, the latest first, as far as it is still there."""
    seen, at = {live.name}, live
    while (before := by_name.get(at.lineage.replaces)) is not None and before.name not in seen:
        seen.add(before.name)
        yield before
        at = before


def _state(
    info: CollectionInfo, alias: str, live: CollectionInfo | None, by_name: Mapping[str, CollectionInfo]
) -> State:
    if alias in info.aliases:
        return State.LIVE
    earlier = [] if live is None else [one.name for one in predecessors(live, by_name)]
    if info.name in earlier:
        return State.PREVIOUS if info.name == earlier[0] else State.REPLACED
    lineage = info.lineage
    if lineage.rolled_back_at is not None:
        return State.ROLLED_BACK
    # A promotion is recorded before the alias moves. One that was to replace what is live still did not come to that.
    if lineage.promoted_at is not None and lineage.replaces != ("" if live is None else live.name):
        return State.REPLACED
    return State.CANDIDATE if info.complete and lineage.finished_at is not None else State.UNFINISHED
