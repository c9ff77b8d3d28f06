"""The two ONNX graphs, written node by node from a checkpoint's weights.

Written out rather than traced: the graph then does not depend on the release of torch or transformers, takes uint8
pixels and int32 ids, and computes the last layer only where it is read (the pooled token), which saves 5 to 7 % of the
work. Fused operators of onnxruntime were measured and gave nothing, since it fuses these patterns itself at load; so
float graphs hold standard operators of opset 17 only, which every ONNX Runtime since 1.12 (Triton 22.07) reads, and
which TensorRT can take whole.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np

from vitrine.models.begin_token import KeyValue, begin_of_text
from vitrine.models.checkpoint import Checkpoint, Tower, Weights
from vitrine.models.graph import Array, Graph, Linear

if TYPE_CHECKING:
    import onnx

MASKED = -1e4
"""Added to the scores of later tokens: far below any score, exp() of it is exactly 0, and float16 can hold it."""

Pool: TypeAlias = Callable[[str], str]
"""Names a tensor [batch, tokens, width]; answers the name of [batch, width]."""


class _Known(NamedTuple):
    """A token that is the same in every text, and the name of the shape [batch, 1, 1, 1] that it is repeated to."""

    token: KeyValue
    shape: str

    def before(self, graph: Graph, rows: str, part: Array, linear: Linear, axis: int) -> str:
        """`rows` with that part of the token put in front of every text's."""
        repeated = graph.op("Expand", graph.constant(part, linear.dtype), self.shape)
        return graph.op("Concat", repeated, rows, axis=axis)


def text_graph(checkpoint: Checkpoint, linear: Linear) -> "onnx.ModelProto":
    """`input_ids` INT32 [batch, length] to `embedding` FP32 [batch, dim], each row of unit length.

    Attention is causal and the result is read at the first end of text, so ids after it cannot change it: any padding
    to any length up to the context is the same to the last bits.

    The first id of every text is the begin of text. What it amounts to is in the graph: it is not read, and its row not
    computed.
    """
    graph, weights = Graph(), checkpoint.weights
    prefix = "text_model."
    zero, one = graph.constant([0]), graph.constant([1])
    length = graph.op("Shape", "input_ids", start=1, end=2)
    ids = graph.op("Slice", "input_ids", one, length, one)
    shape = graph.op("Concat", graph.op("Shape", "input_ids", end=1), graph.constant([1, 1, 1]), axis=0)
    known = [_Known(token, shape) for token in begin_of_text(checkpoint)]
    table = graph.constant(weights[prefix + "embeddings.token_embedding.weight"].astype(linear.dtype))
    positions = graph.constant(weights[prefix + "embeddings.position_embedding.weight"].astype(linear.dtype))
    x = graph.op("Add", graph.op("Gather", table, ids), graph.op("Slice", positions, one, length, zero))

    side = checkpoint.context_length
    causal = graph.constant(np.triu(np.full((side, side), MASKED), 1), linear.dtype)
    lengths = graph.op("Concat", length, length, axis=0)
    mask = graph.op("Slice", causal, graph.constant([1, 0]), lengths, graph.constant([0, 1]))
    is_end = graph.op("Equal", ids, graph.constant(np.array(checkpoint.end_id), np.int32))
    # As float32, because that is the type whose ArgMax every execution provider has; the first of equals is taken.
    end = graph.op("ArgMax", graph.cast(is_end, np.float32), axis=1, keepdims=1)
    row = graph.op("Unsqueeze", graph.op("Gather", mask, end, axis=0), graph.constant([1]))

    def pool(tensor: str) -> str:
        return graph.op("GatherND", tensor, end, batch_dims=1)

    x = _encoder(graph, x, checkpoint.text, weights, prefix, linear, pool, (mask, row), known)
    x = _layer_norm(graph, x, weights, prefix + "final_layer_norm", checkpoint.text, linear)
    _normalised(graph, linear.apply(graph, x, weights["text_projection.weight"], None), linear)
    return graph.model("clip_text", ("input_ids", np.int32, ["batch", "length"]), checkpoint.dimension)


