"""Captions say what they mean, and training cannot say what evaluation asks."""

import random
from collections.abc import Iterator
from dataclasses import replace

import pytest

from vitrine.demo.captions import FORMS, Filling, Spec, is_held_out, paraphrase, render, training_sentence, truth
from vitrine.demo.design import Product, sample_products, shade_of
from vitrine.demo.queries import specs_of
from vitrine.demo.vocabulary import COLOURS, GARMENTS, PATTERNS
from vitrine.demo.wording import CLOSINGS, COLOUR_WORDS, GROUPS, NOUNS, OPENINGS, PRINTS, SHADE_WORDS

DRESS = Product("0000000015", "0000000", "Lena floral dress", "dress", "blue", "floral", 5, 10.0)


def test_every_garment_colour_and_pattern_has_words() -> None:
    assert set(NOUNS) == {garment.key for garment in GARMENTS}
    assert set(COLOUR_WORDS) == {colour.key for colour in COLOURS}
    assert set(PRINTS) == {pattern.key for pattern in PATTERNS}


def test_groups_and_shades_exist_in_the_vocabulary() -> None:
    assert {garment for group in GROUPS.values() for garment in group.garments} <= set(NOUNS)
    shades = {(colour.key, shade.value_name) for colour in COLOURS for shade in colour.shades}
    assert set(SHADE_WORDS) <= shades


def test_top_is_the_vocabularys_family_of_that_name() -> None:
    assert set(GROUPS["top"].garments) == {garment.key for garment in GARMENTS if garment.family == "top"}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (Spec(garment="dress"), True),
        (Spec(garment="skirt"), False),
        (Spec(group="top"), False),
        (Spec(colour="blue", pattern="floral"), True),
        (Spec(colour="red", pattern="floral"), False),
        (Spec(garment="dress", colour="blue", pattern="striped"), False),
        (Spec(garment="dress", colour="blue", pattern="floral"), True),
    ],
)
def test_truth_needs_every_named_attribute(spec: Spec, expected: bool) -> None:
    assert truth(spec, DRESS) is expected


def test_truth_of_a_group_covers_its_garments() -> None:
    assert [truth(Spec(group="shoes"), replace(DRESS, garment=key)) for key in ("boots", "sneakers", "socks")] == [
        True,
        True,
        False,
    ]


def test_truth_of_a_shade_follows_the_dye() -> None:
    for product in (replace(DRESS, seed=seed) for seed in range(20)):
        assert truth(Spec(colour="blue", shade="Dark"), product) is (shade_of(product).value_name == "Dark")


@pytest.mark.parametrize(
    "attributes",
    [{}, {"garment": "dress", "group": "top"}, {"shade": "Dark"}, {"colour": "white", "shade": "Light"}],
    ids=["nothing", "garment and group", "shade without colour", "shade without a word"],
)
def test_a_spec_that_cannot_be_said_is_refused(attributes: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"spec|shade"):
        Spec(**attributes)


def test_a_sentence_names_exactly_what_is_asked() -> None:
    rng = random.Random(4)
    for spec in _specs():
        for sentence in (training_sentence(spec, rng), paraphrase(spec, rng)):
            if spec.colour and not spec.shade:
                assert any(word in sentence for word in COLOUR_WORDS[spec.colour])
            if spec.pattern:
                words = PRINTS[spec.pattern]
                assert any(word in sentence for word in (*words.adjectives, *words.features))
            if spec.garment:
                assert any(word in sentence for noun in NOUNS[spec.garment] for word in noun)


def test_every_kind_of_request_can_be_said_both_ways() -> None:
    for held_out in (False, True):
        assert {form.asked for form in FORMS if form.held_out is held_out} == {spec.asked for spec in _specs()}


def test_training_cannot_say_a_paraphrase() -> None:
    """Reads a paraphrase in every way that a form and small talk allow: none of the readings is one of training's."""
    rng = random.Random(11)
    for spec in _specs()[::7]:
        for _ in range(2):
            sentence = paraphrase(spec, rng)
            assert not any(_taught_readings(sentence)), sentence


def test_every_training_sentence_has_a_taught_reading() -> None:
    """The reader of the test above recognises what training does say."""
    rng = random.Random(12)
    for spec in _specs()[::14]:
        sentence = training_sentence(spec, rng)
        assert any(_taught_readings(sentence)), sentence


def test_a_held_out_form_is_not_a_taught_one_in_other_words() -> None:
    taught = {form.template for form in FORMS if not form.held_out}
    held_out = {form.template for form in FORMS if form.held_out}
    assert len(held_out) == 21
    assert not taught & held_out


def test_the_same_seed_says_the_same() -> None:
    spec = Spec(garment="coat", colour="red", pattern="checked")
    first, second = random.Random(3), random.Random(3)
    assert [paraphrase(spec, first) for _ in range(20)] == [paraphrase(spec, second) for _ in range(20)]


def test_every_product_of_a_shop_fits_its_own_attributes() -> None:
    for product in sample_products(200, 5):
        assert truth(Spec(garment=product.garment, colour=product.colour, pattern=product.pattern), product)


def _specs() -> list[Spec]:
    kinds = ("type", "family", "colour", "shade", "pattern", "type + colour", "type + pattern", "colour + pattern")
    every = [spec for kind in kinds for spec in specs_of(kind)]
    return every + list(specs_of("type + colour + pattern"))[::7]


_NOUN_LISTS = (*NOUNS.values(), *(group.nouns for group in GROUPS.values()))
_WORDS = {
    "noun": {word for nouns in _NOUN_LISTS for pair in nouns for word in (*pair, f"pair of {pair[1]}")},
    "colour": {word for words in (*COLOUR_WORDS.values(), *SHADE_WORDS.values()) for word in words},
    "adjective": {word for words in PRINTS.values() for word in words.adjectives},
    "feature": {word for words in PRINTS.values() for word in words.features},
}


def _taught_readings(sentence: str) -> Iterator[bool]:
    """True for each way in which training can say the sentence: a taught form and a filling that is not held out."""
    for core in _without_small_talk(sentence):
        for form in (form for form in FORMS if not form.held_out):
            for words in _fillings(form.template, core):
                filling = Filling(**words)
                assert render(form, filling) == core
                yield not is_held_out(form, filling)


def _fillings(template: str, text: str) -> Iterator[dict[str, str]]:
    """Every way to fill a template so that it reads `text`."""
    fixed, brace, rest = template.partition("{")
    if not text.startswith(fixed):
        return
    if not brace:
        if text == fixed:
            yield {}
        return
    slot, _, rest = rest.partition("}")
    text = text.removeprefix(fixed)
    for word in _WORDS[slot]:
        if text.startswith(word):
            yield from ({slot: word, **others} for others in _fillings(rest, text.removeprefix(word)))


def _without_small_talk(sentence: str) -> set[str]:
    """The sentence with any opening, closing and article taken off, or not: all readings of it."""
    readings = {sentence}
    readings |= {text.removeprefix(f"{opening} ") for text in readings for opening in OPENINGS}
    readings |= {text.removesuffix(f" {closing}") for text in readings for closing in CLOSINGS}
    return readings | {text.removeprefix(article) for text in readings for article in ("a ", "an ")}
