"""The recipe that tutorials give for searching pictures by text, as a process of its own.

sentence-transformers' CLIP embeds the text, pymilvus searches an IVF_PQ index; one query after the other, as the recipe
does. Reads a text a line and answers each with a line of JSON: the seconds that embedding and searching took, and ids.

    PYTHON -m loadtest.bench.serving.recipe_search CHECKPOINT --uri http://127.0.0.1:19530 --collection NAME

PYTHON has torch, sentence-transformers and pymilvus (`make export-env`).
"""

import argparse
import json
import sys
import time

from loadtest.bench.recipe_index import open_model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint")
    parser.add_argument("--uri", required=True)
    parser.add_argument("--collection", required=True)
    parser.add_argument("--nprobe", type=int, default=20)
    parser.add_argument("--limit", type=int, default=10)
    arguments = parser.parse_args()
    from pymilvus import MilvusClient

    model = open_model(arguments.checkpoint)
    client = MilvusClient(arguments.uri, timeout=60)
    params = {"metric_type": "IP", "params": {"nprobe": arguments.nprobe}}
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        began = time.perf_counter()
        vector = model.encode(line.rstrip("\n"), normalize_embeddings=True, show_progress_bar=False)
        embedded = time.perf_counter()
        found = client.search(
            arguments.collection, data=[vector.tolist()], limit=arguments.limit, search_params=params, timeout=60
        )
        ended = time.perf_counter()
        ids = [hit["id"] for hit in found[0]]
        print(json.dumps({"embed_s": embedded - began, "search_s": ended - embedded, "ids": ids}), flush=True)


if __name__ == "__main__":
    main()
