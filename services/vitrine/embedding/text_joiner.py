"""Puts texts that wait for Triton anyway into one request, by length.

Triton joins neighbours in its queue only while their shapes are equal, so a mixture of short and long texts arrives
there as batches of one or two. Joined on this side, where texts of each length wait in a queue of their own, the same
mixture makes full batches, with one copy of the model and fewer calls: see docs/adr/0002-text-buckets.md.
"""

from collections.abc import Awaitable, Callable
from itertools import accumulate
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from vitrine.domain import Deadline, Vectors
from vitrine.joining import Joiner

Ids: TypeAlias = npt.NDArray[np.int32]
Infer: TypeAlias = Callable[[Ids, Deadline], Awaitable[Vectors]]


class TextJoiner:
    """Sends texts on at once while few calls are under way, and together with others of their length otherwise.

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
        vectors = await self._infer(np.concatenate(texts), deadline)
        ends = list(accumulate(len(ids) for ids in texts))
        return np.split(vectors, ends[:-1])
