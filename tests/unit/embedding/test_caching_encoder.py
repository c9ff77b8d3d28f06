"""Which queries reach Triton, with a Triton that counts and answers when the test says so."""

import asyncio
import io
from collections.abc import Awaitable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image

from vitrine.domain import Deadline, Pixels, Vectors
from vitrine.embedding.caching_encoder import CachingEncoder
from vitrine.embedding.contract import ModelContract
from vitrine.embedding.encoder import EncodedTexts, EncoderParts
from vitrine.embedding.text_joiner import Ids
from vitrine.embedding.tokenizer import Tokenizer
from vitrine.embedding.triton import TritonClient
from vitrine.errors import (
    ContractMismatch,
    DeadlineExceeded,
    EncoderUnavailable,
    ImageCorrupt,
    QueryEmpty,
    TextMalformed,
)
from vitrine.settings import CacheSettings, Settings
from vitrine.telemetry.metrics import GatewayMetrics
from vitrine.telemetry.stages import Stage, StageClock


class Triton:
    """Unit vectors that depend on the input alone; every call is noted and waits for the gate."""

    def __init__(self, fingerprint: str, dimension: int) -> None:
        self.fingerprint = fingerprint
        self.dimension = dimension
        self.texts: list[Ids] = []
        self.pictures: list[Pixels] = []
        self.asked_for_model = 0
        self.gate, self.picture_came = asyncio.Event(), asyncio.Event()
        self.gate.set()
        self.error: Exception | None = None

    async def infer_text(self, ids: Ids, deadline: Deadline) -> Vectors:
        self.texts.append(ids)
        return await self._answer(ids)

    async def infer_image(self, pixels: Pixels, deadline: Deadline) -> Vectors:
        self.pictures.append(pixels)
        self.picture_came.set()
        return await self._answer(pixels)

    async def fingerprints(self, deadline: Deadline) -> dict[str, str | None]:
        self.asked_for_model += 1
        return {"clip_text": self.fingerprint, "clip_image": self.fingerprint}

    async def _answer(self, inputs: "np.ndarray[Any, Any]") -> Vectors:
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        rows = [np.random.default_rng(list(row.tobytes())).normal(size=self.dimension) for row in inputs]
        return np.stack([row / np.linalg.norm(row) for row in rows]).astype(np.float32)


class Bench:
    """A caching encoder before such a Triton."""

    def __init__(self, repository: Path, pool: ThreadPoolExecutor, **cache: Any) -> None:
        contract = ModelContract.load(repository)
        self.triton = Triton(contract.fingerprint, contract.dimension)
        self.metrics = GatewayMetrics("1", (), (), ())
        self.encoder = CachingEncoder(
            EncoderParts(contract, Tokenizer.load(repository, contract), cast("TritonClient", self.triton), pool),
            Settings(cache=CacheSettings(**cache)),
            self.metrics.embedding_cache,
        )
        self.clock = StageClock()

    def texts(self, *texts: str, seconds: float = 30) -> "asyncio.Task[EncodedTexts]":
        return asyncio.create_task(_run(self.encoder.encode_texts(texts, Deadline.after(seconds), self.clock)))

    def images(self, *pictures: bytes, seconds: float = 30) -> "asyncio.Task[Vectors]":
        clock = StageClock()
        return asyncio.create_task(_run(self.encoder.encode_images(pictures, Deadline.after(seconds), clock)))

    def counted(self, kind: str) -> tuple[int, ...]:
        """Hits, misses, coalesced."""
        values = (
            self.metrics.registry.get_sample_value(
                "vitrine_embedding_cache_requests_total", {"kind": kind, "outcome": outcome}
            )
            for outcome in ("hit", "miss", "coalesced")
        )
        return tuple(int(value or 0) for value in values)


async def _run(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


@pytest.fixture
async def bench(model_repository: Path, pool: ThreadPoolExecutor) -> Bench:
    return Bench(model_repository, pool)


def picture(colour: str, *, size: int = 32) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (size, size), colour).save(stream, "PNG")
    return stream.getvalue()


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def until_a_picture_came(triton: Triton) -> None:
    """Its way there leads through threads."""
    async with asyncio.timeout(10):
        await triton.picture_came.wait()


