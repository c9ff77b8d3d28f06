"""From a CLIP checkpoint to a model repository that Triton serves: `vitrine model export`.

Everything is built and checked in a folder beside the output and moved there by one rename, so that what lies at the
output is always a whole repository that agreed with its checkpoint.
"""

import logging
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from vitrine.embedding.contract import (
    CONTRACT_FILE,
    IMAGE_MODEL,
    TEXT_MODEL,
    TOKENIZER_FILE,
    ModelContract,
    sha256_of,
)
from vitrine.embedding.tokenizer import build_tokenizer_json
from vitrine.errors import ModelInvalid
from vitrine.models.agreement import TOLERANCES, Agreement, image_agreement, text_agreement
from vitrine.models.checkpoint import Checkpoint, load_checkpoint
from vitrine.models.graph import LARGEST_FILE, Linear
from vitrine.models.precision import CANDIDATES
from vitrine.models.reduced_text import reduced_text_graph
from vitrine.models.towers import image_graph, text_graph
from vitrine.models.triton_config import Serving, image_config, text_config

if TYPE_CHECKING:
    import onnx

Precision = Literal["fp32", "fp16", "int8"]

IMAGE_POLICY: Literal[1, 2] = 2
"""What a new repository gets: scaled decoding of large JPEGs (docs/image-policy.md)."""
BUCKETS = (4, 6, 8, 16, 32, 77)
"""Most queries are of one to four words, 3 to 6 tokens: see docs/adr/0002-text-buckets.md."""
OWN_ENTRIES = (TEXT_MODEL, IMAGE_MODEL, CONTRACT_FILE, TOKENIZER_FILE)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Part:
    """One exported graph: its size, how it multiplies, and how well it agrees with the checkpoint."""

    bytes: int
    variant: str
    agreement: Agreement


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What was written, with the figures of the check it passed."""

    output: Path
    contract: ModelContract
    text: Part
    image: Part
    seconds: float


def export(
    source: str | Path,
    output: Path,
    *,
    precision: Precision = "fp32",
    image_policy: Literal[1, 2] = IMAGE_POLICY,
    serving: Serving | None = None,
    model_name: str | None = None,
    revision: str | None = None,
    force: bool = False,
) -> ExportReport:
    """Writes a model repository: two ONNX graphs with their config.pbtxt, tokenizer.json, contract.json.

    Args:
        source: checkpoint folder of the transformers format, or a hub id such as openai/clip-vit-base-patch32.
        output: folder to write; must not hold a repository yet unless `force`. Other files in it (a README) are kept.
        precision: "fp32"; "fp16" for GPUs; "int8" for CPUs.
        image_policy: version of docs/image-policy.md; 1 gives the fingerprints of repositories that were made before.
        serving: how Triton runs it; the CPU profile by default.
        model_name: name recorded in the contract; the hub id or the folder's name by default.
        revision: branch, tag or commit on the hub.
        force: replace a repository that is there.

    Raises:
        ModelInvalid: the checkpoint cannot be used, the output is taken, or a graph does not agree with the checkpoint
            within `TOLERANCES` or, for int8, gives numbers that are not finite. Nothing is at `output` then that was
            not there before.
    """
    began = time.perf_counter()
    serving = serving or Serving()
    if precision == "int8" and serving.profile == "gpu":
        raise ModelInvalid("int8 is for CPUs: a GPU has no kernels for its operators. Use fp16 with the gpu profile.")
    _require_free(output, force)
    checkpoint = load_checkpoint(source, revision=revision)
    checkpoint = replace(checkpoint, policy=checkpoint.policy.model_copy(update={"policy": image_policy}))
    buckets = text_buckets(checkpoint.context_length)
    with _build_folder(output) as build:
        (build / TOKENIZER_FILE).write_text(
            build_tokenizer_json(checkpoint.vocabulary, checkpoint.merges), encoding="utf-8"
        )
        text = _write_graph(
            build / TEXT_MODEL,
            precision,
            reduced_text_graph(checkpoint) if precision == "int8" else lambda linear: text_graph(checkpoint, linear),
            lambda path: text_agreement(checkpoint, path, buckets),
        )
        image = _write_graph(
            build / IMAGE_MODEL,
            precision,
            lambda linear: image_graph(checkpoint, linear),
            lambda path: image_agreement(checkpoint, path),
        )
        contract = _contract(build, checkpoint, precision, buckets, model_name or checkpoint.name)
        contract.write(build)
        (build / TEXT_MODEL / "config.pbtxt").write_text(text_config(contract, serving), encoding="utf-8")
        (build / IMAGE_MODEL / "config.pbtxt").write_text(image_config(contract, serving), encoding="utf-8")
        ModelContract.load(build).verify_weights(build)
        _install(build, output)
    return ExportReport(output, contract, text, image, time.perf_counter() - began)


def text_buckets(context_length: int) -> tuple[int, ...]:
    """Lengths that texts are padded to; the last is the context length."""
    return (*(length for length in BUCKETS if length < context_length), context_length)


def _write_graph(
    folder: Path,
    precision: Precision,
    build: Callable[[Linear], "onnx.ModelProto"],
    agree: Callable[[Path], Agreement],
) -> Part:
    """Writes `folder`/1/model.onnx with the first variant of the precision that agrees with the reference."""
    path = folder / "1" / "model.onnx"
    path.parent.mkdir(parents=True)
    tolerance = TOLERANCES[precision]
    refused = []
    for linear in CANDIDATES[precision]:
        model = build(linear)
        size = model.ByteSize()
        if size > LARGEST_FILE:
            raise ModelInvalid(
                f"{folder.name} would have {size:,} bytes; an ONNX file ends at 2 GiB. Try fp16 or int8."
            )
        path.write_bytes(model.SerializeToString(deterministic=True))
        found = agree(path)
        variant = linear.label
        if tolerance.accepts(found):
            return Part(size, variant, found)
        logger.warning("%s as %s is refused: %s", folder.name, variant, found)
        refused.append(f"{variant}: {found}")
    raise ModelInvalid(
        f"{folder.name} in {precision} does not agree with the checkpoint: {'; '.join(refused)}; required: {tolerance}."
    )


def _contract(
    build: Path, checkpoint: Checkpoint, precision: Precision, buckets: tuple[int, ...], name: str
) -> ModelContract:
    return ModelContract(
        model=name,
        precision=precision,
        text_weights_sha256=sha256_of(build / TEXT_MODEL / "1" / "model.onnx"),
        image_weights_sha256=sha256_of(build / IMAGE_MODEL / "1" / "model.onnx"),
        tokenizer_sha256=sha256_of(build / TOKENIZER_FILE),
        context_length=checkpoint.context_length,
        text_buckets=buckets,
        image=checkpoint.policy,
        dimension=checkpoint.dimension,
    )


def _require_free(output: Path, force: bool) -> None:
    if not output.exists():
        return
    if not output.is_dir() or output.is_symlink():
        raise ModelInvalid(f"{output} exists and is not a folder of its own.")
    strangers = [entry.name for entry in output.iterdir() if entry.is_dir() and entry.name not in OWN_ENTRIES]
    if strangers:
        # Triton would take each for a model; and a folder given by mistake must not be replaced.
        raise ModelInvalid(
            f"{output} holds folders that are no part of a model repository: {', '.join(strangers[:5])}."
        )
    if not force and any((output / name).exists() for name in OWN_ENTRIES):
        raise ModelInvalid(f"{output} holds a model repository already; --force replaces it.")


@contextmanager
def _build_folder(output: Path) -> Iterator[Path]:
    """A folder on the output's own file system, gone at the end whatever happens."""
    parent = output.absolute().parent
    parent.mkdir(parents=True, exist_ok=True)
    build = Path(tempfile.mkdtemp(prefix=f".{output.name}.", suffix=".partial", dir=parent))
    build.chmod(0o755)
    try:
        yield build
    finally:
        shutil.rmtree(build, ignore_errors=True)


def _install(build: Path, output: Path) -> None:
    """Puts the built folder in the output's place, with the output's other files."""
    if not output.exists():
        build.rename(output)
        return
    for entry in output.iterdir():
        if entry.name not in OWN_ENTRIES:
            shutil.copy2(entry, build / entry.name)
    former = build.with_suffix(".former")
    output.rename(former)
    try:
        build.rename(output)
    except OSError:
        former.rename(output)
        raise
    shutil.rmtree(former)
