"""A full-size ViT-B/32 from checkpoint folder to vectors through a real Triton, against transformers in the same test.

The weights are random (nothing is downloaded); sizes, vocabulary and cost are those of the real model.
"""

import asyncio
import re
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.fixtures.stack import RunningStack, settings_on_free_ports
from vitrine.domain import Deadline, Vectors
from vitrine.embedding.contract import ModelContract
from vitrine.embedding.encoder import Encoder, open_encoder
from vitrine.embedding.tokenizer import Tokenizer
from vitrine.models.agreement import reference_images, reference_texts, sample_pixels
from vitrine.models.checkpoint import Checkpoint, load_checkpoint
from vitrine.models.export import ExportReport, export
from vitrine.models.random_clip import SHOP_WORDS, write_random_clip
from vitrine.settings import Settings
from vitrine.telemetry.stages import StageClock

pytestmark = pytest.mark.export

WORDS = SHOP_WORDS.split()
IN_FLIGHT = 64
COUNTED_S = 5.0
QUERIES = 640


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("full-size")


@pytest.fixture(scope="module")
def checkpoint_folder(folder: Path) -> Path:
    return write_random_clip(folder / "vit-b-32", size="vit-b-32", seed=1)


@pytest.fixture(scope="module")
def report(folder: Path, checkpoint_folder: Path) -> ExportReport:
    return export(checkpoint_folder, folder / "repository")


@pytest.fixture(scope="module")
def checkpoint(checkpoint_folder: Path) -> Checkpoint:
    return load_checkpoint(checkpoint_folder)


@pytest.fixture(scope="module")
def served(folder: Path, report: ExportReport) -> Iterator[Settings]:
    """Settings that lead to a Triton with the exported repository."""
    stack = RunningStack(settings_on_free_ports(folder / "state", report.output), folder / "state")
    stack.state_dir.mkdir()
    stack.triton.start()
    try:
        stack.triton.wait_ready()
        yield stack.settings
    finally:
        stack.triton.stop()


def sentences(words: int) -> list[str]:
    """Eight different texts of so many words, each word one token."""
    rng = np.random.default_rng(words)
    return [" ".join(rng.choice(WORDS, words)) for _ in range(8)]


def tokenized_by_transformers(folder: Path, texts: list[str], context: int) -> np.ndarray:
    """int32 [n, context], by the checkpoint's own tokenizer and padding."""
    from transformers import CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(str(folder))
    encoded = tokenizer(texts, padding="max_length", max_length=context, truncation=True)
    return np.array(encoded["input_ids"], np.int32)


def through_triton(settings: Settings, ask: Callable[[Encoder], object]) -> Vectors:
    async def run() -> Vectors:
        async with open_encoder(settings) as encoder:
            await encoder.check_contract(Deadline.after(10))
            return await ask(encoder)

    return asyncio.run(run())


def require_agreement(answers: Vectors, expected: Vectors) -> None:
    cosines = (answers * expected).sum(axis=1) / np.linalg.norm(answers, axis=1) / np.linalg.norm(expected, axis=1)
    print(f"max difference {np.abs(answers - expected).max():.1e}, worst cosine {cosines.min():.8f}")
    assert np.abs(answers - expected).max() <= 1e-5
    assert cosines.min() >= 0.999999


@pytest.mark.parametrize(("words", "bucket"), [(1, 4), (4, 6), (6, 8), (12, 16), (25, 32), (60, 77), (100, 77)])
def test_texts_through_triton_equal_transformers(
    served: Settings, checkpoint: Checkpoint, checkpoint_folder: Path, words: int, bucket: int
) -> None:
    texts = sentences(words)
    tokenizer = Tokenizer.load(served.model.repository, ModelContract.load(served.model.repository))
    lengths = {len(tokens.ids) for tokens in tokenizer.encode(texts)}
    assert {next(one for one in tokenizer.buckets if one >= length) for length in lengths} == {bucket}

    async def ask(encoder: Encoder) -> Vectors:
        together = await encoder.encode_texts(texts, Deadline.after(60), StageClock())
        alone = await encoder.encode_texts(texts[:1], Deadline.after(60), StageClock())
        assert together.truncated == (words > 75,) * len(texts)
        return np.concatenate([together.vectors, alone.vectors])

    ids = tokenized_by_transformers(checkpoint_folder, texts, checkpoint.context_length)
    expected = reference_texts(checkpoint, ids)
    require_agreement(through_triton(served, ask), np.concatenate([expected, expected[:1]]))


def test_pictures_through_triton_equal_transformers(served: Settings, checkpoint: Checkpoint) -> None:
    pixels = sample_pixels(224, seed=5)

    async def ask(encoder: Encoder) -> Vectors:
        together = await encoder.encode_pixels(pixels, Deadline.after(60))
        alone = await encoder.encode_pixels(pixels[:1], Deadline.after(60))
        return np.concatenate([together, alone])

    expected = reference_images(checkpoint, pixels)
    require_agreement(through_triton(served, ask), np.concatenate([expected, expected[:1]]))


def test_the_export_says_how_well_it_agrees(report: ExportReport) -> None:
    assert report.text.agreement.compared == 6 * 16
    assert report.image.agreement.compared == 16
    assert max(report.text.agreement.max_difference, report.image.agreement.max_difference) <= 1e-5
    assert report.text.bytes > 250e6
    assert report.image.bytes > 350e6


def test_batches_form_at_64_searches_in_flight(served: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(9)
    queries = [" ".join(rng.choice(WORDS, rng.integers(1, 9))) for _ in range(QUERIES)]

    async def ask(encoder: Encoder) -> Vectors:
        waiting = iter(queries)

        async def caller() -> None:
            for query in waiting:
                await encoder.encode_texts([query], Deadline.after(60), StageClock())

        await asyncio.gather(*(caller() for _ in range(IN_FLIGHT)))
        return np.empty((0, 0), np.float32)

    before, began = counters(served), time.perf_counter()
    through_triton(served, ask)
    seconds, after = time.perf_counter() - began, settled(served, before[0] + QUERIES)
    rows, runs = (now - then for now, then in zip(after, before, strict=True))
    with capsys.disabled():
        print(f" {rows} texts in {runs} runs, mean batch {rows / runs:.1f}, {rows / seconds:.0f} texts/s ", end="")
    assert rows == QUERIES
    assert rows / runs > 4


def settled(settings: Settings, rows: int) -> tuple[int, int]:
    """The counters once they have come to so many rows: Triton counts a run after it has answered."""
    until = time.monotonic() + COUNTED_S
    while (found := counters(settings))[0] < rows and time.monotonic() < until:
        time.sleep(0.05)
    return found


def counters(settings: Settings) -> tuple[int, int]:
    """Rows and runs of clip_text so far, as Triton counts them."""
    url = f"http://127.0.0.1:{settings.local.triton_metrics_port}/metrics"
    with urllib.request.urlopen(url, timeout=10) as answer:
        text = answer.read().decode()
    rows, runs = (
        sum(float(value) for value in re.findall(rf'^{name}{{model="clip_text".*}} (\S+)$', text, re.MULTILINE))
        for name in ("nv_inference_count", "nv_inference_exec_count")
    )
    return int(rows), int(runs)
