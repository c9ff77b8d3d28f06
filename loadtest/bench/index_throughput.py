"""How near does `vitrine index` come to what two stages alone allow, and how far is it ahead of the usual recipe?

    python loadtest/bench/index_throughput.py FP32 [--reduced INT8] [--recipe-python P --checkpoint DIR]

FP32 and INT8 are repositories of one checkpoint (`vitrine model export`, docs/throughput.md). Starts a stack of its
own for each, draws photographs of 1166 x 1750, and measures in turns, in every round: decoding alone, the image model
alone, `vitrine index`, and the recipe (loadtest/bench/recipe_index.py) where a Python for it is named.

The bound is cores / (processor seconds of decoding one picture + processor seconds of embedding one): both share the
same cores, and nothing else is free. `CPU` in the table is the same question without the clock: processor time of those
two stages alone, as a part of all that the indexer, Triton and Milvus spent; it says something on a busy machine too.
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from own_stack import OwnStack, own_stack, start_index
from photographs import write_photographs

from vitrine.embedding.contract import IMAGE_MODEL, ImagePolicy, ModelContract
from vitrine.embedding.preprocess import prepare
from vitrine.settings import ImageSettings, LocalSettings

HERE = Path(__file__).parent
CORES = len(os.sched_getaffinity(0))
FLAT = 1.1
"""Memory is flat when its mean over the last third of a run is at most so many times that over the second third."""


@dataclass(frozen=True)
class Round:
    """One round over one repository.

    `decode_cpu_ms` and `model_cpu_ms` are the stages alone; `index_cpu_ms` is all that a picture cost the indexer,
    Triton and Milvus, in their parts `index_cpu_parts_ms`. `memory_growth` is the last third's mean over the second's.
    """

    precision: str
    decode_cpu_ms: float
    model_cpu_ms: float
    bound_per_s: float
    index_per_s: float
    index_cpu_ms: float
    index_cpu_parts_ms: dict[str, float]
    memory_growth: float
    memory_mb: list[float]
    recipe_per_s: float | None
    load_average: float


def decode_alone(catalogue: Path, policy: ImagePolicy, seconds: float) -> float:
    """Processor milliseconds to read and prepare one picture, with a thread for every core."""
    paths = sorted((catalogue / "images").rglob("*.jpg"))
    limits, until = ImageSettings(), time.perf_counter() + seconds

    def work(first: int) -> int:
        done = 0
        while time.perf_counter() < until:
            prepare(paths[(first + done * CORES) % len(paths)].read_bytes(), policy, limits)
            done += 1
        return done

    began = time.process_time()
    with ThreadPoolExecutor(CORES) as pool:
        pictures = sum(pool.map(work, range(CORES)))
    return (time.process_time() - began) / pictures * 1000


def model_alone(repository: Path, engines: Path, seconds: float) -> float:
    """Processor milliseconds to embed one picture, with a session for every core."""
    command = [engines / "bin" / "python", HERE / "image_model_cost.py", repository / IMAGE_MODEL / "1" / "model.onnx"]
    answer = subprocess.run(  # noqa: S603 - our own script in the engines' environment
        [*command, "--seconds", str(seconds)], capture_output=True, text=True, check=True, timeout=seconds + 120
    )
    return float(json.loads(answer.stdout)["cpu_ms"])


def index_once(stack: OwnStack, catalogue: Path, alias: str) -> dict[str, Any]:
    """One run into a new collection: products/s, processor milliseconds a product by process, memory of the indexer."""
    start = start_index(stack.settings, "--catalogue", catalogue, "--collection", f"{alias}_start", "--limit", "1")
    start.follow()
    before = stack.cpu_seconds()
    run = start_index(stack.settings, "--catalogue", catalogue, "--collection", alias)
    run.follow()
    written = run.summary["written"]
    # Less what a run over one product takes: starting Python, making and loading the collection.
    parts = {name: after - before[name] for name, after in stack.cpu_seconds().items()}
    parts["indexer"] = run.cpu_s - start.cpu_s
    return {
        "per_s": run.summary["products_per_s"],
        "cpu_ms": {name: seconds / written * 1000 for name, seconds in parts.items()},
        "memory_mb": run.resident_mb,
    }


def recipe(arguments: argparse.Namespace, stack: OwnStack, catalogue: Path) -> float | None:
    """Pictures a second of the recipe; None when it was not asked for."""
    if arguments.recipe_python is None:
        return None
    command = [arguments.recipe_python, HERE / "recipe_index.py", arguments.checkpoint, catalogue]
    options = ["--uri", stack.settings.milvus.uri, "--pictures", str(arguments.recipe_pictures)]
    answer = subprocess.run([*command, *options], capture_output=True, text=True, timeout=3600)  # noqa: S603
    if answer.returncode != 0:
        raise SystemExit(f"The recipe failed:\n{answer.stderr[-2000:]}")
    return float(json.loads(answer.stdout)["images_per_s"])


def growth(memory_mb: list[float]) -> float:
    """Mean of the last third over mean of the second."""
    third = len(memory_mb) // 3
    if third < 1:
        return 1.0
    return statistics.fmean(memory_mb[2 * third :]) / statistics.fmean(memory_mb[third : 2 * third])


def one_round(arguments: argparse.Namespace, repository: Path, catalogue: Path, number: int) -> Round:
    """Everything once, one after the other, on one stack."""
    contract = ModelContract.load(repository)
    with own_stack(repository, arguments.engines) as stack:
        decode = decode_alone(catalogue, contract.image, arguments.seconds)
        model = model_alone(repository, arguments.engines, arguments.seconds)
        index = index_once(stack, catalogue, f"bench_{number}")
        # Again, and the mean: a machine that others use is not the same after a minute.
        decode = (decode + decode_alone(catalogue, contract.image, arguments.seconds)) / 2
        model = (model + model_alone(repository, arguments.engines, arguments.seconds)) / 2
        rate = recipe(arguments, stack, catalogue) if contract.precision == "fp32" else None
        return Round(
            precision=contract.precision,
            decode_cpu_ms=decode,
            model_cpu_ms=model,
            bound_per_s=CORES / (decode + model) * 1000,
            index_per_s=index["per_s"],
            index_cpu_ms=sum(index["cpu_ms"].values()),
            index_cpu_parts_ms=index["cpu_ms"],
            memory_growth=growth(index["memory_mb"]),
            memory_mb=[round(size, 1) for size in index["memory_mb"]],
            recipe_per_s=rate,
            load_average=os.getloadavg()[0],
        )


def table(rounds: list[Round]) -> list[str]:
    """Medians over the rounds, one line a precision."""
    recipes = [one.recipe_per_s for one in rounds if one.recipe_per_s]
    slow = statistics.median(recipes) if recipes else None
    heads = (
        "model, decode ms, model ms, bound/s, index/s, of the bound, CPU, recipe/s, times the recipe, memory MB, growth"
    )
    lines = ["| " + heads.replace(", ", " | ") + " |", "|---" * len(heads.split(",")) + "|"]
    precisions = dict.fromkeys(one.precision for one in rounds)
    return lines + [_line([one for one in rounds if one.precision == precision], slow) for precision in precisions]


def _line(rounds: list[Round], recipe_per_s: float | None) -> str:
    def middle(name: str) -> float:
        return statistics.median(getattr(one, name) for one in rounds)

    growths = max(one.memory_growth for one in rounds)
    cells = [
        rounds[0].precision,
        f"{middle('decode_cpu_ms'):.1f}",
        f"{middle('model_cpu_ms'):.1f}",
        f"{middle('bound_per_s'):.1f}",
        f"{middle('index_per_s'):.1f}",
        f"{statistics.median(one.index_per_s / one.bound_per_s for one in rounds):.0%}",
        f"{statistics.median((one.decode_cpu_ms + one.model_cpu_ms) / one.index_cpu_ms for one in rounds):.0%}",
        f"{recipe_per_s:.1f}" if recipe_per_s else "",
        f"{middle('index_per_s') / recipe_per_s:.1f}" if recipe_per_s else "",
        f"{max(max(one.memory_mb) for one in rounds):.0f}",
        f"{growths:.2f} ({'flat' if growths <= FLAT else 'grows'})",
    ]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("repository", type=Path, help="model repository in fp32")
    parser.add_argument("--reduced", type=Path, help="the same model in int8")
    parser.add_argument("--recipe-python", type=Path, help="Python with torch, sentence-transformers and pymilvus")
    parser.add_argument("--checkpoint", type=Path, help="what both were exported from; for the recipe")
    parser.add_argument("--pictures", type=int, default=600)
    parser.add_argument("--recipe-pictures", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=8.0, help="for each stage alone, twice a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--catalogue", type=Path, help="keep the drawn photographs here, or take those that are there")
    parser.add_argument("--engines", type=Path, default=LocalSettings().engines_dir)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    if (arguments.recipe_python is None) != (arguments.checkpoint is None):
        parser.error("--recipe-python and --checkpoint go together")
    repositories = [one for one in (arguments.repository, arguments.reduced) if one]
    with tempfile.TemporaryDirectory(prefix="vitrine-photographs-") as name:
        catalogue = arguments.catalogue or Path(name)
        if not (catalogue / "articles.csv").is_file():
            write_photographs(catalogue, arguments.pictures, workers=CORES)
        rounds = [
            one_round(arguments, repository, catalogue, number)
            for number in range(arguments.rounds)
            for repository in repositories
        ]
    print("\n".join(table(rounds)))
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(one) for one in rounds], indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
