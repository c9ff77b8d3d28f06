"""Does a model of reduced precision find what the one in fp32 finds?

    PYTHON loadtest/bench/precision_fidelity.py image FP32 [INT8] [--pictures 200] [--photographs FOLDER]
    PYTHON loadtest/bench/precision_fidelity.py text FP32 [INT8] [--pictures 600] [--photographs FOLDER] [--among-texts]

PYTHON has onnxruntime (`make export-env`). FP32 and INT8 are repositories of one checkpoint. Without INT8 the
exporter's first choice for int8 is made from the fp32 graph; so a repository whose checkpoint is not at hand, as the
demo model's, can be asked too.

`image` asks about the nearest others of each picture: a model that embeds a catalogue moves all of it. `text` asks 200
queries of the demo shop for their nearest among the pictures as the fp32 image model embeds them: only the queries
move. Pictures are of the demo shop's products, or photographs of your own. With random weights a text has nothing to do
with a picture; `--among-texts` asks 200 shop texts for their nearest among 2,000 others. Fails below the gate.
"""

import argparse
import io
import json
import random
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from exported_text import read_text_checkpoint
from photographs import files_of
from reduced_graph import reduced

from vitrine.demo.design import sample_products
from vitrine.demo.drawing import draw
from vitrine.demo.queries import text_queries
from vitrine.domain import Vectors
from vitrine.embedding.contract import IMAGE_MODEL, TEXT_MODEL, ModelContract
from vitrine.embedding.preprocess import prepare
from vitrine.embedding.tokenizer import Tokenizer, pad_to_bucket
from vitrine.models.agreement import open_graph
from vitrine.models.fidelity import INT8_GATE, TEXT_GATE, Fidelity
from vitrine.models.precision import CANDIDATES
from vitrine.models.random_clip import SHOP_WORDS
from vitrine.models.reduced_text import reduced_text_graph
from vitrine.settings import ImageSettings

if TYPE_CHECKING:
    import onnx

GRAPH = Path("1") / "model.onnx"
BATCH = 16
SHOP = 2_520
QUERIES = 200
OTHERS = 2_000


def embed_pictures(repository: Path, files: list[bytes], graph: Path) -> Vectors:
    """float32 [n, dim] by an image graph."""
    session, policy, limits = open_graph(graph), ModelContract.load(repository).image, ImageSettings()
    batches = [files[start : start + BATCH] for start in range(0, len(files), BATCH)]
    pixels = (np.stack([prepare(file, policy, limits) for file in batch]) for batch in batches)
    return np.concatenate([session.run(None, {"pixels": batch})[0] for batch in pixels])


def embed_texts(repository: Path, texts: list[str], graph: Path, batch: int) -> Vectors:
    """float32 [n, dim] by a text graph, each text padded to its bucket, up to `batch` of a bucket together."""
    contract, session = ModelContract.load(repository), open_graph(graph)
    tokens = Tokenizer.load(repository, contract).encode(texts)
    vectors = np.empty((len(texts), contract.dimension), np.float32)
    for together in pad_to_bucket(tokens, contract.text_buckets):
        for start in range(0, len(together.rows), batch):
            rows = list(together.rows[start : start + batch])
            vectors[rows] = session.run(None, {"input_ids": together.ids[start : start + batch]})[0]
    return vectors


def drawn_products(count: int) -> list[bytes]:
    """JPEGs of products spread over the whole demo shop."""
    products = sample_products(SHOP, 7)
    files = []
    for product in products[:: max(1, SHOP // count)][:count]:
        file = io.BytesIO()
        draw(product).save(file, format="JPEG", quality=88)
        files.append(file.getvalue())
    return files


def shop_texts(count: int) -> list[str]:
    """Different texts of one to six words."""
    rng, words = random.Random(0), SHOP_WORDS.split()
    texts: dict[str, None] = {}
    while len(texts) < count:
        texts[" ".join(rng.sample(words, rng.choice((1, 2, 2, 3, 3, 4, 5, 6))))] = None
    return list(texts)


def image_fidelity(arguments: argparse.Namespace, whole: Path, reduced_graph: Path) -> dict[str, Fidelity]:
    files = files_of(arguments.photographs, arguments.pictures or 200)
    first, second = (embed_pictures(arguments.fp32, files, graph) for graph in (whole, reduced_graph))
    return {f"batch {BATCH}": Fidelity.between(first, second)}


def text_fidelity(arguments: argparse.Namespace, whole: Path, reduced_graph: Path) -> dict[str, Fidelity]:
    """Of texts alone and of batches, because activations may share a scale with whatever runs beside them."""
    if arguments.among_texts:
        texts = shop_texts(QUERIES + OTHERS)
        queries, others = texts[:QUERIES], texts[QUERIES:]
        catalogue = embed_texts(arguments.fp32, others, whole, BATCH)
    else:
        queries = [query.text for query in text_queries(sample_products(SHOP, 7), count=QUERIES)]
        count = arguments.pictures or 600
        files = files_of(arguments.photographs, count) if arguments.photographs else drawn_products(count)
        catalogue = embed_pictures(arguments.fp32, files, arguments.fp32 / IMAGE_MODEL / GRAPH)
    reference = embed_texts(arguments.fp32, queries, whole, BATCH)
    return {
        f"batch {batch}": Fidelity.between(
            reference, embed_texts(arguments.fp32, queries, reduced_graph, batch), catalogue=catalogue
        )
        for batch in (1, 32)
    }


def as_exported(kind: str, repository: Path, whole: Path) -> "onnx.ModelProto":
    """What the exporter would write first for int8, made from the repository in fp32."""
    linear = CANDIDATES["int8"][0]
    if kind == "image":
        return reduced(whole, linear)
    return reduced_text_graph(read_text_checkpoint(repository))(linear)


def as_json(found: Fidelity) -> dict[str, Any]:
    return {
        "compared": found.compared,
        "mean_cosine": round(found.mean_cosine, 6),
        "min_cosine": round(found.min_cosine, 6),
        "top_10_overlap": round(found.top_10, 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=("image", "text"))
    parser.add_argument("fp32", type=Path)
    parser.add_argument("int8", type=Path, nargs="?")
    parser.add_argument("--pictures", type=int, help="200 for image, 600 for text")
    parser.add_argument("--photographs", type=Path, help="JPEGs of your own instead of drawn ones")
    parser.add_argument("--among-texts", action="store_true", help="text: neighbours among other texts")
    arguments = parser.parse_args()
    model, gate = (IMAGE_MODEL, INT8_GATE) if arguments.kind == "image" else (TEXT_MODEL, TEXT_GATE)
    whole = arguments.fp32 / model / GRAPH
    with tempfile.TemporaryDirectory() as name:
        if arguments.int8:
            other = arguments.int8 / model / GRAPH
        else:
            other = Path(name) / "model.onnx"
            other.write_bytes(as_exported(arguments.kind, arguments.fp32, whole).SerializeToString())
        compare = image_fidelity if arguments.kind == "image" else text_fidelity
        found = compare(arguments, whole, other)
    accepted = all(gate.accepts(one) for one in found.values())
    report = {"model": ModelContract.load(arguments.fp32).model, "kind": arguments.kind}
    cases = {case: as_json(one) for case, one in found.items()}
    print(json.dumps({**report, **cases, "gate": str(gate), "accepted": accepted}, indent=2))
    sys.exit(0 if accepted else 1)


if __name__ == "__main__":
    main()
