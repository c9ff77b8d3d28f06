"""The demo model's network: transformers' CLIPModel in small sizes, and a fast way to run it while it trains.

Weights are kept in float32; a bfloat16 twin computes gradients, which is two to three times as fast on a processor with
matrix instructions for that type. What is saved, scored and exported is float32.
"""

import copy
import math
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional
from transformers import CLIPConfig, CLIPModel

from vitrine.demo.vocabulary import COLOURS, GARMENTS, PATTERNS
from vitrine.embedding.contract import ImagePolicy
from vitrine.models.bpe import Bpe

if TYPE_CHECKING:
    from vitrine.models.demo_batches import Batch

DIMENSION = 512
MOST_HEAT = math.log(100)  # CLIP's own bound on its temperature's logarithm
ATTRIBUTE_SIZES = [len(GARMENTS), len(COLOURS), len(PATTERNS)]
CONTEXT = 77
PATCH = 32
_POLICY = ImagePolicy()
_EVENNESS = 0.25  # 0: as strong as in pictures, where flat colour is nearly all; 0.5: fine texture as strong as colour


def build(bpe: Bpe, seed: int) -> CLIPModel:
    """A CLIPModel with fresh weights, about 3.3 million of them: the repository must stay small enough to commit."""
    torch.manual_seed(seed)
    shared = {"projection_dim": DIMENSION, "hidden_act": "gelu"}
    special = {"bos_token_id": bpe.bos_id, "eos_token_id": bpe.eot_id, "pad_token_id": bpe.eot_id}
    text = {
        "vocab_size": len(bpe.vocab),
        "hidden_size": 128,
        "intermediate_size": 512,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "max_position_embeddings": CONTEXT,
        **special,
    }
    vision = {
        "image_size": _POLICY.size,
        "patch_size": PATCH,
        "hidden_size": 192,
        "intermediate_size": 768,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
    }
    return CLIPModel(
        CLIPConfig(text_config={**text, **shared}, vision_config={**vision, **shared}, projection_dim=DIMENSION)
    )


def fast_twin(model: CLIPModel, dtype: torch.dtype) -> CLIPModel:
    """A copy in another type that computes attention in plain matrix products.

    The fused attention kernel's backward pass is the slower one on a CPU at these lengths.
    """
    twin = copy.deepcopy(model).to(dtype)
    twin.set_attn_implementation("eager")
    return twin


def patches_of(pixels: torch.Tensor, gain: Any, lift: Any, dtype: torch.dtype) -> torch.Tensor:
    """Normalised patches [n, 49, 3072] of uint8 pixels [n, 224, 224, 3], seen with `gain` and `lift` (scalars or [n]).

    `dtype` is what the network computes in.
    """
    count, side, _, channels = pixels.shape
    across = side // PATCH
    patches = pixels.view(count, across, PATCH, across, PATCH, channels).transpose(2, 3)
    flat = patches.reshape(count, across * across, PATCH * PATCH * channels).to(dtype)
    mean, std = torch.tensor(_POLICY.mean) * 255, torch.tensor(_POLICY.std) * 255
    gain, lift = torch.as_tensor(gain).view(-1, 1), torch.as_tensor(lift).view(-1, 1)
    # Tiled to the patch's length: broadcasting over three channels would keep the loop from being vectorised.
    scale, offset = ((each.tile(1, PATCH * PATCH))[:, None].to(dtype) for each in (gain / std, (lift - mean) / std))
    return flat.mul_(scale).add_(offset)


def pool_pictures(model: CLIPModel, patches: torch.Tensor) -> torch.Tensor:
    """What the image tower makes of normalised patches, before its projection: [n, 192].

    Equal to `model.vision_model`, except that patches are cut beforehand and embedded by one matrix product: the
    strided convolution's backward pass is slow in bfloat16.
    """
    vision = model.vision_model
    weight = vision.embeddings.patch_embedding.weight.permute(0, 2, 3, 1).flatten(1)
    first = vision.embeddings.class_embedding.expand(patches.shape[0], 1, -1)
    states = torch.cat([first, patches @ weight.t()], dim=1) + vision.embeddings.position_embedding.weight
    states = vision.encoder(inputs_embeds=vision.pre_layrnorm(states)).last_hidden_state
    return vision.post_layernorm(states[:, 0])