def image_graph(checkpoint: Checkpoint, linear: Linear) -> "onnx.ModelProto":
    """`pixels` UINT8 [batch, size, size, 3] RGB to `embedding` FP32 [batch, dim], each row of unit length.

    Scaling, mean and deviation, and the cut into patches are part of the graph.
    """
    graph, weights, policy = Graph(), checkpoint.weights, checkpoint.policy
    prefix, width, patch = "vision_model.", checkpoint.image.width, checkpoint.patch
    across = policy.size // patch
    mean, std = np.array(policy.mean), np.array(policy.std)
    x = graph.cast("pixels", np.float32)
    x = graph.op("Mul", x, graph.constant(1 / (255 * std), np.float32))
    x = graph.op("Add", x, graph.constant(-mean / std, np.float32))
    if linear.dtype is not np.float32:
        x = graph.cast(x, linear.dtype)
    # A convolution whose stride is its kernel is a product with each patch laid flat; no NCHW transpose is needed.
    x = graph.op("Reshape", x, graph.constant([0, across, patch, across, patch * 3]))
    x = graph.op("Transpose", x, perm=[0, 1, 3, 2, 4])
    x = graph.op("Reshape", x, graph.constant([0, across * across, patch * patch * 3]))
    kernel = weights[prefix + "embeddings.patch_embedding.weight"].transpose(0, 2, 3, 1).reshape(width, -1)
    x = linear.apply(graph, x, kernel, None)
    # The class token goes in front: a row of zeros there, and the token itself within the table of positions.
    positions = weights[prefix + "embeddings.position_embedding.weight"].copy()
    positions[0] += weights[prefix + "embeddings.class_embedding"]
    x = graph.op("Pad", x, graph.constant([0, 1, 0, 0, 0, 0]))
    x = graph.op("Add", x, graph.constant(positions, linear.dtype))
    x = _layer_norm(graph, x, weights, prefix + "pre_layrnorm", checkpoint.image, linear)  # spelt so by transformers
    first = graph.constant(np.array(0), np.int64)

    def pool(tensor: str) -> str:
        return graph.op("Gather", tensor, first, axis=1)

    x = _encoder(graph, x, checkpoint.image, weights, prefix, linear, pool, None, None)
    x = _layer_norm(graph, x, weights, prefix + "post_layernorm", checkpoint.image, linear)
    _normalised(graph, linear.apply(graph, x, weights["visual_projection.weight"], None), linear)
    return graph.model("clip_image", ("pixels", np.uint8, ["batch", policy.size, policy.size, 3]), checkpoint.dimension)


def _encoder(
    graph: Graph,
    x: str,
    tower: Tower,
    weights: Weights,
    prefix: str,
    linear: Linear,
    pool: Pool,
    masks: tuple[str, str] | None,
    known: list[_Known] | None,
) -> str:
    """All layers over x [batch, tokens, width]; answers [batch, width] at the pooled token.

    Args:
        masks: added to the scores: [tokens, tokens] in the layers, [batch, 1, 1, tokens] for the pooled token.
        known: a token before all others, by layer, which is attended to but not in x; masks have a column for it.
    """
    for index in range(tower.layers):
        layer = f"{prefix}encoder.layers.{index}."
        before = known[index] if known else None
        normed = _layer_norm(graph, x, weights, layer + "layer_norm1", tower, linear)
        if index < tower.layers - 1:
            attended = _attention(graph, normed, tower, weights, layer, linear, masks and masks[0], before)
        else:
            query, x = pool(normed), pool(x)
            mask = masks and masks[1]
            attended = _pooled_attention(graph, query, normed, tower, weights, layer, linear, mask, before)
        out = layer + "self_attn.out_proj."
        x = graph.op("Add", x, linear.apply(graph, attended, weights[out + "weight"], weights[out + "bias"]))
        normed = _layer_norm(graph, x, weights, layer + "layer_norm2", tower, linear)
        x = graph.op("Add", x, _feed_forward(graph, normed, tower, weights, layer, linear))
    return x


