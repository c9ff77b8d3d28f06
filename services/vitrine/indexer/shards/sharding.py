"""A catalogue split between processes: which of them answers for a product.

The answer depends on the product's id alone, so shards are disjoint, stay the same whatever the order of the rows, and
all lines of one id meet in one shard, where the first of them wins as in an undivided run.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from vitrine.errors import InvalidInput

MOST_SHARDS = 1_024
JOB_INDEX = "JOB_COMPLETION_INDEX"
"""What Kubernetes tells each pod of an Indexed Job: its number, counted from 0."""

_SHARD = re.compile(r"([0-9]{1,5})/([0-9]{1,5})")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Shard:
    """One of `count` parts, numbered from 1.

    Raises:
        InvalidInput: there is no such shard.
    """

    number: int
    count: int

    def __post_init__(self) -> None:
        if not 1 <= self.count <= MOST_SHARDS:
            raise InvalidInput(f"There can be from 1 to {MOST_SHARDS} shards, not {self.count}.", maximum=MOST_SHARDS)
        if not 1 <= self.number <= self.count:
            raise InvalidInput(f"There is no shard {self.number} of {self.count}: the first is 1/{self.count}.")

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    @property
    def name(self) -> str:
        """Such as "2/4"; empty for the whole."""
        return "" if self == WHOLE else str(self)

    @property
    def suffix(self) -> str:
        """For names of files, such as ".shard-2-of-4"; empty for the whole."""
        return "" if self == WHOLE else f".shard-{self.number}-of-{self.count}"

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """From "2/4".

        Raises:
            InvalidInput: not of that form, or no such shard.
        """
        match = _SHARD.fullmatch(text.strip())
        if match is None:
            raise InvalidInput(f"--shard {text!r} is not of the form NUMBER/COUNT, such as 2/4.")
        return cls(int(match[1]), int(match[2]))

    @classmethod
    def of_job(cls, count: int, environment: Mapping[str, str]) -> "Shard":
        """This pod's shard of a Kubernetes Indexed Job.

        Raises:
            InvalidInput: no pod of such a Job, or a Job of more pods than shards.
        """
        text = environment.get(JOB_INDEX, "")
        if not re.fullmatch(r"[0-9]{1,5}", text):
            raise InvalidInput(f"--shards needs {JOB_INDEX}, which an Indexed Job sets; elsewhere use --shard i/n.")
        return cls(int(text) + 1, count)

    def owns(self, product_id: str, line: int = 0) -> bool:
        """Whether a product is this shard's; of a record without an id the line decides.

        Python's own hash of a text differs from process to process.
        """
        if self.count == 1:
            return True
        if product_id:
            digest = hashlib.sha256(product_id.encode("utf-8", "backslashreplace")).digest()
            return int.from_bytes(digest[:8]) % self.count == self.number - 1
        return line % self.count == self.number - 1


WHOLE = Shard(1, 1)
"""All of it: a run that is not split."""


class OwnRows(Iterator[_T]):
    """Those rows of a source that a shard answers for; counts the others in `elsewhere`.

    Args:
        rows: of the whole source.
        place: id and line of a row; the id is empty where none could be read.
    """

    def __init__(self, rows: Iterable[_T], place: Callable[[_T], tuple[str, int]], shard: Shard) -> None:
        self._rows = iter(rows)
        self._place = place
        self._shard = shard
        self.elsewhere = 0

    def __next__(self) -> _T:
        for row in self._rows:
            if self._shard.owns(*self._place(row)):
                return row
            self.elsewhere += 1
        raise StopIteration
