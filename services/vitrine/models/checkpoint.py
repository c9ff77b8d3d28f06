"""Reading a CLIP checkpoint of the transformers format, from a hub or from a folder, and refusing what we cannot serve.

torch, transformers and huggingface_hub are imported inside the functions: they belong to the `export` extra.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from vitrine.embedding.contract import ImagePolicy
from vitrine.embedding.tokenizer import BOS, EOT
from vitrine.errors import ModelInvalid

if TYPE_CHECKING:
    from transformers import CLIPModel

Weights: TypeAlias = Mapping[str, npt.NDArray[np.float32]]
"""Parameters by the names of transformers' CLIPModel, such as `text_model.final_layer_norm.weight`."""

ACTIVATIONS = ("quick_gelu", "gelu")
LEGACY_END_ID = 2
"""Older configs name this as end of text; transformers then pools at the largest id, which is the real end of text."""

_BICUBIC = 3
_METADATA = ["*.json", "*.txt"]


@dataclass(frozen=True, slots=True)
class Tower:
    """The sizes of one of the two transformers. `epsilon` is that of its layer norms."""

    layers: int
    heads: int
    width: int
    activation: str
    epsilon: float


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Everything of a checkpoint that the export needs.

    Args:
        name: for people: the hub id, or the folder's name.
        model: the reference, in float32 and evaluation mode.
        vocabulary: token to id; `merges` best first.
        end_id: id of the end of text; the text tower pools at its first occurrence.
        pad_id: what the checkpoint's own tokenizer pads with.
        patch: side of a square patch in pixels.
    """

    name: str
    model: "CLIPModel"
    weights: Weights
    text: Tower
    image: Tower
    vocabulary: Mapping[str, int]
    merges: list[tuple[str, str]]
    begin_id: int
    end_id: int
    pad_id: int
    context_length: int
    dimension: int
    patch: int
    policy: ImagePolicy


def load_checkpoint(source: str | Path, *, revision: str | None = None) -> Checkpoint:
    """Reads a checkpoint.

    Args:
        source: a folder, or a hub id such as openai/clip-vit-base-patch32.
        revision: branch, tag or commit on the hub; ignored for a folder.

    Raises:
        ModelInvalid: nothing usable there: not a CLIPModel, weights missing, or a preprocessing other than ours.
    """
    folder = _folder_of(str(source), revision)
    config = _read_json(folder / "config.json")
    if config.get("model_type") != "clip":
        raise ModelInvalid(f"{source} is a {config.get('model_type')!r} checkpoint; only 'clip' can be exported.")
    model = _load_model(folder)
    text, vision = model.config.text_config, model.config.vision_config
    vocabulary, merges = read_vocabulary(folder, text.vocab_size)
    end_id = vocabulary[EOT]
    if text.eos_token_id not in (end_id, LEGACY_END_ID):
        raise ModelInvalid(
            f"{source}: the text tower pools at id {text.eos_token_id}, but its vocabulary gives {EOT} the id {end_id}."
        )
    policy = read_image_policy(folder)
    if policy.size != vision.image_size or vision.image_size % vision.patch_size:
        raise ModelInvalid(
            f"{source}: the crop is {policy.size} px, the image tower takes {vision.image_size} px "
            f"in patches of {vision.patch_size} px; both sizes must be equal and whole patches."
        )
    return Checkpoint(
        name=Path(source).resolve().name if Path(source).is_dir() else str(source),
        model=model,
        weights={key: value.numpy() for key, value in model.state_dict().items() if value.is_floating_point()},
        text=_tower(text),
        image=_tower(vision),
        vocabulary=vocabulary,
        merges=merges,
        begin_id=vocabulary[BOS],
        end_id=end_id,
        pad_id=_pad_id(folder, vocabulary),
        context_length=text.max_position_embeddings,
        dimension=model.config.projection_dim,
        patch=vision.patch_size,
        policy=policy,
    )


def read_image_policy(folder: Path) -> ImagePolicy:
    """The checkpoint's preprocessing as our policy.

    Raises:
        ModelInvalid: it resizes, crops or scales in another way than the policy says, so the same picture would reach
            the model as other pixels than it was trained on.
    """
    settings = _preprocessor_settings(folder)
    size, crop = settings.get("size"), settings.get("crop_size")
    edge = size.get("shortest_edge") if isinstance(size, dict) else size
    height, width = (crop.get("height"), crop.get("width")) if isinstance(crop, dict) else (crop, crop)
    problems = [
        f"{key} is {settings.get(key, default)!r}"
        for key, default, wanted in (
            ("do_resize", True, True),
            ("do_center_crop", True, True),
            ("do_rescale", True, True),
            ("do_normalize", True, True),
            ("resample", _BICUBIC, _BICUBIC),
        )
        if settings.get(key, default) != wanted
    ]
    if not (edge == height == width):
        problems.append(f"size {size!r} and crop_size {crop!r} are not one square of one size")
    if abs(settings.get("rescale_factor", 1 / 255) - 1 / 255) > 1e-9:
        problems.append(f"rescale_factor is {settings['rescale_factor']!r}")
    if problems:
        raise ModelInvalid(
            f"{folder}: the checkpoint's preprocessing is not resize of the short side (bicubic), centre crop, "
            f"scale by 1/255 and normalise: {'; '.join(problems)}."
        )
    try:
        return ImagePolicy(size=height, mean=settings.get("image_mean"), std=settings.get("image_std"))
    except ValidationError as error:
        raise ModelInvalid(f"{folder}: unusable preprocessor settings: {error}") from error


def read_vocabulary(folder: Path, model_size: int) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Tokens with ids and the merges, from vocab.json and merges.txt, else from tokenizer.json.

    Args:
        model_size: rows of the token embedding; no id may reach it.

    Raises:
        ModelInvalid: no vocabulary there, special tokens missing, or ids beyond the embedding.
    """
    if (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file():
        vocabulary = _read_json(folder / "vocab.json")
        lines = (folder / "merges.txt").read_text(encoding="utf-8").splitlines()
        pairs = [line.split() for line in lines if line and not line.startswith("#version")]
    else:
        model = _read_json(folder / "tokenizer.json").get("model", {})
        vocabulary = model.get("vocab", {})
        pairs = [pair.split() if isinstance(pair, str) else pair for pair in model.get("merges", [])]
    if any(len(pair) != 2 for pair in pairs):
        raise ModelInvalid(f"{folder}: a merge rule is not a pair of tokens.")
    missing = [token for token in (BOS, EOT) if token not in vocabulary]
    if missing or max(vocabulary.values()) >= model_size:
        raise ModelInvalid(
            f"{folder}: the vocabulary must hold {BOS} and {EOT} and ids below {model_size} only; "
            f"missing: {', '.join(missing) or 'none'}, largest id: {max(vocabulary.values(), default=None)}."
        )
    return vocabulary, [(left, right) for left, right in pairs]


def _folder_of(source: str, revision: str | None) -> Path:
    path = Path(source)
    if path.is_dir():
        return path
    if path.exists() or source.startswith((".", "/", "~")) or source.count("/") > 1:
        raise ModelInvalid(
            f"{source} is neither a checkpoint folder nor a hub id such as openai/clip-vit-base-patch32."
        )
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        folder = Path(snapshot_download(source, revision=revision, allow_patterns=[*_METADATA, "model*.safetensors"]))
        # Repositories often carry the same weights in several formats; the older one is fetched only where it is alone.
        if not any(folder.glob("model*.safetensors")):
            snapshot_download(source, revision=revision, allow_patterns=["pytorch_model*.bin"])
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        raise ModelInvalid(f"{source} is no folder here and could not be fetched from the hub: {error}") from error
    return folder


def _load_model(folder: Path) -> "CLIPModel":
    from safetensors import SafetensorError
    from transformers import CLIPModel

    try:
        model, report = CLIPModel.from_pretrained(str(folder), output_loading_info=True, local_files_only=True)
    except (OSError, RuntimeError, ValueError, KeyError, SafetensorError, UnpicklingError) as error:
        raise ModelInvalid(f"{folder}: transformers cannot load the weights: {error}") from error
    lacking = sorted(str(key) for kind in ("missing_keys", "mismatched_keys") for key in report.get(kind, ()))
    if lacking:
        # transformers fills these with random numbers and goes on; such a model would search at random.
        raise ModelInvalid(f"{folder}: weights are missing or of the wrong shape: {', '.join(lacking[:5])}.")
    return model.float().eval()


def _tower(config: Any) -> Tower:
    if config.hidden_act not in ACTIVATIONS:
        raise ModelInvalid(f"Activation {config.hidden_act!r} is not one of {', '.join(ACTIVATIONS)}.")
    return Tower(
        layers=config.num_hidden_layers,
        heads=config.num_attention_heads,
        width=config.hidden_size,
        activation=config.hidden_act,
        epsilon=config.layer_norm_eps,
    )


def _pad_id(folder: Path, vocabulary: Mapping[str, int]) -> int:
    settings = folder / "tokenizer_config.json"
    token: Any = _read_json(settings).get("pad_token") if settings.is_file() else None
    if isinstance(token, dict):
        token = token.get("content")
    return vocabulary.get(token or EOT, vocabulary[EOT])


def _preprocessor_settings(folder: Path) -> dict[str, Any]:
    """preprocessor_config.json, or the part of transformers 5's processor_config.json that took its place."""
    if (folder / "preprocessor_config.json").is_file():
        return _read_json(folder / "preprocessor_config.json")
    settings = _read_json(folder / "processor_config.json").get("image_processor")
    if not isinstance(settings, dict):
        raise ModelInvalid(f"{folder} has no preprocessor_config.json, so its picture size is not known.")
    return settings


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelInvalid(f"{path} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise ModelInvalid(f"{path} holds no JSON object.")
    return content
