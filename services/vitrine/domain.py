"""The nouns of the product, free of any vendor: items, fields, hits, vectors, deadlines."""

import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from vitrine.errors import DeadlineExceeded

Vectors: TypeAlias = npt.NDArray[np.float32]
"""Embeddings, float32 [n, dim], every row of unit length."""

Pixels: TypeAlias = npt.NDArray[np.uint8]
"""Preprocessed pictures, uint8 [n, height, width, 3], RGB."""

FieldValue: TypeAlias = str | int | float | bool


class FieldType(StrEnum):
    """Types a catalogue column can have in a collection; they mirror Milvus's scalar types."""

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    FLAG = "flag"


@dataclass(frozen=True, slots=True)
class FieldSpec:
    """One typed scalar field of a collection.

    Args:
        name: the field's name in the API and in Milvus: a letter, then letters, digits and `_`.
        type: see `FieldType`.
        max_bytes: TEXT only, the UTF-8 bytes Milvus reserves and enforces; longer values are cut on a character.
        filterable: may stand in a filter.
        facetable: may be counted over a result.
    """

    name: str
    type: FieldType
    max_bytes: int = 256
    filterable: bool = True
    facetable: bool = False


@dataclass(frozen=True, slots=True)
class CatalogueItem:
    """One product as its catalogue describes it, before anything was decoded.

    Args:
        id: the shop's own key, kept as a string (leading zeros matter).
        image: where the picture should be.
        image_path: the same, relative to the catalogue's folder, with `/`: what a hit carries to a page.
        title: what a person calls it.
        group: products that are one design in several colours or sizes share it; empty when there is no such thing.
        fields: values of the declared `FieldSpec`s, already of their types.
    """

    id: str
    image: Path
    image_path: str
    title: str
    group: str
    fields: Mapping[str, FieldValue]


@dataclass(frozen=True, slots=True)
class EmbeddedItem:
    """A product ready to be written: what is stored beside one vector of float32 [dim], unit length."""

    item: CatalogueItem
    vector: Vectors


@dataclass(frozen=True, slots=True)
class Hit:
    """One search result.

    Args:
        score: cosine similarity, higher is better, within [-1, 1].
        siblings: further products of its group that satisfy the filter; None where nothing was grouped.
    """

    id: str
    score: float
    title: str
    group: str
    image_path: str
    fields: Mapping[str, FieldValue] = field(default_factory=dict)
    vector: Vectors | None = None
    siblings: int | None = None


@dataclass(frozen=True, slots=True)
class Deadline:
    """A point in time that a request hands down, so that every hop gets only what is left.

    Times are seconds of the monotonic clock.
    """

    at: float

    @classmethod
    def after(cls, seconds: float) -> "Deadline":
        return cls(time.monotonic() + seconds)

    def remaining(self) -> float:
        """Seconds left.

        Raises:
            DeadlineExceeded: none are left.
        """
        left = self.at - time.monotonic()
        if left <= 0:
            raise DeadlineExceeded("The request ran out of time before the next step could start.")
        return left

    def within(self, seconds: float) -> float:
        """Seconds left, capped: for a hop with a limit of its own.

        Raises:
            DeadlineExceeded: none are left.
        """
        return min(self.remaining(), seconds)

    @staticmethod
    def bounding(doing: str) -> AbstractContextManager[None]:
        """Turns a TimeoutError of the block into the product's own error, naming what took too long.

        Raises:
            DeadlineExceeded: the block timed out.
        """
        return _Bounding(doing)


class _Bounding(AbstractContextManager[None]):
    """See `Deadline.bounding`. A class: a generator takes five times as long, several times in each search."""

    __slots__ = ("_doing",)

    def __init__(self, doing: str) -> None:
        self._doing = doing

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, TimeoutError):
            raise DeadlineExceeded(f"The request ran out of time while {self._doing}.") from error
