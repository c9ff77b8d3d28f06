"""What one training step of the demo model sees: pictures, sentences, and which of them belong together."""

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import tokenizers

from vitrine.demo.captions import Spec, training_sentence
from vitrine.demo.design import Product, shade_of
from vitrine.demo.vocabulary import COLOURS, GARMENTS, PATTERNS
from vitrine.demo.wording import GROUPS, SHADE_WORDS, SMALL_TALK
from vitrine.domain import Pixels
from vitrine.embedding.cleaning import clean

Ids = npt.NDArray[np.int64]
Truth = npt.NDArray[np.bool_]

CONTEXT = 77
# How often a caption names which attributes: (noun, colour, pattern) -> weight. Whole triples are hardest, so most.
_MIX: dict[tuple[bool, bool, bool], float] = {
    (True, False, False): 0.08,
    (False, True, False): 0.07,
    (False, False, True): 0.08,
    (True, True, False): 0.17,
    (True, False, True): 0.17,
    (False, True, True): 0.13,
    (True, True, True): 0.30,
}
_GROUP_SHARE = 0.15
_SHADE_SHARE = 0.3
_SMALL_TALK_SHARE = 0.15
_GIBBERISH_SHARE = 0.05
_LONG_EVERY = 40  # steps; then captions are filled up to the whole context
_NARROW_SHARE = 0.5  # steps whose pictures come from a corner of the vocabulary, so that near misses meet
_MAX_SHIFT = 6  # pixels


Encode = Callable[[Sequence[str]], Ids]
"""Texts to token ids, int64 [n, length], each padded with EOT to the longest."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Pictures uint8 [n, 224, 224, 3], token ids int64 [n, length], truth bool [n pictures, n captions].

    `codes`, int64 [n, 3], number each picture's garment, colour and pattern; `gain` and `lift`, float32 [n], are the
    contrast and brightness each picture is to be seen with.
    """

    pixels: Pixels
    ids: Ids
    truth: Truth
    codes: Ids
    gain: npt.NDArray[np.float32]
    lift: npt.NDArray[np.float32]


class Batches:
    """Makes the batch of any step from the seed and the step's number alone, so that a resumed training continues."""

    def __init__(self, products: Sequence[Product], pixels: Pixels, encode: Encode, *, size: int, seed: int) -> None:
        self._products = products
        self._pixels = pixels
        self._encode = encode
        self._size = size
        self._seed = seed
        self._codes = codes_of(products)

    def __call__(self, step: int) -> Batch:
        draw, rng = np.random.default_rng([self._seed, step]), random.Random(f"{self._seed}/{step}")
        chosen = self._choose(draw)
        specs = [describe(self._products[index], rng) for index in chosen]
        sentences = [_disturbed(training_sentence(spec, rng), rng) for spec in specs]
        if step % _LONG_EVERY == _LONG_EVERY - 1:
            sentences = [" ".join([sentence, *rng.choices(SMALL_TALK, k=rng.randrange(80))]) for sentence in sentences]
        return Batch(
            pixels=np.stack([_shifted(self._pixels[index], rng) for index in chosen]),
            ids=self._encode(sentences),
            truth=truth_matrix(specs, self._codes[chosen]),
            codes=self._codes[chosen, :3],
            gain=draw.uniform(0.9, 1.1, len(chosen)).astype(np.float32),
            lift=draw.uniform(-10, 10, len(chosen)).astype(np.float32),
        )

    def _choose(self, draw: np.random.Generator) -> npt.NDArray[np.int64]:
        pool = np.arange(len(self._products))
        if draw.random() < _NARROW_SHARE:
            kept = [draw.permutation(len(keys))[:share] for keys, share in zip(_KEYS, (6, 6, 5), strict=True)]
            inside = np.all([np.isin(self._codes[:, axis], keep) for axis, keep in enumerate(kept)], axis=0)
            pool = pool[inside] if inside.sum() >= self._size else pool
        return draw.choice(pool, self._size, replace=False)


def encoder_of(engine: tokenizers.Tokenizer) -> Encode:
    """Serving's reading of a text, for many texts at once; over the context they are cut and keep EOT."""

    def encode(sentences: Sequence[str]) -> Ids:
        encoded = [encoding.ids for encoding in engine.encode_batch([clean(text) for text in sentences])]
        eot = encoded[0][-1]
        encoded = [ids if len(ids) <= CONTEXT else [*ids[: CONTEXT - 1], eot] for ids in encoded]
        padded = np.full((len(encoded), max(map(len, encoded))), eot, dtype=np.int64)
        for row, ids in enumerate(encoded):
            padded[row, : len(ids)] = ids
        return padded

    return encode


