"""Does an exported graph say what the checkpoint says? Asked of the very file that is to be served."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from vitrine.domain import Pixels, Vectors
from vitrine.models.checkpoint import Checkpoint

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

Ids: TypeAlias = npt.NDArray[np.int32]
BATCH = 8
LENGTH_TOLERANCE = 1e-5
"""Of a unit vector's length, in every precision: scores are inner products and must be cosines."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far the graph's unit vectors are from the reference's.

    Args:
        max_difference: largest absolute difference of any number of any vector.
        mean_cosine: between the two vectors of the same input; `min_cosine` is the worst.
        length_error: how far the length of any of the graph's vectors is from 1.
        compared: vectors compared.
        milliseconds: of one call with one row, by case ("8 tokens", "224 px"), on the machine that exported.
    """

    max_difference: float
    mean_cosine: float
    min_cosine: float
    length_error: float
    compared: int
    milliseconds: dict[str, float]

    def __str__(self) -> str:
        return (
            f"max difference {self.max_difference:.1e}, cosine mean {self.mean_cosine:.7f} "
            f"and worst {self.min_cosine:.7f}, length off by {self.length_error:.1e}, over {self.compared} vectors"
        )


@dataclass(frozen=True, slots=True)
class Tolerance:
    """The least agreement that may be served."""

    max_difference: float
    mean_cosine: float
    min_cosine: float

    def accepts(self, found: Agreement) -> bool:
        # Written so that NaN, which compares false with everything, is refused.
        return (
            found.max_difference <= self.max_difference
            and found.mean_cosine >= self.mean_cosine
            and found.min_cosine >= self.min_cosine
            and found.length_error <= LENGTH_TOLERANCE
        )

    def __str__(self) -> str:
        return (
            f"max difference <= {self.max_difference:g}, cosine mean >= {self.mean_cosine:g} "
            f"and worst >= {self.min_cosine:g}"
        )


TOLERANCES = {
    "fp32": Tolerance(max_difference=1e-5, mean_cosine=0.999999, min_cosine=0.999999),
    "fp16": Tolerance(max_difference=5e-3, mean_cosine=0.9999, min_cosine=0.9995),
    "int8": Tolerance(max_difference=5e-2, mean_cosine=0.999, min_cosine=0.99),
}


def text_agreement(checkpoint: Checkpoint, graph: Path, buckets: tuple[int, ...], *, seed: int = 0) -> Agreement:
    """Compares texts of every length class, each padded to its bucket, in batches of 8 and one by one.

    The reference sees the same texts padded to the whole context as the checkpoint's own tokenizer pads.
    """
    session = open_graph(graph)
    shorter = (1, *buckets)
    cases = []
    for least, bucket in zip(shorter, buckets, strict=False):
        texts = random_texts(checkpoint, least + 1, bucket, seed=seed + bucket)
        # Odd rows are padded with another id than even ones: what stands behind the end of text must not matter.
        padded = [pad(texts[row : row + 1], bucket, (checkpoint.end_id, 0)[row % 2]) for row in range(BATCH)]
        expected = reference_texts(checkpoint, pad(texts, checkpoint.context_length, checkpoint.pad_id))
        cases.append((f"{bucket} tokens", np.concatenate(padded), expected))
    return _compare(session, "input_ids", cases)


def image_agreement(checkpoint: Checkpoint, graph: Path, *, seed: int = 0) -> Agreement:
    """Compares noise, smooth pictures and plain ones, in a batch of 8 and one by one."""
    pixels = sample_pixels(checkpoint.policy.size, seed=seed)
    case = (f"{checkpoint.policy.size} px", pixels, reference_images(checkpoint, pixels))
    return _compare(open_graph(graph), "pixels", [case])


def random_texts(checkpoint: Checkpoint, least: int, most: int, *, seed: int) -> list[list[int]]:
    """Eight texts of random ordinary tokens between begin and end; the lengths, both included, span least to most."""
    rng = np.random.default_rng(seed)
    special = {checkpoint.begin_id, checkpoint.end_id}
    ordinary = np.array(sorted(set(checkpoint.vocabulary.values()) - special))
    lengths = np.linspace(max(2, least), most, BATCH).round().astype(int)
    return [[checkpoint.begin_id, *map(int, rng.choice(ordinary, length - 2)), checkpoint.end_id] for length in lengths]


def pad(texts: list[list[int]], length: int, pad_id: int) -> Ids:
    """int32 [n, length]."""
    return np.array([text + [pad_id] * (length - len(text)) for text in texts], np.int32)


def sample_pixels(size: int, *, seed: int) -> Pixels:
    """uint8 [8, size, size, 3]: two of pixel noise, four smooth ones of rising detail, one black, one white."""
    rng = np.random.default_rng(seed)
    pictures = [rng.uniform(0, 255, (size, size, 3)) for _ in range(2)]
    for cells in (2, 4, 7, 14):
        coarse = rng.uniform(0, 255, (cells, cells, 3))
        at = np.linspace(0, cells - 1, size)
        low = np.floor(at).astype(int)
        high, part = np.minimum(low + 1, cells - 1), at - low
        rows = coarse[low] * (1 - part)[:, None, None] + coarse[high] * part[:, None, None]
        pictures.append(rows[:, low] * (1 - part)[:, None] + rows[:, high] * part[:, None])
    pictures += [np.zeros((size, size, 3)), np.full((size, size, 3), 255)]
    return np.stack(pictures).round().astype(np.uint8)


def reference_texts(checkpoint: Checkpoint, ids: Ids) -> Vectors:
    """transformers' own answer for int32 [n, context], as float32 [n, dim] of unit length."""
    import torch

    with torch.inference_mode():
        return _unit(checkpoint.model.get_text_features(input_ids=torch.from_numpy(ids).long()))


