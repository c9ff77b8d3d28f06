"""The kinds of index a collection can have: small classes with Milvus's own field names and its bounds.

Defaults suit a catalogue of up to a few million products; what recall they buy is measured, not assumed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from vitrine.errors import InvalidInput, LimitExceeded
from vitrine.vectorstore.index_kind import Bounds, IndexParams, ParamValue

__all__ = [
    "INDEX_KINDS",
    "DiskAnn",
    "Flat",
    "Hnsw",
    "HnswSq",
    "IndexParams",
    "IvfFlat",
    "IvfPq",
    "IvfRabitq",
    "IvfSq8",
    "index_from_description",
    "parse_index",
]

RERANK = "rerank"
"""The one search setting that is Vitrine's own, not Milvus's: candidates for each hit, compared by their whole vectors;
0 for none."""
MAX_CANDIDATES = 2_048
"""The most candidates of one query that are put in order; of 512 dimensions, their vectors are 4 MiB."""

_REFINE_TYPES = ("SQ6", "SQ8", "FP16", "BF16", "FP32")


class _Graph(IndexParams):
    """Indexes searched along a graph, with a candidate list that must hold every neighbour wanted."""

    candidates: ClassVar[str]
    """Name of the candidate list's length."""

    def search_params(self, overrides: Mapping[str, int], *, limit: int, reach: int = 0) -> dict[str, int]:
        values = self._searched(overrides)
        most = self.bounds[self.candidates][1]
        wanted = min(limit, most)
        if self.candidates in overrides and values[self.candidates] < wanted:
            raise LimitExceeded(
                f"{self.candidates} must be at least {wanted} to return {limit} hits, not {values[self.candidates]}.",
                parameter=self.candidates,
                minimum=wanted,
                maximum=most,
            )
        values[self.candidates] = max(values[self.candidates], wanted, min(reach, most))
        return values


class _Inverted(IndexParams):
    """Indexes that search a few of many lists."""

    nlist: int
    nprobe: int

    def search_params(self, overrides: Mapping[str, int], *, limit: int, reach: int = 0) -> dict[str, int]:
        values = self._searched(overrides)
        if "nprobe" not in overrides:
            values["nprobe"] = min(self.nprobe, self.nlist)
        elif values["nprobe"] > self.nlist:
            raise LimitExceeded(
                f"nprobe must be at most nlist, which is {self.nlist}, not {values['nprobe']}.",
                parameter="nprobe",
                minimum=1,
                maximum=self.nlist,
            )
        return values


class _Compressed(_Inverted):
    """Lists of compressed vectors, whose hits can be compared again by their whole vectors (see `reranking`)."""

    rerank: int

    def search_params(self, overrides: Mapping[str, int], *, limit: int, reach: int = 0) -> dict[str, int]:
        values = super().search_params(overrides, limit=limit, reach=reach)
        if RERANK in overrides and values[RERANK] * limit > MAX_CANDIDATES:
            most = MAX_CANDIDATES // limit
            raise LimitExceeded(
                f"rerank must be at most {most} to return {limit} hits, not {values[RERANK]}: "
                f"{MAX_CANDIDATES} candidates can be compared.",
                parameter=RERANK,
                minimum=0,
                maximum=most,
            )
        return values


class _Refined(IndexParams):
    """Indexes that keep a second, finer form of each vector when built with `refine`, and compare candidates by it."""

    refine: bool

    def build_params(self) -> dict[str, ParamValue]:
        values = super().build_params()
        return values if self.refine else {name: value for name, value in values.items() if name != "refine_type"}

    def search_settings(self) -> dict[str, int]:
        values = super().search_settings()
        return values if self.refine else {name: value for name, value in values.items() if name != "refine_k"}

    def _searched(self, overrides: Mapping[str, int]) -> dict[str, int]:
        if not self.refine and "refine_k" in overrides:
            raise InvalidInput(
                f"This {self.index_type} was built without refine: it takes no refine_k.", parameter="refine_k"
            )
        return super()._searched(overrides)


_LISTS: Mapping[str, Bounds] = {"nlist": (1, 65_536), "nprobe": (1, 65_536)}
_RERANK: Mapping[str, Bounds] = {RERANK: (0, 64)}


@dataclass(frozen=True)
class Flat(IndexParams):
    """Compares with every vector: exact, and the yardstick for the others."""

    index_type = "FLAT"
    minimum_server = "2.0.0"

    def search_params(self, overrides: Mapping[str, int], *, limit: int, reach: int = 0) -> dict[str, int]:
        return self._searched(overrides)


@dataclass(frozen=True)
class Hnsw(_Graph):
    """A graph over full vectors: the best recall for its speed, at the price of memory."""

    M: int = 16
    efConstruction: int = 200  # noqa: N815 - Milvus's name
    ef: int = 64

    index_type = "HNSW"
    minimum_server = "2.0.0"
    # 2.3 takes M from 4 to 64 and efConstruction from 8 to 512; newer servers take more. These hold on all.
    bounds: ClassVar = {"M": (4, 64), "efConstruction": (8, 512), "ef": (1, 32_768)}
    search_names = ("ef",)
    candidates = "ef"


