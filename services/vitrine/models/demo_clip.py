"""Trains the demo model from scratch on drawings: a small CLIP that knows the demo shop and nothing else.

Contrastive learning as CLIP does it: two towers, symmetric cross-entropy, learned temperature. The learning rate stays
level after its warm-up and falls over the last part; weights are averaged over steps and the average is what is saved.
Every step's batch follows from the seed and the step's number, and a training that was interrupted goes on from its
last checkpoint to the same weights. That holds for one kind of processor, thread count and torch release; others round
differently.
"""

import dataclasses
import json
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vitrine.demo.captions import training_sentence
from vitrine.demo.design import DEFAULT_COUNT, DEFAULT_SEED, sample_products
from vitrine.demo.evaluation import Report
from vitrine.demo.wording import SMALL_TALK
from vitrine.domain import Pixels
from vitrine.embedding.contract import ImagePolicy
from vitrine.models.bpe import Bpe, train_bpe
from vitrine.models.demo_batches import Batches, Encode, describe, encoder_of
from vitrine.models.demo_network import (
    ATTRIBUTE_SIZES,
    MOST_HEAT,
    build,
    contrastive_loss,
    fast_twin,
    naming_loss,
    patches_of,
    pool_pictures,
    prime_vision,
    project_pictures,
)
from vitrine.models.demo_pictures import draw_pictures, training_products
from vitrine.models.demo_scoring import Examination, picture_queries

