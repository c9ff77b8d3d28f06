"""A CLIP checkpoint with random weights, of the real sizes: for tests and benchmarks that need no download.

The folder is laid out as transformers' own `save_pretrained` would, so the exporter cannot tell it from a trained one.
Its vectors mean nothing; its cost, shapes and vocabulary size are those of the model it imitates.
"""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tokenizers

from vitrine.embedding.tokenizer import BOS, EOT
from vitrine.models.bpe import END_OF_WORD, Bpe, train_bpe

if TYPE_CHECKING:
    from transformers import CLIPModel

VOCABULARY_SIZE = 49_408
LETTERS = "abcdefghijklmnopqrstuvwxyz"

EMBEDDINGS = (
    "text_model.embeddings.token_embedding.weight",
    "text_model.embeddings.position_embedding.weight",
    "vision_model.embeddings.patch_embedding.weight",
)

SHOP_WORDS = """
a an and the of with without in on for from by to women men girls boys kids baby ladies dress skirt top shirt
blouse tee jumper sweater cardigan hoodie jacket coat blazer trousers jeans shorts leggings shoes boots sandals
trainers sneakers heels bag handbag backpack scarf hat cap beanie belt socks gloves swimsuit bikini underwear
floral striped dotted checked plain printed knitted lace denim leather cotton linen silk wool velvet satin
red blue green yellow pink purple orange black white grey brown beige navy turquoise gold silver dark light
long short sleeve sleeves neck collar waist high low slim wide loose fitted oversized cropped summer winter
party casual formal office evening wedding cheap new small large photo picture size style
"""

Size = Literal["vit-b-32", "tiny"]


def write_random_clip(folder: Path, *, size: Size = "vit-b-32", seed: int = 0) -> Path:
    """Writes a checkpoint folder: config, weights, vocabulary, merges, preprocessor settings.

    Args:
        folder: created if missing; files of the same names are overwritten.
        size: "vit-b-32" has the widths, depths and the 49,408 tokens of openai/clip-vit-base-patch32 (605 MB);
            "tiny" has two narrow layers a tower, the same vocabulary size and image size (about 8 MB).
        seed: same seed, same torch release: same weights.

    Returns:
        `folder`.
    """
    import torch
    from transformers import CLIPModel

    folder.mkdir(parents=True, exist_ok=True)
    random_state = torch.random.get_rng_state()
    torch.manual_seed(seed)
    try:
        model = CLIPModel(_config(size))
        _spread(model)
    finally:
        torch.random.set_rng_state(random_state)
    model.save_pretrained(folder)
    filled_vocabulary().write(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(_preprocessor(), indent=2) + "\n", encoding="utf-8")
    return folder


def filled_vocabulary() -> Bpe:
    """49,408 tokens in CLIP's manner: each of `SHOP_WORDS` is one token, runs of letters fill the rest."""
    learned = train_bpe([SHOP_WORDS], size=VOCABULARY_SIZE).merges
    symbols = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    ordinary = [*symbols, *(symbol + END_OF_WORD for symbol in symbols)]
    merges: dict[str, tuple[str, str]] = {}
    for left, right in itertools.chain(learned, _letter_merges()):
        if len(ordinary) + len(merges) == VOCABULARY_SIZE - 2:
            break
        merges.setdefault(left + right, (left, right))
    tokens = [*ordinary, *merges, BOS, EOT]
    return Bpe({token: index for index, token in enumerate(tokens)}, tuple(merges.values()))


def _letter_merges() -> Iterator[tuple[str, str]]:
    """All pairs, then triples, then fours of letters, within a word and at its end."""
    for length in (2, 3, 4):
        for letters in itertools.product(LETTERS, repeat=length):
            head, last = "".join(letters[:-1]), letters[-1]
            yield head, last
            yield head, last + END_OF_WORD


def _config(size: Size) -> Any:
    from transformers import CLIPConfig

    special = {"bos_token_id": VOCABULARY_SIZE - 2, "eos_token_id": VOCABULARY_SIZE - 1}
    text: dict[str, Any] = {"vocab_size": VOCABULARY_SIZE, "pad_token_id": VOCABULARY_SIZE - 1, **special}
    vision: dict[str, Any] = {"image_size": 224, "patch_size": 32}
    projection = 512
    if size == "tiny":
        narrow = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
        text.update(narrow)
        vision.update(narrow)
        projection = 64
    shared = {"projection_dim": projection}
    return CLIPConfig(text_config={**text, **shared}, vision_config={**vision, **shared}, projection_dim=projection)


def _spread(model: "CLIPModel") -> None:
    """Larger embeddings than CLIP's initial ones: with those, every text lands on nearly the same vector."""
    import torch

    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in EMBEDDINGS:
                parameter.mul_(10.0)
            elif name.endswith(".bias"):
                # Freshly made biases are zero, and a graph that forgot one would still agree.
                parameter.normal_(0.0, 0.02)
            elif "norm" in name:
                parameter.normal_(1.0, 0.1)


def _preprocessor() -> dict[str, Any]:
    return {
        "image_processor_type": "CLIPImageProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "size": {"shortest_edge": 224},
        "resample": 3,
        "do_center_crop": True,
        "crop_size": {"height": 224, "width": 224},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
    }
