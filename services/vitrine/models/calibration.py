"""What goes into each product of a text model, seen on made-up texts.

An export has nothing but the checkpoint, so the texts are words of its own vocabulary, drawn by chance, with as many
tokens as shoppers' queries have. They need not make sense: of the numbers that they bring about, only the means and how
these go up and down together are used.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from vitrine.errors import ModelInvalid
from vitrine.models.agreement import Ids
from vitrine.models.checkpoint import Checkpoint
from vitrine.models.graph import LARGEST_FILE, Array, Dtype, Graph
from vitrine.models.precision import FloatLinear, name_of
from vitrine.models.rounding import Inputs
from vitrine.models.towers import text_graph

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

TEXTS = {3: 225, 4: 300, 5: 300, 6: 225, 7: 150, 8: 150, 12: 90, 20: 60}
"""How many texts of each number of tokens, begin and end included."""

_TOKENS_A_RUN = 1_024
_END_OF_WORD = "</w>"


@dataclass(frozen=True, slots=True)
class _Observed:
    """Multiplies in float32, and notes by the name of its weights where each product takes its inputs from."""

    dtype: ClassVar[Dtype] = np.float32
    label: ClassVar[str] = "float32, observed"
    sources: dict[str, str] = field(default_factory=dict)

    def apply(self, graph: Graph, x: str, weight: Array, bias: Array | None) -> str:
        self.sources[name_of(weight)] = x
        return FloatLinear().apply(graph, x, weight, bias)


class _Sums:
    """Over the rows of one tensor, as they come."""

    def __init__(self, first: Array) -> None:
        # Counted from a point among them: where means are large, float32 would not hold what lies around them.
        self._origin = first.reshape(-1, first.shape[-1]).mean(axis=0)
        self._rows = 0
        self._sum = np.zeros(len(self._origin))
        self._products = np.zeros((len(self._origin),) * 2, np.float32)

    def add(self, x: Array) -> None:
        rows = x.reshape(-1, len(self._origin)) - self._origin
        self._rows += len(rows)
        self._sum += rows.sum(axis=0, dtype=np.float64)
        self._products += rows.T @ rows

    def inputs(self) -> Inputs:
        mean = self._sum / self._rows
        moments = self._products / self._rows - np.outer(mean, mean)
        return Inputs(self._origin + mean, moments.astype(np.float32))


def text_inputs(checkpoint: Checkpoint, *, seed: int = 0) -> Mapping[str, Inputs]:
    """What goes into each product of the text model, by the name of its weights (`precision.name_of`).

    Raises:
        ModelInvalid: the model's numbers are not finite, or it is too large to be run in float32.
    """
    observed = _Observed()
    session, tensors = _open(checkpoint, observed)
    sums: dict[str, _Sums] = {}
    for ids in calibration_texts(checkpoint, seed=seed):
        for tensor, x in zip(tensors, session.run(tensors, {"input_ids": ids}), strict=True):
            if not np.isfinite(x).all():
                raise ModelInvalid(f"{checkpoint.name}: a text gives numbers within the model that are not finite.")
            sums.setdefault(tensor, _Sums(x)).add(x)
    return {name: sums[tensor].inputs() for name, tensor in observed.sources.items()}


def calibration_texts(checkpoint: Checkpoint, *, seed: int = 0) -> Iterator[Ids]:
    """int32 [n, length]: texts of `TEXTS`, without padding, as far as the checkpoint's context holds them.

    The same seed gives the same texts of the same vocabulary.
    """
    rng = np.random.default_rng(seed)
    special = {checkpoint.begin_id, checkpoint.end_id}
    words = [
        number
        for token, number in checkpoint.vocabulary.items()
        if token.removesuffix(_END_OF_WORD).isalpha() and token.endswith(_END_OF_WORD) and number not in special
    ]
    # By their ids, for a vocabulary may come in any order.
    ordinary = np.array(sorted(words or set(checkpoint.vocabulary.values()) - special))
    for length, count in TEXTS.items():
        if length > checkpoint.context_length:
            break
        ids = rng.choice(ordinary, (count, length)).astype(np.int32)
        ids[:, 0], ids[:, -1] = checkpoint.begin_id, checkpoint.end_id
        at_once = _TOKENS_A_RUN // length
        yield from (ids[start : start + at_once] for start in range(0, count, at_once))


def _open(checkpoint: Checkpoint, observed: _Observed) -> tuple["InferenceSession", list[str]]:
    """The text model in float32, and the names of the tensors that go into its products, which are outputs of it."""
    import onnxruntime
    from onnx import TensorProto, helper

    model = text_graph(checkpoint, observed)
    if model.ByteSize() > LARGEST_FILE:
        raise ModelInvalid(f"{checkpoint.name}: a text model above 2 GiB in float32 cannot be calibrated. Try fp16.")
    tensors = list(dict.fromkeys(observed.sources.values()))
    model.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in tensors)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session, tensors