async def test_a_text_is_embedded_once(bench: Bench) -> None:
    first, second = await bench.texts("red dress"), await bench.texts("red dress")
    np.testing.assert_array_equal(first.vectors, second.vectors)
    assert (first.truncated, first.tokens) == (second.truncated, second.tokens)
    assert len(bench.triton.texts) == 1
    assert bench.counted("text") == (1, 1, 0)


async def test_spellings_that_clean_to_one_text_share_its_embedding(bench: Bench) -> None:
    await bench.texts("red & blue")
    for spelling in ("  Red   &\tBLUE ", "red &amp; blue", "red &amp;amp; blue"):
        await bench.texts(spelling)
    assert len(bench.triton.texts) == 1
    await bench.texts("blue & red")
    assert len(bench.triton.texts) == 2


async def test_vectors_are_those_of_an_encoder_without_memory(bench: Bench) -> None:
    texts = ["red dress", "x " * 200, "Röd klänning", "red dress", "a rather long text of more than eight ids, or so"]
    plain = await super(CachingEncoder, bench.encoder).encode_texts(texts, Deadline.after(30), StageClock())
    for _ in range(2):
        remembered = await bench.texts(*texts)
        np.testing.assert_array_equal(remembered.vectors, plain.vectors)
        assert (remembered.truncated, remembered.tokens) == (plain.truncated, plain.tokens)
    assert plain.truncated == (False, True, False, False, False)
    assert plain.tokens[1] == bench.encoder.contract.context_length


async def test_a_remembered_text_needs_no_triton_and_no_word_with_it(bench: Bench) -> None:
    await bench.texts("red dress")
    bench.triton.error = EncoderUnavailable("down")
    bench.triton.fingerprint = "0" * 64
    bench.encoder._agreed_until = 0.0
    asked = bench.triton.asked_for_model
    assert (await bench.texts("red dress")).vectors.shape == (1, bench.encoder.contract.dimension)
    assert (bench.triton.asked_for_model, len(bench.triton.texts)) == (asked, 1)
    with pytest.raises(ContractMismatch):
        await bench.texts("blue dress")


async def test_what_a_hit_costs_is_not_told_as_embedding(bench: Bench) -> None:
    await bench.texts("red dress")
    bench.clock = StageClock()
    await bench.texts("red dress")
    assert set(bench.clock.seconds) == {Stage.TOKENIZE}
    await bench.texts("red dress", "blue dress")
    assert set(bench.clock.seconds) == {Stage.TOKENIZE, Stage.EMBED}


async def test_equal_texts_at_the_same_time_are_embedded_once(bench: Bench) -> None:
    bench.triton.gate.clear()
    asked = [bench.texts("red dress") for _ in range(10)]
    await settle()
    asked.append(bench.texts("RED DRESS", "blue dress", "blue  dress"))
    await settle()
    bench.triton.gate.set()
    answers = await asyncio.gather(*asked)
    assert sum(len(ids) for ids in bench.triton.texts) == 2
    assert bench.counted("text") == (0, 2, 11)
    assert all(np.array_equal(answer.vectors[0], answers[0].vectors[0]) for answer in answers)
    assert np.array_equal(answers[-1].vectors[1], answers[-1].vectors[2])


async def test_new_texts_of_one_request_travel_together(bench: Bench) -> None:
    await bench.texts("t3")
    bench.triton.texts.clear()
    await bench.texts(*(f"t{n}" for n in range(20)))
    assert [len(ids) for ids in bench.triton.texts] == [19]


async def test_an_error_is_told_to_all_and_not_kept(bench: Bench) -> None:
    bench.triton.gate.clear()
    bench.triton.error = EncoderUnavailable("down")
    asked = [bench.texts("red dress") for _ in range(3)]
    await settle()
    bench.triton.gate.set()
    outcomes = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [EncoderUnavailable] * 3
    bench.triton.error = None
    assert (await bench.texts("red dress")).vectors.shape[0] == 1


async def test_one_who_leaves_does_not_take_the_embedding_along(bench: Bench) -> None:
    bench.triton.gate.clear()
    first, second = bench.texts("red dress"), bench.texts("red dress")
    await settle()
    first.cancel()
    with pytest.raises(DeadlineExceeded):
        await bench.texts("red dress", seconds=0.02)
    bench.triton.gate.set()
    assert (await second).vectors.shape[0] == 1
    assert len(bench.triton.texts) == 1


