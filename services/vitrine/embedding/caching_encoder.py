"""The encoder of queries: what was asked before is remembered, what is being asked is waited for."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Container, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Final, TypeVar

import numpy as np

from vitrine.domain import Deadline, Pixels, Vectors
from vitrine.embedding.cache import Embedded, EmbeddingCache
from vitrine.embedding.encoder import EncodedTexts, Encoder, EncoderParts, encoder_parts
from vitrine.embedding.single_flight import SingleFlight
from vitrine.embedding.tokenizer import TokenIds
from vitrine.settings import Settings
from vitrine.telemetry.metrics import CacheOutcome, EmbeddingCacheMetrics, QueryKind
from vitrine.telemetry.spans import annotate, recording
from vitrine.telemetry.stages import Stage, StageClock

# Hashed on the spot up to this size (a quarter of a millisecond); larger pictures go to the threads that decode, so
# that the event loop serves others meanwhile.
_HASHED_AT_ONCE_BYTES: Final = 256 * 1024

Content = TypeVar("Content", str, bytes)


class CachingEncoder(Encoder):
    """An `Encoder` that embeds each text and each picture of a query once while it is remembered.

    What is remembered is given without a word to Triton, and also without asking again which model Triton serves: an
    embedding stands under the fingerprint of the contract it was made by, at a time when that was the model served.
    Whatever is served now, it stays the right vector for a collection of that fingerprint, and a search compares its
    collection's each time.
    """

    def __init__(self, parts: EncoderParts, settings: Settings, metrics: EmbeddingCacheMetrics) -> None:
        super().__init__(parts, settings)
        self._metrics = metrics
        self._cache = EmbeddingCache(settings.cache, metrics)
        self._embedding_texts: SingleFlight[str, Embedded] = SingleFlight()
        self._decoding: SingleFlight[bytes, Pixels] = SingleFlight()
        self._embedding_pictures: SingleFlight[bytes, Embedded] = SingleFlight()

    async def encode_texts(self, texts: Sequence[str], deadline: Deadline, clock: StageClock) -> EncodedTexts:
        """As `Encoder.encode_texts`; the stage `embed` is absent when all were remembered.

        Texts are told apart after cleaning, which must be done to check them anyway. By their token ids hardly more of
        them would be equal, and a look-up would cost ten times as much.
        """
        with clock.stage(Stage.TOKENIZE):
            cleaned = self._checked(texts)
            found = self._remembered(QueryKind.TEXT, cleaned, self._embedding_texts)
            # One by one: a text's embedding must not depend on the fate of its neighbours. The joiner sends those of
            # one length together.
            works = {
                text: partial(self._embed_text, text, self._tokenizer.encode_cleaned(text))
                for text in cleaned
                if text not in found
            }
        if works:
            with clock.stage(Stage.EMBED):
                found |= await self._embedding_texts.run(works, deadline, "waiting for the embedding of a text")
        embedded = [found[text] for text in cleaned]
        return EncodedTexts(
            _stacked(embedded),
            truncated=tuple(one.truncated for one in embedded),
            tokens=tuple(one.tokens for one in embedded),
        )

    async def encode_images(self, pictures: Sequence[bytes], deadline: Deadline, clock: StageClock) -> Vectors:
        """As `Encoder.encode_images`; `decode` and `embed` are absent when all were remembered."""
        names = [await self._name_of(picture) for picture in pictures]
        found = self._remembered(QueryKind.IMAGE, names, self._decoding, self._embedding_pictures)
        absent = {name: data for name, data in zip(names, pictures, strict=True) if name not in found}
        if absent:
            with clock.stage(Stage.DECODE):
                decodes = {name: partial(self.decode, data) for name, data in absent.items()}
                pixels = await self._decoding.run(decodes, deadline, "decoding the picture")
            works = {name: partial(self._embed_picture, name, pixels[name]) for name in absent}
            with clock.stage(Stage.EMBED):
                found |= await self._embedding_pictures.run(works, deadline, "waiting for the embedding of a picture")
        return _stacked([found[name] for name in names])

    def _remembered(
        self, kind: QueryKind, contents: Sequence[Content], *under_way: Container[Content]
    ) -> dict[Content, Embedded]:
        """Those that are in the cache. Counts each by what becomes of it."""
        found: dict[Content, Embedded] = {}
        absent: set[Content] = set()
        for content in contents:
            kept = self._cache.get((self.contract.fingerprint, content))
            if kept is not None:
                found[content] = kept
                outcome = CacheOutcome.HIT
            elif content in absent or any(content in flights for flights in under_way):
                outcome = CacheOutcome.COALESCED
            else:
                absent.add(content)
                outcome = CacheOutcome.MISS
            self._metrics.outcomes[kind, outcome].inc()
        if recording() is not None:
            annotate(
                {"vitrine.cache.asked": len(contents), "vitrine.cache.hits": sum(one in found for one in contents)}
            )
        return found

    async def _embed_text(self, text: str, tokens: TokenIds, deadline: Deadline) -> Embedded:
        (vector,) = await self._embed_tokens([tokens], deadline)
        key = (self.contract.fingerprint, text)
        return self._cache.keep(key, vector, tokens=tokens.ids.size, truncated=tokens.truncated)

    async def _embed_picture(self, name: bytes, pixels: Pixels, deadline: Deadline) -> Embedded:
        key = (self.contract.fingerprint, name)
        # Embedded by somebody else while this one was decoded.
        kept = self._cache.get(key)
        if kept is not None:
            return kept
        (vector,) = await self.encode_pixels(pixels[np.newaxis], deadline)
        return self._cache.keep(key, vector)

    async def _name_of(self, picture: bytes) -> bytes:
        """The sha256 of a picture as it was sent: 32 bytes."""
        if len(picture) <= _HASHED_AT_ONCE_BYTES:
            return _sha256(picture)
        return await asyncio.get_running_loop().run_in_executor(self._decode_pool, _sha256, picture)


@asynccontextmanager
async def open_caching_encoder(settings: Settings, metrics: EmbeddingCacheMetrics) -> AsyncIterator[CachingEncoder]:
    """Builds an encoder of queries and closes it afterwards. Does not need Triton to be up.

    Raises:
        ModelInvalid: the model repository's contract or tokenizer cannot be read.
    """
    async with encoder_parts(settings) as parts:
        yield CachingEncoder(parts, settings, metrics)


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _stacked(embedded: Sequence[Embedded]) -> Vectors:
    """float32 [n, dim], read-only; a lone one is not copied."""
    vectors = embedded[0].vector[np.newaxis] if len(embedded) == 1 else np.stack([one.vector for one in embedded])
    vectors.setflags(write=False)
    return vectors