def reference_images(checkpoint: Checkpoint, pixels: Pixels) -> Vectors:
    """transformers' own answer for uint8 [n, size, size, 3], as float32 [n, dim] of unit length."""
    import torch

    policy = checkpoint.policy
    scaled = (torch.from_numpy(pixels).float() / 255 - torch.tensor(policy.mean)) / torch.tensor(policy.std)
    with torch.inference_mode():
        return _unit(checkpoint.model.get_image_features(pixel_values=scaled.permute(0, 3, 1, 2)))


def open_graph(path: Path) -> "InferenceSession":
    """The ONNX file in a session on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # Waiting threads that spin would slow down whatever else runs here, and on a busy machine the check itself.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _unit(features: Any) -> Vectors:
    # transformers 4 answers the tensor itself, transformers 5 an object that holds it.
    tensor = getattr(features, "pooler_output", features)
    return np.asarray((tensor / tensor.norm(dim=-1, keepdim=True)).numpy(), np.float32)


def _compare(session: "InferenceSession", name: str, cases: list[tuple[str, Any, Vectors]]) -> Agreement:
    def run(rows: Any) -> Vectors:
        return np.asarray(session.run(["embedding"], {name: rows})[0], np.float32)

    found, expected, milliseconds = [], [], {}
    for label, rows, reference in cases:
        found += [run(rows), *(run(rows[index : index + 1]) for index in range(len(rows)))]
        expected += [reference, reference]
        milliseconds[label] = min(_times(run, rows[:1])) * 1000
    answers, references = (np.concatenate(part).astype(np.float64) for part in (found, expected))
    lengths = np.linalg.norm(answers, axis=1)
    cosines = (answers * references).sum(axis=1) / (lengths * np.linalg.norm(references, axis=1))
    return Agreement(
        max_difference=float(np.abs(answers - references).max()),
        mean_cosine=float(cosines.mean()),
        min_cosine=float(cosines.min()),
        length_error=float(np.abs(lengths - 1).max()),
        compared=len(cosines),
        milliseconds=milliseconds,
    )


def _times(run: Callable[[Any], Vectors], rows: Any) -> Iterator[float]:
    for _ in range(5):
        began = time.perf_counter()
        run(rows)
        yield time.perf_counter() - began