def _attention(
    graph: Graph,
    x: str,
    tower: Tower,
    weights: Weights,
    layer: str,
    linear: Linear,
    mask: str | None,
    known: _Known | None,
) -> str:
    """Self-attention of x [batch, tokens, width] before its output projection."""
    merged = linear.apply(graph, x, *projections(weights, layer, tower, "qkv"))
    # The three stand one after the other as heads, so that cutting them apart leaves no axis to squeeze.
    heads = graph.op("Reshape", merged, graph.constant([0, 0, 3 * tower.heads, tower.width // tower.heads]))
    heads = graph.op("Transpose", heads, perm=[0, 2, 1, 3])
    if known is None:
        query, key, value = graph.ops("Split", heads, outputs=3, axis=1)
    else:
        sizes = graph.constant([tower.heads, 2 * tower.heads])
        query, rest = graph.ops("Split", heads, sizes, outputs=2, axis=1)
        rest = known.before(graph, rest, np.concatenate(known.token)[:, None], linear, axis=2)
        key, value = graph.ops("Split", rest, outputs=2, axis=1)
    scores = graph.op("MatMul", query, graph.op("Transpose", key, perm=[0, 1, 3, 2]))
    if mask:
        scores = graph.op("Add", scores, mask)
    mixed = graph.op("MatMul", graph.op("Softmax", scores, axis=-1), value)
    return graph.op("Reshape", graph.op("Transpose", mixed, perm=[0, 2, 1, 3]), graph.constant([0, 0, tower.width]))


def _pooled_attention(
    graph: Graph,
    query: str,
    x: str,
    tower: Tower,
    weights: Weights,
    layer: str,
    linear: Linear,
    mask: str | None,
    known: _Known | None,
) -> str:
    """Attention of one token `query` [batch, width] over x [batch, tokens, width], before its output projection."""
    size = tower.width // tower.heads
    query = linear.apply(graph, query, *projections(weights, layer, tower, "q"))
    query = graph.op("Reshape", query, graph.constant([0, tower.heads, 1, size]))
    heads = graph.constant([0, 0, tower.heads, size])
    key = graph.op("Reshape", linear.apply(graph, x, *projections(weights, layer, tower, "k")), heads)
    value = graph.op("Reshape", linear.apply(graph, x, *projections(weights, layer, tower, "v")), heads)
    if known is not None:
        key, value = (
            known.before(graph, rows, part[None], linear, axis=1)
            for rows, part in zip((key, value), known.token, strict=True)
        )
    scores = graph.op("MatMul", query, graph.op("Transpose", key, perm=[0, 2, 3, 1]))
    if mask:
        scores = graph.op("Add", scores, mask)
    mixed = graph.op("MatMul", graph.op("Softmax", scores, axis=-1), graph.op("Transpose", value, perm=[0, 2, 1, 3]))
    return graph.op("Reshape", mixed, graph.constant([0, tower.width]))


def projections(weights: Weights, layer: str, tower: Tower, which: str) -> tuple[Array, Array]:
    """Weight and bias of the named projections one under the other; the query's carry the scale of attention."""
    scale = {"q": (tower.width // tower.heads) ** -0.5, "k": 1.0, "v": 1.0}
    names = [(f"{layer}self_attn.{letter}_proj.", scale[letter]) for letter in which]
    return (
        np.concatenate([weights[name + "weight"] * factor for name, factor in names]).astype(np.float32),
        np.concatenate([weights[name + "bias"] * factor for name, factor in names]).astype(np.float32),
    )


def _feed_forward(graph: Graph, x: str, tower: Tower, weights: Weights, layer: str, linear: Linear) -> str:
    fc1, fc2 = f"{layer}mlp.fc1.", f"{layer}mlp.fc2."
    hidden = linear.apply(graph, x, weights[fc1 + "weight"], weights[fc1 + "bias"])

    def number(value: float) -> str:
        return graph.constant(np.array(value), linear.dtype)

    if tower.activation == "quick_gelu":
        gate = graph.op("Sigmoid", graph.op("Mul", hidden, number(1.702)))
        hidden = graph.op("Mul", hidden, gate)
    else:
        error = graph.op("Erf", graph.op("Div", hidden, number(2**0.5)))
        hidden = graph.op("Mul", graph.op("Mul", hidden, graph.op("Add", error, number(1.0))), number(0.5))
    return linear.apply(graph, hidden, weights[fc2 + "weight"], weights[fc2 + "bias"])


def _layer_norm(graph: Graph, x: str, weights: Weights, name: str, tower: Tower, linear: Linear) -> str:
    scale = graph.constant(weights[name + ".weight"], linear.dtype)
    bias = graph.constant(weights[name + ".bias"], linear.dtype)
    return graph.op("LayerNormalization", x, scale, bias, axis=-1, epsilon=tower.epsilon)


def _normalised(graph: Graph, x: str, linear: Linear) -> None:
    """Ends the graph: in float32 whatever the rest is in, so that scores of unit vectors stay within [-1, 1]."""
    if linear.dtype is not np.float32:
        x = graph.cast(x, np.float32)
    graph.op("Div", x, graph.op("ReduceL2", x, axes=[1], keepdims=1), output="embedding")
