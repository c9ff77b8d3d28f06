"""Batches for the demo model: the truth in them is true, and a step's number decides everything."""

import random

import numpy as np
import pytest

from vitrine.demo.captions import Spec, truth
from vitrine.demo.design import DEFAULT_COUNT, DEFAULT_SEED, Product, sample_products
from vitrine.demo.queries import specs_of
from vitrine.demo.vocabulary import COLOURS, GARMENTS, PATTERNS
from vitrine.models.bpe import train_bpe
from vitrine.models.demo_batches import Batches, codes_of, describe, encoder_of, truth_matrix
from vitrine.models.demo_pictures import training_products

SIDE = 224


@pytest.fixture(scope="module")
def lessons() -> list[Product]:
    return training_products(2160, 3)


@pytest.fixture(scope="module")
def batches(lessons: list[Product]) -> Batches:
    flat = np.arange(len(lessons), dtype=np.uint64)[:, None, None, None] % 251
    pixels = np.broadcast_to(flat.astype(np.uint8), (len(lessons), SIDE, SIDE, 3))
    encode = encoder_of(train_bpe(["a red floral dress"], size=530).engine())
    return Batches(lessons, pixels, encode, size=32, seed=9)


def test_training_products_cover_every_triple_equally(lessons: list[Product]) -> None:
    triples = {(p.garment, p.colour, p.pattern) for p in lessons}
    assert len(triples) == len(lessons) == len(GARMENTS) * len(COLOURS) * len(PATTERNS)


def test_more_training_products_begin_with_the_same_ones(lessons: list[Product]) -> None:
    assert training_products(3000, 3)[:2160] == lessons


def test_no_training_design_is_sold_in_the_demo() -> None:
    sold = sample_products(DEFAULT_COUNT, DEFAULT_SEED)
    designs = {product.seed for product in training_products(4320, 1, taboo=sold)}
    assert len(designs) == 4320
    assert not designs & {product.seed for product in sold}


def test_a_taboo_design_is_replaced(lessons: list[Product]) -> None:
    avoiding = training_products(10, 3, taboo=lessons[:5])
    assert not {p.seed for p in avoiding} & {p.seed for p in lessons[:5]}


def test_the_truth_matrix_is_the_captions_truth(lessons: list[Product]) -> None:
    kinds = ("type", "family", "colour", "shade", "pattern", "type + colour", "colour + pattern")
    specs = [spec for kind in kinds for spec in list(specs_of(kind))[::5]]
    some = lessons[::40]
    expected = np.array([[truth(spec, product) for spec in specs] for product in some])
    np.testing.assert_array_equal(truth_matrix(specs, codes_of(some)), expected)


def test_every_picture_and_every_caption_has_a_true_partner(batches: Batches) -> None:
    for step in range(5):
        batch = batches(step)
        assert batch.truth.shape == (32, 32)
        assert np.all(np.diag(batch.truth))


def test_a_description_is_true_of_its_product(lessons: list[Product]) -> None:
    rng = random.Random(1)
    seen: set[frozenset[str]] = set()
    for product in lessons[:600]:
        spec = describe(product, rng)
        assert truth(spec, product)
        seen.add(frozenset(spec.asked))
    assert len(seen) == 7  # every subset of three attributes but the empty one


def test_a_step_is_the_same_whenever_it_comes(batches: Batches) -> None:
    first, again, other = batches(4), batches(4), batches(5)
    for name in ("pixels", "ids", "truth", "codes", "gain", "lift"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    assert not np.array_equal(first.codes, other.codes)


def test_pictures_stay_with_their_attributes(batches: Batches, lessons: list[Product]) -> None:
    batch = batches(2)
    codes = codes_of(lessons)[:, :3]
    for picture, code in zip(batch.pixels, batch.codes, strict=True):
        assert picture.shape == (SIDE, SIDE, 3)
        shown = int(picture[0, 0, 0])  # each picture is flat, of its product's number modulo 251
        assert any(np.array_equal(codes[index], code) for index in range(shown, len(codes), 251))


def test_long_sentences_are_cut_to_the_context_and_keep_their_end() -> None:
    encode = encoder_of(train_bpe(["red"], size=520).engine())
    ids = encode(["red", "red " * 500])
    assert ids.shape == (2, 77)
    assert ids[0, 2] == ids[0, -1] == ids[1, -1]
    assert np.count_nonzero(ids[1] == ids[1, -1]) == 1


def test_a_spec_outside_the_vocabulary_is_an_error(lessons: list[Product]) -> None:
    with pytest.raises(ValueError, match="kilt"):
        truth_matrix([Spec(garment="kilt")], codes_of(lessons[:2]))