_KEYS = tuple([item.key for item in items] for items in (GARMENTS, COLOURS, PATTERNS))
_SHADES = sorted({name for _, name in SHADE_WORDS})


def codes_of(products: Sequence[Product]) -> npt.NDArray[np.int64]:
    """Attributes as numbers, int64 [n, 4]: garment, colour, pattern, shade (-1: a shade without a word)."""
    garments, colours, patterns = ({key: code for code, key in enumerate(keys)} for keys in _KEYS)
    shades = {name: code for code, name in enumerate(_SHADES)}
    return np.array(
        [
            (garments[p.garment], colours[p.colour], patterns[p.pattern], shades.get(shade_of(p).value_name, -1))
            for p in products
        ],
        dtype=np.int64,
    )


def truth_matrix(specs: Sequence[Spec], codes: npt.NDArray[np.int64]) -> Truth:
    """`captions.truth` for every product (rows) and spec (columns) at once, bool [products, specs]."""
    columns = []
    for spec in specs:
        garments = GROUPS[spec.group].garments if spec.group else (spec.garment,) if spec.garment else _KEYS[0]
        column = np.isin(codes[:, 0], [_KEYS[0].index(garment) for garment in garments])
        if spec.colour:
            column &= codes[:, 1] == _KEYS[1].index(spec.colour)
        if spec.pattern:
            column &= codes[:, 2] == _KEYS[2].index(spec.pattern)
        if spec.shade:
            column &= codes[:, 3] == _SHADES.index(spec.shade)
        columns.append(column)
    return np.stack(columns, axis=1)


def describe(product: Product, rng: random.Random) -> Spec:
    """Some attributes of a product, as `_MIX` weighs them; at times a group for the garment, a shade for the colour."""
    noun, colour, pattern = rng.choices(list(_MIX), weights=list(_MIX.values()))[0]
    group = next((key for key in _shuffled(GROUPS, rng) if product.garment in GROUPS[key].garments), None)
    by_group = noun and group is not None and rng.random() < _GROUP_SHARE
    shade = shade_of(product).value_name
    shaded = colour and (product.colour, shade) in SHADE_WORDS and rng.random() < _SHADE_SHARE
    return Spec(
        garment=product.garment if noun and not by_group else None,
        group=group if by_group else None,
        colour=product.colour if colour else None,
        shade=shade if shaded else None,
        pattern=product.pattern if pattern else None,
    )


def _shuffled(items: Iterable[str], rng: random.Random) -> list[str]:
    keys = list(items)
    rng.shuffle(keys)
    return keys


def _disturbed(sentence: str, rng: random.Random) -> str:
    """At times slips a word into a sentence that says nothing: one that people use, or one that nobody knows."""
    words = sentence.split()
    if rng.random() < _SMALL_TALK_SHARE:
        words.insert(rng.choice((0, len(words))), " ".join(rng.choices(SMALL_TALK, k=rng.choice((1, 1, 2, 3)))))
    if rng.random() < _GIBBERISH_SHARE:
        letters = "".join(rng.choices("aaabcdeeefghiijklmnooprstuuvwy", k=rng.randint(2, 8)))
        words.insert(rng.choice((0, len(words))), letters)
    return " ".join(words)


def _shifted(picture: Pixels, rng: random.Random) -> Pixels:
    """The picture moved by a few pixels, its edge repeated, and mirrored half of the time."""
    down, right = rng.randint(-_MAX_SHIFT, _MAX_SHIFT), rng.randint(-_MAX_SHIFT, _MAX_SHIFT)
    top, left = max(down, 0), max(right, 0)
    moved = picture[max(-down, 0) : picture.shape[0] - top, max(-right, 0) : picture.shape[1] - left]
    if rng.random() < 0.5:
        moved = moved[:, ::-1]
        left = max(-right, 0)
    bottom, far = picture.shape[0] - top - moved.shape[0], picture.shape[1] - left - moved.shape[1]
    return np.pad(moved, ((top, bottom), (left, far), (0, 0)), mode="edge")
