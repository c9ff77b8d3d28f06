"""Puts texts that wait for Triton anyway into one request, by length.

Triton joins neighbours in its queue only while their shapes are equal, so a mixture of short and long texts arrives
there as batches of one or two. Joined on this side, where texts of each length wait in a queue of their own, the same
mixture makes full batches, with one copy of the model and fewer calls; and where a few texts are only somewhat shorter
than others, they are padded and go with these. See docs/adr/0002-text-buckets.md.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import accumulate
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from vitrine.domain import Deadline, Vectors
from vitrine.joining import Joiner

Ids: TypeAlias = npt.NDArray[np.int32]
Infer: TypeAlias = Callable[[Ids, Deadline], Awaitable[Vectors]]

CALL_IN_TOKENS: Final = 8
"""What a call costs before its first token, in tokens: texts are padded to another length by no more to spare one.

Reading the weights of ViT-B/32 takes as long as computing 5 tokens in int8, and 8 in float32; whatever else is done for
a call adds to it. Measured under load with 6, 8 and 12 (docs/adr/0002-text-buckets.md).
"""


class TextJoiner:
    """Sends texts on at once while few calls are under way, and otherwise together with others that are about as long.

    Args:
        infer: one call to Triton: int32 [n, length] to float32 [n, dim].
        max_batch: most rows in one call.
        under_way: calls at the same time, whatever the length; lengths take turns.
    """

    def __init__(self, infer: Infer, *, max_batch: int, under_way: int) -> None:
        self._infer = infer
        self._joiner: Joiner[int, Ids, Vectors] = Joiner(
            self._call,
            most=lambda _: max_batch,
            under_way=under_way,
            altogether=under_way,
            along=_spares_a_call,
            span_name="joined texts",
            doing="waiting for the embedding of a text",
        )

    async def infer_text(self, ids: Ids, deadline: Deadline) -> Vectors:
        """Embeds token ids, int32 [n, length] with n up to `max_batch`. Returns float32 [n, dim].

        Raises:
            DeadlineExceeded: no answer in time; the text is taken out of the queue.
            Whatever `infer` raises, for every text of the call.
        """
        return await self._joiner.ask(ids.shape[1], ids, len(ids), deadline)

    async def _call(self, _: int, texts: list[Ids], deadline: Deadline) -> list[Vectors]:
        if len(texts) == 1:
            return [await self._infer(texts[0], deadline)]
        vectors = await self._infer(_one_below_the_other(texts), deadline)
        ends = list(accumulate(len(ids) for ids in texts))
        return np.split(vectors, ends[:-1])


def _spares_a_call(rows: Mapping[int, int], length: int, more: int) -> bool:
    """Whether texts of another length cost less as rows of a call than a call of their own would.

    Args:
        rows: of the call, by their length.
        length: of the others.
        more: how many they are.
    """
    before = max(rows)
    longest = max(before, length)
    return sum(rows.values()) * (longest - before) + more * (longest - length) <= CALL_IN_TOKENS


def _one_below_the_other(texts: Sequence[Ids]) -> Ids:
    """All rows, padded to the longest of them with what each ends with, the end of text."""
    longest = max(ids.shape[1] for ids in texts)
    if all(ids.shape[1] == longest for ids in texts):
        return np.concatenate(texts)
    return np.concatenate([np.pad(ids, ((0, 0), (0, longest - ids.shape[1])), mode="edge") for ids in texts])