def project_pictures(model: CLIPModel, pooled: torch.Tensor) -> torch.Tensor:
    """Unit vectors [n, 512] of what `pool_pictures` gave."""
    return functional.normalize(model.visual_projection(pooled).float(), dim=-1)


def prime_vision(model: CLIPModel, sample: torch.Tensor) -> None:
    """Starts the image tower from what pictures look like, instead of from noise.

    The patch embedding gets the principal components of the sample's patches (uint8 [n, 224, 224, 3]), evened out by
    `_EVENNESS`; positions get sines and cosines as strong as what they are added to. CLIP's own start makes positions
    a hundredth of that, which suits a longer training.
    """
    embeddings = model.vision_model.embeddings
    width = embeddings.class_embedding.shape[0]
    with torch.no_grad():
        patches = patches_of(sample, 1.0, 0.0, torch.float32).flatten(0, 1)
        mean = patches.mean(0)
        spread = (patches - mean).t() @ (patches - mean) / len(patches)
        values, vectors = torch.linalg.eigh(spread)
        weight = vectors[:, -width:].t() * values[-width:, None].pow(-_EVENNESS)
        weight /= ((weight @ spread) * weight).sum(1).mean().sqrt()
        channels_last = weight.view(width, PATCH, PATCH, 3)
        embeddings.patch_embedding.weight.copy_(channels_last.permute(0, 3, 1, 2))
        embeddings.position_embedding.weight[1:] = _waves(_POLICY.size // PATCH, width) - weight @ mean


def _waves(across: int, width: int) -> torch.Tensor:
    """Sines and cosines of row and column, from half a wave over the picture to one over two patches."""
    frequencies = math.pi * across ** (-torch.arange(width // 4) / (width // 4))
    steps = torch.arange(across, dtype=torch.float32)
    rows, columns = torch.meshgrid(steps, steps, indexing="ij")
    angles = rows.reshape(-1, 1) * frequencies, columns.reshape(-1, 1) * frequencies
    return torch.cat([wave for angle in angles for wave in (angle.sin(), angle.cos())], dim=1)


def embed_texts(model: CLIPModel, ids: torch.Tensor) -> torch.Tensor:
    """Unit vectors [n, 512] of token ids [n, length], padded with EOT."""
    pooled = model.text_model(input_ids=ids).pooler_output
    return functional.normalize(model.text_projection(pooled).float(), dim=-1)


def contrastive_loss(twin: CLIPModel, pictures: torch.Tensor, batch: "Batch") -> torch.Tensor:
    """Symmetric cross-entropy over unit vectors of a batch's pictures and its captions, with a learned temperature.

    The target of a row or column is spread evenly over everything that is true of it: a "red" dress is not a wrong
    answer to another dress's "red".
    """
    texts = embed_texts(twin, torch.from_numpy(batch.ids))
    logits = twin.logit_scale.float().clamp(max=MOST_HEAT).exp() * pictures @ texts.t()
    truth = torch.from_numpy(batch.truth).float()
    by_picture = -(truth / truth.sum(1, keepdim=True) * logits.log_softmax(1)).sum(1).mean()
    by_text = -(truth / truth.sum(0, keepdim=True) * logits.log_softmax(0)).sum(0).mean()
    return (by_picture + by_text) / 2


def naming_loss(guesses: torch.Tensor, batch: "Batch") -> torch.Tensor:
    """Cross-entropy of three linear guesses, [n, sum of ATTRIBUTE_SIZES]: garment, colour and pattern.

    A crutch of training: the image tower learns to see sooner than captions alone would teach it.
    """
    codes = torch.from_numpy(batch.codes)
    parts = guesses.split(ATTRIBUTE_SIZES, dim=1)
    return torch.stack([functional.cross_entropy(part, codes[:, axis]) for axis, part in enumerate(parts)]).sum()
