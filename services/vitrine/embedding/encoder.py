"""Texts and pictures in, unit vectors out. Queries and the indexer share this one code path."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass

import numpy as np

from vitrine.domain import Deadline, Pixels, Vectors
from vitrine.embedding.contract import ModelContract
from vitrine.embedding.preprocess import prepare
from vitrine.embedding.text_joiner import TextJoiner
from vitrine.embedding.tokenizer import Tokenizer, check_query, pad_to_bucket
from vitrine.embedding.triton import TritonClient
from vitrine.errors import DeadlineExceeded, EncoderUnavailable
from vitrine.settings import ImageSettings, Settings
from vitrine.telemetry.stages import Stage, StageClock

# A rolling update can put another model behind the same address without one failed call, so agreement is asked for
# again at this interval: metadata calls of about a millisecond, shared by all requests that wait for them.
_AGREEMENT_S = 5.0


@dataclass(frozen=True, slots=True)
class EncodedTexts:
    """Embeddings of texts, float32 [n, dim], and which of the texts were longer than the model can read."""

    vectors: Vectors
    truncated: tuple[bool, ...]


class Encoder:
    """Tokenises or decodes on this side, embeds on Triton's, and never mixes models.

    Args:
        contract: of the model repository whose tokenizer and image policy are used here.
        decode_pool: threads for decoding and resizing, which release the GIL for most of their time.
        max_batch: rows in one call to Triton.
        max_query_bytes: longest text accepted, in UTF-8 bytes.
    """

    def __init__(
        self,
        contract: ModelContract,
        tokenizer: Tokenizer,
        triton: TritonClient,
        decode_pool: ThreadPoolExecutor,
        images: ImageSettings,
        *,
        max_batch: int,
        max_query_bytes: int,
    ) -> None:
        self.contract = contract
        self._tokenizer = tokenizer
        self._triton = triton
        self._texts = TextJoiner(triton.infer_text, max_batch=max_batch)
        self._decode_pool = decode_pool
        self._images = images
        self._max_batch = max_batch
        self._max_query_bytes = max_query_bytes
        self._agreed_until = 0.0
        self._agreement: asyncio.Task[None] | None = None

    async def encode_texts(self, texts: Sequence[str], deadline: Deadline, clock: StageClock) -> EncodedTexts:
        """Embeds texts, in their order.

        Raises:
            QueryEmpty, QueryTooLarge, TextMalformed: a text cannot be embedded as it stands.
            ContractMismatch: Triton serves another model than the repository here describes.
            EncoderUnavailable, Overloaded, DeadlineExceeded, InternalError: see `TritonClient`.
        """
        with clock.stage(Stage.TOKENIZE):
            for text in texts:
                check_query(text, self._max_query_bytes)
            tokens = self._tokenizer.encode(texts)
            groups = pad_to_bucket(tokens, self._tokenizer.buckets)
        vectors = np.empty((len(texts), self.contract.dimension), np.float32)
        with clock.stage(Stage.EMBED):
            await self._ensure_agreement(deadline)
            calls = [
                (rows[start : start + self._max_batch], ids[start : start + self._max_batch])
                for rows, ids in groups
                for start in range(0, len(rows), self._max_batch)
            ]
            answers = await asyncio.gather(*(self._texts.infer_text(ids, deadline) for _, ids in calls))
        for (rows, _), answer in zip(calls, answers, strict=True):
            vectors[rows] = answer
        return EncodedTexts(vectors, tuple(token.truncated for token in tokens))

    async def encode_images(self, pictures: Sequence[bytes], deadline: Deadline, clock: StageClock) -> Vectors:
        """Embeds encoded pictures (JPEG, PNG, ...), in their order. Returns float32 [n, dim].

        Raises:
            ImageRejected: a picture cannot be used; the subclass says why.
            ContractMismatch, EncoderUnavailable, Overloaded, DeadlineExceeded, InternalError: as for texts.
        """
        loop = asyncio.get_running_loop()
        with clock.stage(Stage.DECODE), deadline.bounding("decoding the picture"):
            async with asyncio.timeout(deadline.remaining()):
                pixels = await asyncio.gather(
                    *(loop.run_in_executor(self._decode_pool, self.prepare, data) for data in pictures)
                )
        with clock.stage(Stage.EMBED):
            return await self.encode_pixels(np.stack(pixels), deadline)

    def prepare(self, data: bytes) -> Pixels:
        """Decodes one picture into the model's pixels, uint8 [size, size, 3]. Blocks; call it in a thread.

        Raises:
            ImageRejected: the subclass says why.
        """
        return prepare(data, self.contract.image, self._images)

    async def encode_pixels(self, pixels: Pixels, deadline: Deadline) -> Vectors:
        """Embeds prepared pictures, uint8 [n, size, size, 3]. Returns float32 [n, dim].

        Raises:
            ContractMismatch, EncoderUnavailable, Overloaded, DeadlineExceeded, InternalError: as for texts.
        """
        await self._ensure_agreement(deadline)
        batches = [pixels[start : start + self._max_batch] for start in range(0, len(pixels), self._max_batch)]
        return np.concatenate(await asyncio.gather(*(self._triton.infer_image(batch, deadline) for batch in batches)))

    async def check_contract(self, deadline: Deadline) -> None:
        """Asks Triton, now, which models it serves.

        Raises:
            ContractMismatch: naming both fingerprints.
            EncoderUnavailable, DeadlineExceeded: Triton does not answer, or has not loaded both models.
        """
        for model, fingerprint in (await self._triton.fingerprints(deadline)).items():
            self.contract.require(fingerprint, f"Triton's {model}")
        self._agreed_until = time.monotonic() + _AGREEMENT_S

    async def _ensure_agreement(self, deadline: Deadline) -> None:
        """Waits for an agreement that is younger than `_AGREEMENT_S`; all that wait share one check."""
        if time.monotonic() < self._agreed_until:
            return
        if self._agreement is None or self._agreement.done():
            self._agreement = asyncio.create_task(self.check_contract(Deadline.after(_AGREEMENT_S)))
            # Read here too, since every waiter may have given up by the time it fails.
            self._agreement.add_done_callback(lambda task: task.cancelled() or task.exception())
        with deadline.bounding("asking Triton which model it serves"):
            async with asyncio.timeout(deadline.remaining()):
                try:
                    await asyncio.shield(self._agreement)
                except DeadlineExceeded as error:
                    # The check's own time is up, not this request's: it is Triton that does not answer.
                    raise EncoderUnavailable("Triton does not say which model it serves.") from error


@asynccontextmanager
async def open_encoder(settings: Settings) -> AsyncIterator[Encoder]:
    """Builds an encoder from settings and closes it afterwards. Does not need Triton to be up.

    Raises:
        ModelInvalid: the model repository's contract or tokenizer cannot be read.
    """
    contract = ModelContract.load(settings.model.repository)
    tokenizer = Tokenizer.load(settings.model.repository, contract)
    triton = TritonClient(settings.triton)
    pool = ThreadPoolExecutor(settings.images.decode_threads, thread_name_prefix="decode")
    try:
        yield Encoder(
            contract,
            tokenizer,
            triton,
            pool,
            settings.images,
            max_batch=settings.triton.max_batch,
            max_query_bytes=settings.gateway.max_query_bytes,
        )
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        await triton.close()
