"""Does an image model of reduced precision find the same neighbours as the one in fp32?

    PYTHON loadtest/bench/precision_fidelity.py FP32 [INT8] [--pictures 200] [--photographs FOLDER]

PYTHON has onnxruntime (`make export-env`). FP32 and INT8 are repositories of one checkpoint. Without INT8 the fp32
graph is quantised on the fly by onnxruntime, in the way of `vitrine.models.precision.DynamicInt8Linear`; so a
repository whose checkpoint is not at hand, as the demo model's, can be asked too. Fails below the gate.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
from photographs import files_of

from vitrine.domain import Vectors
from vitrine.embedding.contract import IMAGE_MODEL, ModelContract
from vitrine.embedding.preprocess import prepare
from vitrine.models.agreement import open_graph
from vitrine.models.fidelity import INT8_GATE, Fidelity
from vitrine.settings import ImageSettings

BATCH = 16


def quantised(path: Path, folder: Path) -> Path:
    """The graph with int8 weights, one scale a column, and activations quantised with one scale a call."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    target = folder / "model.onnx"
    quantize_dynamic(path, target, per_channel=True, weight_type=QuantType.QInt8, op_types_to_quantize=["MatMul"])
    return target


def embed(path: Path, pictures: npt.NDArray[np.uint8]) -> Vectors:
    """float32 [n, dim]."""
    session = open_graph(path)
    starts = range(0, len(pictures), BATCH)
    return np.concatenate([session.run(None, {"pixels": pictures[start : start + BATCH]})[0] for start in starts])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("fp32", type=Path)
    parser.add_argument("int8", type=Path, nargs="?")
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--photographs", type=Path, help="JPEGs of your own instead of drawn ones")
    arguments = parser.parse_args()
    contract = ModelContract.load(arguments.fp32)
    graph = Path(IMAGE_MODEL) / "1" / "model.onnx"
    files = files_of(arguments.photographs, arguments.pictures)
    pictures = np.stack([prepare(file, contract.image, ImageSettings()) for file in files])
    with tempfile.TemporaryDirectory() as name:
        reduced = arguments.int8 / graph if arguments.int8 else quantised(arguments.fp32 / graph, Path(name))
        found = Fidelity.between(embed(arguments.fp32 / graph, pictures), embed(reduced, pictures))
    accepted = INT8_GATE.accepts(found)
    print(
        json.dumps(
            {
                "model": contract.model,
                "pictures": found.compared,
                "mean_cosine": round(found.mean_cosine, 6),
                "min_cosine": round(found.min_cosine, 6),
                "top_10_overlap": round(found.top_10, 4),
                "gate": str(INT8_GATE),
                "accepted": accepted,
            },
            indent=2,
        )
    )
    sys.exit(0 if accepted else 1)


if __name__ == "__main__":
    main()
