"""The begin of text, computed once: it is the first token of every text, and nothing that follows can change it.

Attention is causal, so the begin of text attends to itself alone and is the same in every layer of every text. What the
other tokens need of it are its keys and values. A graph that holds these as constants computes one row less of each
text, a quarter of the shortest ones. For int8 it also matters that trained models keep their largest numbers in this
row (Xiao et al., "Efficient Streaming Language Models with Attention Sinks", arXiv 2309.17453; Sun et al., "Massive
Activations in Large Language Models", arXiv 2402.17762), where they would set the scale that all tokens are rounded by.
"""

import math
from typing import NamedTuple

import numpy as np

from vitrine.models.checkpoint import Checkpoint, Tower, Weights
from vitrine.models.graph import Array

_PREFIX = "text_model."


class KeyValue(NamedTuple):
    """One token as a layer's attention sees it: its key and its value, float32 [heads, width / heads] each."""

    key: Array
    value: Array


def begin_of_text(checkpoint: Checkpoint) -> list[KeyValue]:
    """Keys and values of the begin of text, by layer of the text tower; computed in float64."""
    weights, tower = checkpoint.weights, checkpoint.text
    x = weights[_PREFIX + "embeddings.token_embedding.weight"][checkpoint.begin_id].astype(np.float64)
    x = x + weights[_PREFIX + "embeddings.position_embedding.weight"][0]
    found = []
    for index in range(tower.layers):
        layer = f"{_PREFIX}encoder.layers.{index}."
        normed = _layer_norm(x, weights, layer + "layer_norm1", tower)
        key, value = (_linear(normed, weights, f"{layer}self_attn.{letter}_proj") for letter in "kv")
        heads = (tower.heads, tower.width // tower.heads)
        found.append(KeyValue(key.reshape(heads).astype(np.float32), value.reshape(heads).astype(np.float32)))
        # With one token to attend to, attention gives that token's value.
        x = x + _linear(value, weights, layer + "self_attn.out_proj")
        hidden = _linear(_layer_norm(x, weights, layer + "layer_norm2", tower), weights, layer + "mlp.fc1")
        x = x + _linear(_activated(hidden, tower), weights, layer + "mlp.fc2")
    return found


def _linear(x: Array, weights: Weights, name: str) -> Array:
    return np.asarray(weights[name + ".weight"].astype(np.float64) @ x + weights[name + ".bias"])


def _layer_norm(x: Array, weights: Weights, name: str, tower: Tower) -> Array:
    unit = (x - x.mean()) / np.sqrt(x.var() + tower.epsilon)
    return np.asarray(unit * weights[name + ".weight"] + weights[name + ".bias"])


def _activated(x: Array, tower: Tower) -> Array:
    if tower.activation == "quick_gelu":
        return np.asarray(x / (1 + np.exp(-1.702 * x)))
    return np.asarray(0.5 * x * (1 + np.array([math.erf(number / 2**0.5) for number in x])))
