"""What do the two write paths cost: upserts of kept embeddings, and the bulk import of the same?

Keeps random unit vectors as if a model had made them, and runs the product's own verbs against a Milvus of its own, one
path after the other. Times are by the clock; `cpu_s` is processor time of the verb alone, without Milvus.

    make engines
    python loadtest/bench/write_paths.py [--rows 40000] [--dimension 512] [--index hnsw] [--json FILE]
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from local_milvus import local_milvus

from vitrine.domain import CatalogueItem, EmbeddedItem, FieldSpec, FieldType
from vitrine.indexer.kept import EmbeddingKeeper, KeptHeader
from vitrine.indexer.states import Embedded, Mark

_FIELDS = (FieldSpec("colour", FieldType.TEXT, 64, facetable=True), FieldSpec("price", FieldType.NUMBER))
_BATCH = 4_096


def main() -> None:
    """Measures both and prints what came of it."""
    options = _options()
    environment = {**os.environ, "VITRINE_MODEL__REPOSITORY": "/nowhere"}
    with (
        tempfile.TemporaryDirectory(prefix="vitrine-bench-") as name,
        local_milvus(options.engines.absolute()) as milvus,
    ):
        folder = Path(name)
        environment |= {"VITRINE_MILVUS__URI": milvus.uri, "VITRINE_LOCAL__STATE_DIR": str(folder / "state")}
        kept, files = str(folder / "kept"), str(folder / "files")
        _keep(Path(kept), options.rows, options.dimension)
        index = ["--index", options.index]
        figures = {
            "rows": options.rows,
            "dimension": options.dimension,
            "index": options.index,
            "upserts": _verb(environment, "index", "--from-embeddings", kept, "--collection", "upserted", *index),
            "bulk_write": _verb(environment, "bulk", "write", "--from-embeddings", kept, "--output", files),
            "bulk_check": _verb(environment, "bulk", "check", files),
            "bulk_import": _verb(
                environment, "bulk", "import", files, "--collection", "imported", "--no-check", *index
            ),
        }
    text = json.dumps(figures, indent=2)
    print(text)
    if options.json is not None:
        options.json.write_text(text + "\n", encoding="utf-8")


def _verb(environment: dict[str, str], *words: str) -> dict[str, Any]:
    """Runs one verb; its figures, and its time."""
    before, began = _cpu_of_children(), time.monotonic()
    command = [sys.executable, "-m", "vitrine.indexer", *words, "--json"]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)  # noqa: S603
    told = json.loads(done.stdout)
    names = ("elapsed_s", "importing_s", "finishing_s", "in_collection", "bytes")
    figures = {name: told[name] for name in names if name in told}
    return {
        "clock_s": round(time.monotonic() - began, 1),
        "cpu_s": round(_cpu_of_children() - before, 1),
        **figures,
    }


def _cpu_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _keep(folder: Path, rows: int, dimension: int) -> None:
    header = KeptHeader("f" * 64, "random", dimension, _FIELDS, "bench", "0" * 16)
    keeper = EmbeddingKeeper(folder, header)
    random = np.random.default_rng(0)
    for start in range(0, rows, _BATCH):
        vectors = random.standard_normal((min(_BATCH, rows - start), dimension), dtype=np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        batch = []
        for offset, vector in enumerate(vectors):
            name = f"{start + offset:010d}"
            item = CatalogueItem(name, Path(), f"images/{name}.jpg", f"Product {name}", name[:7], {"colour": "red"})
            batch.append(Embedded(EmbeddedItem(item, vector), Mark(name, (start + offset).to_bytes(32), bytes(32))))
        keeper.add(batch)
    keeper.close()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=40_000)
    parser.add_argument("--dimension", type=int, default=512)
    parser.add_argument("--index", default="hnsw")
    parser.add_argument("--engines", type=Path, default=Path(".engines"))
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