async def test_an_embedding_that_came_after_all_had_left_is_not_waited_for(bench: Bench) -> None:
    bench.triton.gate.clear()
    alone = bench.texts("red dress")
    await settle()
    alone.cancel()
    await asyncio.wait([alone])
    later = bench.texts("red dress")
    await settle()
    bench.triton.gate.set()
    assert (await later).vectors.shape[0] == 1
    assert bench.counted("text") == (0, 2, 0)


async def test_without_room_every_text_is_embedded_but_still_once_at_a_time(
    model_repository: Path, pool: ThreadPoolExecutor
) -> None:
    bench = Bench(model_repository, pool, max_bytes=0)
    for _ in range(2):
        await asyncio.gather(bench.texts("red dress"), bench.texts("red dress"))
    assert bench.counted("text") == (0, 2, 2)
    assert len(bench.triton.texts) == 2


@pytest.mark.parametrize(
    ("bad", "error"), [(" \u200b ", QueryEmpty), ("a\0b", TextMalformed), ("\ud800", TextMalformed)]
)
async def test_a_text_that_is_refused_is_named_and_costs_no_call(
    bench: Bench, bad: str, error: type[QueryEmpty | TextMalformed]
) -> None:
    with pytest.raises(error) as raised:
        await bench.texts("red dress", bad)
    assert raised.value.details["index"] == 1
    with pytest.raises(error) as raised:
        await bench.texts(bad)
    assert "index" not in raised.value.details
    assert bench.triton.texts == []


async def test_vectors_cannot_be_written(bench: Bench) -> None:
    for _ in range(2):
        for vectors in ((await bench.texts("red")).vectors, (await bench.texts("red", "blue")).vectors):
            with pytest.raises(ValueError, match="read-only"):
                vectors[0, 0] = 1


# --- pictures


async def test_a_picture_is_embedded_once(bench: Bench) -> None:
    red, blue = picture("red"), picture("blue")
    first = await bench.images(red)
    second = await bench.images(blue, red, red)
    np.testing.assert_array_equal(second[1], first[0])
    np.testing.assert_array_equal(second[1], second[2])
    assert not np.array_equal(second[0], second[1])
    assert len(bench.triton.pictures) == 2
    assert bench.counted("image") == (2, 2, 0)
    assert bench.counted("text") == (0, 0, 0)


async def test_a_large_picture_has_its_name_from_a_thread(bench: Bench) -> None:
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (400, 400, 3), np.uint8)).save(stream, "PNG")
    large = stream.getvalue()
    assert len(large) > 256 * 1024
    np.testing.assert_array_equal(await bench.images(large), await bench.images(large))
    assert bench.counted("image") == (1, 1, 0)


async def test_equal_pictures_at_the_same_time_are_decoded_and_embedded_once(bench: Bench) -> None:
    decoded: list[bytes] = []
    plain = bench.encoder.prepare
    bench.encoder.prepare = lambda data: decoded.append(data) or plain(data)  # type: ignore[func-returns-value, method-assign]
    bench.triton.gate.clear()
    asked = [bench.images(picture("red")) for _ in range(4)]
    await until_a_picture_came(bench.triton)
    late = bench.images(picture("red"))
    await settle()
    bench.triton.gate.set()
    answers = await asyncio.gather(*asked, late)
    assert len(bench.triton.pictures) == 1
    assert all(np.array_equal(answer, answers[0]) for answer in answers)
    assert bench.counted("image") == (0, 1, 4)
    assert 1 <= len(decoded) <= 2, "the late one may decode for itself"


async def test_a_damaged_picture_spares_those_who_ask_for_its_neighbour(bench: Bench) -> None:
    bench.triton.gate.clear()
    both = bench.images(picture("red"), picture("blue")[:60])
    good = bench.images(picture("red"))
    await until_a_picture_came(bench.triton)
    bench.triton.gate.set()
    outcomes = await asyncio.gather(both, good, return_exceptions=True)
    assert isinstance(outcomes[0], ImageCorrupt)
    assert isinstance(outcomes[1], np.ndarray)
    with pytest.raises(ImageCorrupt):
        await bench.images(picture("blue")[:60])


async def test_what_the_indexer_does_is_not_remembered(bench: Bench) -> None:
    pixels = bench.encoder.prepare(picture("red"))
    for _ in range(2):
        await bench.encoder.encode_pixels(pixels[np.newaxis], Deadline.after(30))
    assert len(bench.triton.pictures) == 2
    assert bench.metrics.registry.get_sample_value("vitrine_embedding_cache_entries") == 0
