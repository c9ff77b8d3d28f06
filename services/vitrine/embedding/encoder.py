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
from vitrine.embedding.tokenizer import TokenIds, Tokenizer, check_query, pad_to_bucket
from vitrine.embedding.triton import TritonClient
from vitrine.errors import DeadlineExceeded, EncoderUnavailable, InvalidInput
from vitrine.settings import Settings
from vitrine.telemetry.spans import span
from vitrine.telemetry.stages import Stage, StageClock
from vitrine.together import together

# A rolling update can put another model behind the same address without one failed call, so agreement is asked for
# again at this interval: metadata calls of about a millisecond, shared by all requests that wait for them.
_AGREEMENT_S = 5.0


@dataclass(frozen=True, slots=True)
class EncodedTexts:
    """Embeddings of texts.

    Args:
        vectors: float32 [n, dim].
        truncated: which of the texts were longer than the model can read.
        tokens: how many ids the model read of each, BOS and EOT included.
    """

    vectors: Vectors
    truncated: tuple[bool, ...]
    tokens: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class EncoderParts:
    """What an encoder is made of.

    Args:
        contract: of the model repository whose tokenizer and image policy are used here.
        decode_pool: threads for decoding and resizing, which release the GIL for most of their time.
    """

    contract: ModelContract
    tokenizer: Tokenizer
    triton: TritonClient
    decode_pool: ThreadPoolExecutor


class Encoder:
    """Tokenises or decodes on this side, embeds on Triton's, and never mixes models."""

    def __init__(self, parts: EncoderParts, settings: Settings) -> None:
        self.contract = parts.contract
        self._tokenizer = parts.tokenizer
        self._triton = parts.triton
        self._decode_pool = parts.decode_pool
        self._images = settings.images
        self._max_batch = settings.triton.max_batch
        self._max_query_bytes = settings.gateway.max_query_bytes
        self._texts = TextJoiner(
            parts.triton.infer_text, max_batch=self._max_batch, under_way=settings.triton.calls_under_way
        )
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
            tokens = [self._tokenizer.encode_cleaned(text) for text in self._checked(texts)]
        with clock.stage(Stage.EMBED):
            vectors = await self._embed_tokens(tokens, deadline)
        return EncodedTexts(
            vectors, tuple(token.truncated for token in tokens), tuple(token.ids.size for token in tokens)
        )

    def _checked(self, texts: Sequence[str]) -> list[str]:
        """The cleaned texts; where there are several, an error says which one it is about."""
        cleaned = []
        for index, text in enumerate(texts):
            try:
                cleaned.append(check_query(text, self._max_query_bytes))
            except InvalidInput as error:
                if len(texts) > 1:
                    error.details["index"] = index
                raise
        return cleaned

    async def _embed_tokens(self, tokens: Sequence[TokenIds], deadline: Deadline) -> Vectors:
        groups = pad_to_bucket(tokens, self._tokenizer.buckets)
        vectors = np.empty((len(tokens), self.contract.dimension), np.float32)
        await self._ensure_agreement(deadline)
        calls = [
            (rows[start : start + self._max_batch], ids[start : start + self._max_batch])
            for rows, ids in groups
            for start in range(0, len(rows), self._max_batch)
        ]
        answers = await together([self._texts.infer_text(ids, deadline) for _, ids in calls])
        for (rows, _), answer in zip(calls, answers, strict=True):
            vectors[rows] = answer
        return vectors

    async def encode_images(self, pictures: Sequence[bytes], deadline: Deadline, clock: StageClock) -> Vectors:
        """Embeds encoded pictures (JPEG, PNG, ...), in their order. Returns float32 [n, dim].

        Raises:
            ImageRejected: a picture cannot be used; the subclass says why.
            ContractMismatch, EncoderUnavailable, Overloaded, DeadlineExceeded, InternalError: as for texts.
        """
        with clock.stage(Stage.DECODE):
            pixels = await asyncio.gather(*(self.decode(data, deadline) for data in pictures))
        with clock.stage(Stage.EMBED):
            return await self.encode_pixels(np.stack(pixels), deadline)

    async def decode(self, data: bytes, deadline: Deadline) -> Pixels:
        """`prepare` in one of the threads for decoding, which all pictures of this process share.

        Raises:
            ImageRejected: the subclass says why.
            DeadlineExceeded
        """
        loop = asyncio.get_running_loop()
        with deadline.bounding("decoding the picture"):
            async with asyncio.timeout(deadline.remaining()):
                return await loop.run_in_executor(self._decode_pool, self.prepare, data)

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
        return np.concatenate(await together([self._triton.infer_image(batch, deadline) for batch in batches]))

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
        with span("contract check"), deadline.bounding("asking Triton which model it serves"):
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
    async with encoder_parts(settings) as parts:
        yield Encoder(parts, settings)


@asynccontextmanager
async def encoder_parts(settings: Settings) -> AsyncIterator[EncoderParts]:
    """Opens what an encoder is made of and closes it afterwards.

    Raises:
        ModelInvalid: as for `open_encoder`.
    """
    contract = ModelContract.load(settings.model.repository)
    tokenizer = Tokenizer.load(settings.model.repository, contract)
    triton = TritonClient(settings.triton)
    pool = ThreadPoolExecutor(settings.images.decode_threads, thread_name_prefix="decode")
    try:
        yield EncoderParts(contract, tokenizer, triton, pool)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        await triton.close()
