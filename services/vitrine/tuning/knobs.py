"""Which search settings of an index are worth searching over, and how far."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from vitrine.vectorstore.index_params import IndexParams

MOST_CANDIDATES: Final = 4_096
"""Above this a graph is slower than comparing with everything in collections of any size tried."""

_MAIN: Final = ("ef", "search_list", "nprobe")
# How many more candidates are fetched and checked again with better vectors; 1 checks no more than are wanted.
_CHECKED_AGAIN: Final[Mapping[str, Sequence[int]]] = {"refine_k": (1, 2, 4, 8), "rerank": (0, 4, 10, 20)}


@dataclass(frozen=True, slots=True)
class Knob:
    """A search setting with which recall rises, and latency too.

    Args:
        name: Milvus's.
        least: the least value worth trying.
        most: the greatest that the index takes, or that could be worth it.
    """

    name: str
    least: int
    most: int


def knob_of(index: IndexParams, k: int) -> Knob | None:
    """The main setting of a search for k hits; None for an exact index, which has none."""
    for name in _MAIN:
        if name in index.search_names:
            most = index.bounds[name][1]
            nlist = index.settings().get("nlist")
            if isinstance(nlist, int):
                return Knob(name, 1, min(most, nlist))
            return Knob(name, min(k, most), max(k, min(most, MOST_CANDIDATES)))
    return None


def variants_of(index: IndexParams) -> list[IndexParams]:
    """The index with each worthwhile value of its other search settings; itself where it has none."""
    for name, values in _CHECKED_AGAIN.items():
        if name in index.search_settings():
            least = index.bounds[name][0] if name in index.bounds else 0
            return [index.with_search({name: value}) for value in values if value >= least]
    return [index]
