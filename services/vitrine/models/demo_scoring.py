"""How well the demo model searches, without any engine: exact neighbours in NumPy over drawings never trained on.

`vitrine evaluate` measures the same through the whole stack; this one is for watching a training.
"""

import random
from collections.abc import Sequence
from typing import get_args

import numpy as np
import torch
from transformers import CLIPModel

from vitrine.demo.captions import paraphrase, training_sentence
from vitrine.demo.design import Product
from vitrine.demo.evaluation import Outcome, Report, summarise
from vitrine.demo.queries import DEPTH, IMAGE_KIND, Kind, Query, image_queries, queries_of
from vitrine.domain import Pixels, Vectors
from vitrine.models.demo_batches import Encode
from vitrine.models.demo_network import embed_texts, patches_of, pool_pictures, project_pictures

_CHUNK = 256
_MOST_OF_A_KIND = 220


class Examination:
    """A fixed set of queries over a shop of its own, put to a model as often as wanted.

    Args:
        products: the shop; none of its designs may have been trained on.
        pixels: their pictures, uint8 [n, 224, 224, 3].
        drawings: pictures of the image queries that `picture_queries` gives for these products.
        encode: texts to padded token ids.
    """

    def __init__(self, products: Sequence[Product], pixels: Pixels, drawings: Pixels, encode: Encode) -> None:
        self._ids = np.array([product.article_id for product in products])
        self._pixels = pixels
        self._drawings = drawings
        self._image_queries = picture_queries(products)
        self._text_queries = _sentences(products)
        self._token_ids = encode([query.text for query in self._text_queries])

    def put_to(self, model: CLIPModel) -> Report:
        """Embeds the shop and every query, ranks exactly, scores."""
        shop = embed_all_pictures(model, self._pixels)
        with torch.inference_mode():
            texts = embed_texts(model, torch.from_numpy(self._token_ids)).numpy()
        pictures = embed_all_pictures(model, self._drawings)
        queries = [*self._text_queries, *self._image_queries]
        best = np.argsort(-(np.concatenate([texts, pictures]) @ shop.T), axis=1, kind="stable")[:, :DEPTH]
        return summarise(Outcome(query, tuple(self._ids[row])) for query, row in zip(queries, best, strict=True))


def picture_queries(products: Sequence[Product]) -> list[Query]:
    """One image query for every triple that the shop has enough products of."""
    return image_queries(products, count=len(queries_of(IMAGE_KIND, products)), seed=0)


def embed_all_pictures(model: CLIPModel, pixels: Pixels) -> Vectors:
    """Unit vectors, float32 [n, 512], a few hundred pictures at a time."""
    dtype = model.dtype
    with torch.inference_mode():
        chunks = (torch.from_numpy(pixels[i : i + _CHUNK].copy()) for i in range(0, len(pixels), _CHUNK))
        pooled = (pool_pictures(model, patches_of(chunk, 1.0, 0.0, dtype)) for chunk in chunks)
        return np.concatenate([project_pictures(model, each).numpy() for each in pooled])


def _sentences(products: Sequence[Product]) -> list[Query]:
    rng = random.Random("examination")
    queries: list[Query] = []
    for kind in get_args(Kind):
        if kind == IMAGE_KIND:
            continue
        answerable = queries_of(kind, products)
        say = paraphrase if kind == "paraphrase" else training_sentence
        wanted = _MOST_OF_A_KIND if kind == "paraphrase" else min(_MOST_OF_A_KIND, max(40, len(answerable)))
        rng.shuffle(answerable)
        for turn in range(wanted):
            spec, relevant = answerable[turn % len(answerable)]
            queries.append(Query(kind, spec, relevant, text=say(spec, rng)))
    return queries
