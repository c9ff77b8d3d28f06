"""The text tower of an exported fp32 repository, read back as the checkpoint that it was exported from.

For repositories whose checkpoint is not at hand, as the demo model's: what the exporter makes of the checkpoint in
another precision can then be made of the repository. Weights are found by the order in which the exporter writes them.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np

from vitrine.embedding.contract import TEXT_MODEL, TOKENIZER_FILE, ModelContract
from vitrine.embedding.tokenizer import BOS, EOT
from vitrine.models.checkpoint import Checkpoint, Tower

Array = np.ndarray[Any, Any]
_PREFIX = "text_model."


def read_text_checkpoint(repository: Path) -> Checkpoint:
    """Everything that text graphs are built from; the image tower and transformers' model are not there.

    Args:
        repository: in fp32, of this or an earlier exporter.
    """
    import onnx
    from onnx import numpy_helper

    contract = ModelContract.load(repository)
    vocabulary = json.loads((repository / TOKENIZER_FILE).read_text(encoding="utf-8"))["model"]["vocab"]
    graph = onnx.load(repository / TEXT_MODEL / "1" / "model.onnx").graph
    constants = {constant.name: numpy_helper.to_array(constant) for constant in graph.initializer}
    norms = [node for node in graph.node if node.op_type == "LayerNormalization"]
    table = next(constants[node.input[0]] for node in graph.node if node.op_type == "Gather")
    positions = next(
        constants[node.input[0]] for node in graph.node if node.op_type == "Slice" and node.input[0] in constants
    )
    size = next(int(constants[node.input[1]][-1]) for node in graph.node if node.op_type == "Reshape")
    tower = Tower(
        layers=(len(norms) - 1) // 2,
        heads=table.shape[1] // size,
        width=table.shape[1],
        activation="quick_gelu" if any(node.op_type == "Sigmoid" for node in graph.node) else "gelu",
        epsilon=next(attribute.f for attribute in norms[0].attribute if attribute.name == "epsilon"),
    )
    weights = {
        _PREFIX + "embeddings.token_embedding.weight": table,
        _PREFIX + "embeddings.position_embedding.weight": positions,
        **_norm_weights(tower, [(constants[node.input[1]], constants[node.input[2]]) for node in norms]),
        **_product_weights(tower, _products(graph, constants)),
    }
    return Checkpoint(
        name=contract.model,
        model=cast("Any", None),
        weights=weights,
        text=tower,
        image=tower,
        vocabulary=vocabulary,
        merges=[],
        begin_id=vocabulary[BOS],
        end_id=vocabulary[EOT],
        pad_id=vocabulary[EOT],
        context_length=contract.context_length,
        dimension=contract.dimension,
        patch=0,
        policy=contract.image,
    )


def _products(graph: Any, constants: dict[str, Array]) -> Iterator[tuple[Array, Array]]:
    """Weight [out, in] and bias [out] of each product with a constant, in order; a bias that is not there is zero."""
    users = {name: node for node in reversed(graph.node) for name in node.input}
    for node in graph.node:
        if node.op_type == "MatMul" and node.input[1] in constants:
            weight = np.ascontiguousarray(constants[node.input[1]].T)
            after = users[node.output[0]]
            added = [constants[name] for name in after.input if name in constants] if after.op_type == "Add" else []
            yield weight, added[0] if added else np.zeros(len(weight), np.float32)


def _norm_weights(tower: Tower, norms: list[tuple[Array, Array]]) -> dict[str, Array]:
    names = [f"encoder.layers.{index}.layer_norm{which}" for index in range(tower.layers) for which in (1, 2)]
    return {
        f"{_PREFIX}{name}.{part}": value
        for name, pair in zip([*names, "final_layer_norm"], norms, strict=True)
        for part, value in zip(("weight", "bias"), pair, strict=True)
    }


def _product_weights(tower: Tower, products: Iterator[tuple[Array, Array]]) -> dict[str, Array]:
    weights: dict[str, Array] = {}
    for index in range(tower.layers):
        layer = f"{_PREFIX}encoder.layers.{index}."
        # One product gives query, key and value; in the last layer each has its own.
        pairs = [next(products) for _ in range(3 if index == tower.layers - 1 else 1)]
        merged = [np.concatenate(parts) for parts in zip(*pairs, strict=True)]
        for part, values in zip(("weight", "bias"), merged, strict=True):
            for letter, value in zip("qkv", np.split(values, 3), strict=True):
                factor = (tower.width // tower.heads) ** 0.5 if letter == "q" else 1.0
                weights[f"{layer}self_attn.{letter}_proj.{part}"] = np.asarray(value * factor, np.float32)
        for name in ("self_attn.out_proj", "mlp.fc1", "mlp.fc2"):
            weights[f"{layer}{name}.weight"], weights[f"{layer}{name}.bias"] = next(products)
    weights["text_projection.weight"], _ = next(products)
    return weights
