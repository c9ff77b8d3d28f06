"""What does scaled JPEG decoding (image policy 2) change in the vectors, and what does it save?

    PYTHON loadtest/bench/decode_fidelity.py REPOSITORY... [--pictures 200] [--photographs FOLDER]

PYTHON has onnxruntime (`make export-env`). Every picture is embedded twice by each repository's image model, decoded
whole and decoded at a fraction of its size, in drawn photographs of 1166 x 1750 or in the JPEGs of a folder. Compared
are the two vectors of a picture, and the ten nearest others of each picture before and after. Fails below the gate.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from photographs import files_of

from vitrine.embedding.contract import IMAGE_MODEL, ModelContract
from vitrine.embedding.preprocess import prepare
from vitrine.models.agreement import open_graph
from vitrine.models.fidelity import Fidelity, FidelityGate
from vitrine.settings import ImageSettings

GATE = FidelityGate(mean_cosine=0.999, top_10=0.98)
BATCH = 8
LIMITS = ImageSettings()


def pixels_of(files: list[bytes], contract: ModelContract, policy: int) -> tuple[npt.NDArray[np.uint8], float]:
    """All pictures as uint8 [n, size, size, 3], and the processor milliseconds that one took."""
    chosen = contract.image.model_copy(update={"policy": policy})
    began = time.process_time()
    pixels = np.stack([prepare(file, chosen, LIMITS) for file in files])
    return pixels, (time.process_time() - began) / len(files) * 1000


def measure(repository: Path, files: list[bytes]) -> dict[str, Any]:
    """Figures of one repository."""
    contract = ModelContract.load(repository)
    session = open_graph(repository / IMAGE_MODEL / "1" / "model.onnx")

    def embed(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        starts = range(0, len(pixels), BATCH)
        return np.concatenate([session.run(None, {"pixels": pixels[start : start + BATCH]})[0] for start in starts])

    (whole, whole_ms), (scaled, scaled_ms) = (pixels_of(files, contract, policy) for policy in (1, 2))
    found = Fidelity.between(embed(whole), embed(scaled))
    return {
        "model": contract.model,
        "precision": contract.precision,
        "pictures": len(files),
        "whole_ms": round(whole_ms, 2),
        "scaled_ms": round(scaled_ms, 2),
        "mean_cosine": round(found.mean_cosine, 6),
        "min_cosine": round(found.min_cosine, 6),
        "top_10_overlap": round(found.top_10, 4),
        "accepted": GATE.accepts(found),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("repositories", type=Path, nargs="+")
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--photographs", type=Path, help="JPEGs of your own instead of drawn ones")
    arguments = parser.parse_args()
    files = files_of(arguments.photographs, arguments.pictures)
    if len(files) <= 10:
        raise SystemExit("Ten neighbours need more than ten pictures.")
    results = [measure(repository, files) for repository in arguments.repositories]
    print(json.dumps(results, indent=2))
    sys.exit(0 if all(result["accepted"] for result in results) else 1)


if __name__ == "__main__":
    main()