@dataclass(frozen=True)
class HnswSq(_Refined, _Graph):
    """HNSW over vectors of fewer bits, optionally checked again with more of them."""

    M: int = 16
    efConstruction: int = 200  # noqa: N815 - Milvus's name
    sq_type: str = "SQ8"
    refine: bool = True
    refine_type: str = "FP32"
    refine_k: int = 2
    ef: int = 64

    index_type = "HNSW_SQ"
    minimum_server = "2.5.0"
    bounds: ClassVar = {"M": (4, 64), "efConstruction": (8, 512), "ef": (1, 32_768), "refine_k": (1, 64)}
    choices: ClassVar = {"sq_type": ("SQ6", "SQ8", "BF16", "FP16"), "refine_type": _REFINE_TYPES}
    search_names = ("ef", "refine_k")
    candidates = "ef"


@dataclass(frozen=True)
class DiskAnn(_Graph):
    """A graph on local disk: a tenth of the memory, a few times the latency. The server must have it switched on."""

    search_list: int = 100

    index_type = "DISKANN"
    minimum_server = "2.2.0"
    bounds: ClassVar = {"search_list": (1, 65_535)}
    search_names = ("search_list",)
    candidates = "search_list"


@dataclass(frozen=True)
class IvfFlat(_Inverted):
    """Full vectors in lists around centroids."""

    nlist: int = 1_024
    nprobe: int = 32

    index_type = "IVF_FLAT"
    minimum_server = "2.0.0"
    bounds = _LISTS
    search_names = ("nprobe",)


@dataclass(frozen=True)
class IvfSq8(_Compressed):
    """As IVF_FLAT with one byte a dimension."""

    nlist: int = 1_024
    nprobe: int = 32
    rerank: int = 0

    index_type = "IVF_SQ8"
    minimum_server = "2.0.0"
    bounds: ClassVar = {**_LISTS, **_RERANK}
    search_names = ("nprobe", RERANK)


@dataclass(frozen=True)
class IvfPq(_Compressed):
    """As IVF_FLAT with `m` codes of `nbits` bits a vector.

    Eight codes for 512 dimensions, a setting often seen, find a fifth of the true neighbours. More codes find more, and
    building takes as many times longer: the default of 64 takes a thirty-second of the memory of full vectors. `rerank`
    finds more without either (see docs/index-choice.md).
    """

    nlist: int = 1_024
    m: int = 64
    nbits: int = 8
    nprobe: int = 64
    rerank: int = 0

    index_type = "IVF_PQ"
    minimum_server = "2.0.0"
    bounds: ClassVar = {**_LISTS, **_RERANK, "m": (1, 65_536), "nbits": (1, 16)}
    search_names = ("nprobe", RERANK)

    def check_dimension(self, dimension: int) -> None:
        if dimension % self.m:
            divisors = [m for m in range(1, dimension + 1) if dimension % m == 0]
            raise InvalidInput(
                f"m must divide the dimension: {dimension} is not a multiple of {self.m}.",
                parameter="m",
                value=self.m,
                allowed=divisors,
            )


@dataclass(frozen=True)
class IvfRabitq(_Refined, _Inverted):
    """One bit a dimension in lists, checked again with `refine_type`."""

    nlist: int = 1_024
    refine: bool = True
    refine_type: str = "SQ8"
    nprobe: int = 64
    refine_k: int = 4
    rbq_query_bits: int = 0

    index_type = "IVF_RABITQ"
    minimum_server = "2.6.0"
    bounds: ClassVar = {**_LISTS, "refine_k": (1, 64), "rbq_query_bits": (0, 8)}
    choices: ClassVar = {"refine_type": _REFINE_TYPES}
    search_names = ("nprobe", "refine_k", "rbq_query_bits")


INDEX_KINDS: Mapping[str, type[IndexParams]] = {
    kind.index_type.lower(): kind for kind in (Flat, Hnsw, HnswSq, DiskAnn, IvfFlat, IvfSq8, IvfPq, IvfRabitq)
}
"""Every kind by its name in the API and on the command line."""


def parse_index(name: str, overrides: Mapping[str, ParamValue]) -> IndexParams:
    """`parse_index("hnsw", {"M": "32"})`: the kind's defaults, changed by what was typed.

    Raises:
        InvalidInput: an unknown kind, parameter or word.
        LimitExceeded: a number out of bounds.
    """
    kind = INDEX_KINDS.get(name.lower().replace("-", "_"))
    if kind is None:
        known = ", ".join(INDEX_KINDS)
        raise InvalidInput(f"There is no index {name!r}; there are {known}.", index=name, known=list(INDEX_KINDS))
    return kind.parse(overrides)


def index_from_description(description: Mapping[str, ParamValue]) -> IndexParams:
    """The opposite of `IndexParams.describe`."""
    settings = {name: value for name, value in description.items() if name != "type"}
    return parse_index(str(description["type"]), settings)
