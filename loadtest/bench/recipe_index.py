"""The recipe that tutorials give for filling Milvus with pictures, as the measure to beat: sentence-transformers' CLIP,
one picture at a time, one insert each.

    PYTHON loadtest/bench/recipe_index.py CHECKPOINT CATALOGUE --uri http://127.0.0.1:19530 [--pictures 100]

PYTHON has torch, sentence-transformers and pymilvus (`make export-env`). CHECKPOINT is a CLIP of the transformers
format, CATALOGUE a folder with `images/`. Prints JSON; the first pictures warm up and are not counted.
"""

import argparse
import json
import time
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from PIL import Image

WARM = 3


def open_model(checkpoint: str) -> Any:
    """The checkpoint as sentence-transformers serves clip-ViT-B-32."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import CLIPModel

    return SentenceTransformer(modules=[CLIPModel(checkpoint)], device="cpu")


def open_collection(uri: str, name: str, dimension: int) -> Any:
    """A new collection with an id and a vector, as the recipe makes it."""
    from pymilvus import DataType, MilvusClient

    client = MilvusClient(uri, timeout=60)
    if client.has_collection(name, timeout=60):
        client.drop_collection(name, timeout=60)
    schema = client.create_schema(auto_id=False)
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("embedding", DataType.FLOAT_VECTOR, dim=dimension)
    client.create_collection(name, schema=schema, timeout=60)
    return client


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint")
    parser.add_argument("catalogue", type=Path)
    parser.add_argument("--uri", required=True)
    parser.add_argument("--collection", default="recipe")
    parser.add_argument("--pictures", type=int, default=100)
    arguments = parser.parse_args()
    paths = list(islice(cycle(sorted((arguments.catalogue / "images").rglob("*.jpg"))), arguments.pictures + WARM))
    model = open_model(arguments.checkpoint)
    dimension = len(model.encode(Image.open(paths[0]), show_progress_bar=False))
    client = open_collection(arguments.uri, arguments.collection, dimension)
    began, cpu = time.perf_counter(), time.process_time()
    for index, path in enumerate(paths):
        if index == WARM:
            began, cpu = time.perf_counter(), time.process_time()
        with Image.open(path) as picture:
            vector = model.encode(picture, normalize_embeddings=True, show_progress_bar=False)
        client.insert(arguments.collection, [{"id": int(path.stem), "embedding": vector.tolist()}], timeout=60)
    elapsed, cpu = time.perf_counter() - began, time.process_time() - cpu
    client.drop_collection(arguments.collection, timeout=60)
    print(
        json.dumps(
            {
                "pictures": arguments.pictures,
                "seconds": round(elapsed, 3),
                "images_per_s": round(arguments.pictures / elapsed, 3),
                "cpu_ms_per_image": round(cpu / arguments.pictures * 1000, 1),
            }
        )
    )


if __name__ == "__main__":
    main()