VALIDATION_SEED = 1001  # of a shop that is neither trained on nor the one the demo sells
_CAPTIONS_FOR_BPE = 60_000


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything the trained weights depend on, the machine aside.

    `steps` may be raised in a later call: the level part of the training is then taken up where it was.
    """

    seed: int = 1
    pictures: int = 21_600
    steps: int = 3_600
    batch_size: int = 128
    warmup_steps: int = 100
    decay_share: float = 0.25
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    average: float = 0.995
    naming: float = 1.0
    vocabulary: int = 1_500
    half_precision: bool = True
    threads: int = 2

    def rate(self, step: int) -> float:
        """The learning rate of a step: a linear rise, a level stretch, a linear fall to a hundredth."""
        rise = min(1.0, (step + 1) / self.warmup_steps)
        left = (self.steps - step) / max(1.0, self.steps * self.decay_share)
        return self.learning_rate * rise * min(1.0, max(0.01, left))


_STATEFUL = ("model", "average", "namer", "optimizer")


@dataclass
class _State:
    """Everything a checkpoint holds. `namer` guesses attributes from the image tower; it is no part of the result."""

    step: int
    model: Any
    average: Any
    namer: Any
    optimizer: torch.optim.Optimizer

    def write(self, path: Path, recipe: Recipe) -> None:
        content = {name: getattr(self, name).state_dict() for name in _STATEFUL}
        half_written = path.with_suffix(".part")
        torch.save({"step": self.step, "recipe": _constants(recipe), **content}, half_written)
        half_written.replace(path)

    def read(self, path: Path, recipe: Recipe) -> None:
        """Takes up a checkpoint.

        Raises ValueError if it was made with another recipe.
        """
        content = torch.load(path, weights_only=True)
        if content["recipe"] != _constants(recipe):
            raise ValueError(f"{path} belongs to another recipe, {content['recipe']}: remove it or use another folder")
        self.step = content["step"]
        for name in _STATEFUL:
            getattr(self, name).load_state_dict(content[name])


def train_demo(
    output: Path,
    *,
    recipe: Recipe,
    workspace: Path,
    examine_every: int = 500,
    on_line: Callable[[str], None] = print,
) -> Report:
    """Draws, trains, examines, and writes a transformers checkpoint folder that `vitrine model export` takes.

    Args:
        output: folder for the checkpoint; files of the same names are replaced.
        recipe: what to train.
        workspace: folder for drawings and training state (3 GB at the default size); kept, so that a second call with
            the same recipe continues or ends at once.
        examine_every: steps between examinations on the validation shop, which are logged and saved in `output`.
        on_line: takes each line of the log.

    Returns:
        The last examination.
    """
    workspace.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(recipe.threads)
    torch.use_deterministic_algorithms(True)
    bpe = train_bpe(_caption_corpus(recipe.seed), size=recipe.vocabulary)
    encode = encoder_of(bpe.engine())
    batches, examination, sample = _material(recipe, workspace, encode, on_line)
    state = _fresh(recipe, bpe, sample)
    checkpoint = workspace / "training.pt"
    if checkpoint.exists():
        state.read(checkpoint, recipe)
        on_line(f"goes on after step {state.step}")
    started, first = time.monotonic(), state.step
    twin = fast_twin(state.model, torch.bfloat16 if recipe.half_precision else torch.float32)
    losses: list[tuple[float, float]] = []
    while state.step < recipe.steps:
        losses.append(_learn(state, twin, batches, recipe))
        if state.step % 50 == 0:
            pace = (state.step - first) / (time.monotonic() - started)
            loss, named = np.mean(losses, axis=0)
            heat = float(state.model.logit_scale.detach().exp())
            figures = f"loss {loss:.3f} naming {named:.3f} temperature {heat:.1f}"
            on_line(f"step {state.step} {figures} {pace * recipe.batch_size:.0f} images/s")
            losses.clear()
        if state.step % examine_every == 0 and state.step < recipe.steps:
            state.write(checkpoint, recipe)
            _save(state, bpe, output, recipe, examination.put_to(state.average), on_line)
    state.write(checkpoint, recipe)
    report = examination.put_to(state.average)
    _save(state, bpe, output, recipe, report, on_line)
    return report


def _learn(state: _State, twin: Any, batches: Batches, recipe: Recipe) -> tuple[float, float]:
    """One step: gradients from the fast twin, update in float32, average. Returns both losses."""
    masters, copies = list(state.model.parameters()), list(twin.parameters())
    with torch.no_grad():
        for master, fast in zip(masters, copies, strict=True):
            fast.copy_(master)
            fast.grad = None
    state.namer.zero_grad()
    batch = batches(state.step)
    pixels, gain, lift = (torch.from_numpy(part) for part in (batch.pixels, batch.gain, batch.lift))
    pooled = pool_pictures(twin, patches_of(pixels, gain, lift, twin.dtype))
    loss = contrastive_loss(twin, project_pictures(twin, pooled), batch)
    named = naming_loss(state.namer(pooled.float()), batch)
    (loss + recipe.naming * named).backward()
    for master, fast in zip(masters, copies, strict=True):
        master.grad = None if fast.grad is None else fast.grad.to(master.dtype)
    torch.nn.utils.clip_grad_norm_(masters, 1.0)
    for group in state.optimizer.param_groups:
        group["lr"] = recipe.rate(state.step)
    state.optimizer.step()
    state.step += 1
    with torch.no_grad():
        state.model.logit_scale.clamp_(max=MOST_HEAT)
        keep = min(recipe.average, state.step / (state.step + 10))
        for mean, master in zip(state.average.parameters(), masters, strict=True):
            mean.lerp_(master, 1 - keep)
    return float(loss.detach()), float(named.detach())


def _fresh(recipe: Recipe, bpe: Bpe, sample: Pixels) -> _State:
    model = build(bpe, recipe.seed)
    prime_vision(model, torch.from_numpy(sample))
    namer = torch.nn.Linear(model.config.vision_config.hidden_size, sum(ATTRIBUTE_SIZES))
    average = fast_twin(model, torch.float32).requires_grad_(False)
    shrunk = [parameter for parameter in model.parameters() if parameter.ndim >= 2]
    free = [parameter for parameter in model.parameters() if parameter.ndim < 2]
    groups = [
        {"params": shrunk, "weight_decay": recipe.weight_decay},
        {"params": [*free, *namer.parameters()], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=(0.9, 0.98), eps=1e-6, foreach=True)
    return _State(0, model, average, namer, optimizer)


def _material(
    recipe: Recipe, workspace: Path, encode: Encode, on_line: Callable[[str], None]
) -> tuple[Batches, Examination, Pixels]:
    """Draws what is trained on and what is examined on, disjoint from each other and from the demo's own catalogue."""
    shop, sold = sample_products(DEFAULT_COUNT, VALIDATION_SEED), sample_products(DEFAULT_COUNT, DEFAULT_SEED)
    lessons = training_products(recipe.pictures, recipe.seed, taboo=[*shop, *sold])
    queries = [query.drawing for query in picture_queries(shop) if query.drawing]
    folder = workspace / "pictures"

    def progress(drawn: int, total: int) -> None:
        if drawn == total or drawn % 1024 == 0:
            on_line(f"drawn {drawn} of {total}")

    pixels, shop_pixels, query_pixels = (
        draw_pictures(products, folder, workers=recipe.threads, on_progress=progress)
        for products in (lessons, shop, queries)
    )
    batches = Batches(lessons, pixels, encode, size=recipe.batch_size, seed=recipe.seed)
    sample = np.array(pixels[:: max(1, recipe.pictures // 600)])
    return batches, Examination(shop, shop_pixels, query_pixels, encode), sample


def _caption_corpus(seed: int) -> Iterator[str]:
    """Sentences as training says them, and every word of small talk."""
    rng = random.Random(f"bpe/{seed}")
    for product in training_products(_CAPTIONS_FOR_BPE, seed):
        yield training_sentence(describe(product, rng), rng)
    yield from SMALL_TALK


def _save(
    state: _State, bpe: Bpe, output: Path, recipe: Recipe, report: Report, on_line: Callable[[str], None]
) -> None:
    """Writes the averaged weights as a checkpoint folder and logs how they do."""
    output.mkdir(parents=True, exist_ok=True)
    state.average.save_pretrained(output)
    bpe.write(output)
    policy = ImagePolicy()
    preprocessor = {
        "image_processor_type": "CLIPImageProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "size": {"shortest_edge": policy.size},
        "resample": 3,
        "do_center_crop": True,
        "crop_size": {"height": policy.size, "width": policy.size},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": policy.mean,
        "image_std": policy.std,
    }
    training = {"step": state.step, "recipe": dataclasses.asdict(recipe), "precision_at_10": report.as_json()}
    for name, content in (("preprocessor_config.json", preprocessor), ("training.json", training)):
        (output / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    scores = ", ".join(f"{row.kind} {row.precision:.3f}" for row in report.rows)
    on_line(f"examined after step {state.step}: text {report.text:.4f}, image {report.image:.4f}: {scores}")


def _constants(recipe: Recipe) -> dict[str, Any]:
    """What must not change between two parts of one training."""
    return {key: value for key, value in dataclasses.asdict(recipe).items() if key not in ("steps", "decay_share")}
