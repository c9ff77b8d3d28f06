"""What can be asked of the demo shop: a request for some attributes, its truth, and the English that says it.

A sentence is a form (an order of words) filled with one word for each attribute, then wrapped in small talk. Some
forms, and one in eight of the fillings of the others, are held out: training never says them, evaluation does.
"""

import random
import zlib
from dataclasses import dataclass
from typing import Literal

from vitrine.demo.design import Product, shade_of
from vitrine.demo.wording import (
    CLOSINGS,
    COLOUR_WORDS,
    GROUPS,
    IN_PAIRS,
    NOUNS,
    OPENINGS,
    PRINTS,
    SHADE_WORDS,
)

Asked = Literal["noun", "colour", "pattern"]
RESERVED_SHARE = 8  # one filling in this many is kept from training
_RESERVED_TRIES = 64  # a spec with few words may have no reserved filling at all


@dataclass(frozen=True, slots=True)
class Spec:
    """The attributes a query asks for; None: any will do.

    `group` is a key of `GROUPS` and excludes `garment`. `shade` is a catalogue colour value name ("Dark", "Light") and
    needs a `colour` that has a word for it.
    """

    garment: str | None = None
    group: str | None = None
    colour: str | None = None
    shade: str | None = None
    pattern: str | None = None

    def __post_init__(self) -> None:
        if self.garment and self.group:
            raise ValueError("a spec asks for a garment or for a group of them, not for both")
        if self.shade and (self.colour, self.shade) not in SHADE_WORDS:
            raise ValueError(f"no word for the shade {self.shade!r} of {self.colour!r}")
        if not self.asked:
            raise ValueError("a spec asks for at least one attribute")

    @property
    def asked(self) -> frozenset[Asked]:
        """Which of the three attributes a sentence for this spec has to name."""
        named: list[Asked] = []
        if self.garment or self.group:
            named.append("noun")
        if self.colour:
            named.append("colour")
        if self.pattern:
            named.append("pattern")
        return frozenset(named)


def truth(spec: Spec, product: Product) -> bool:
    """Whether a product is what the spec asks for, in every attribute it names."""
    return (
        (spec.garment is None or product.garment == spec.garment)
        and (spec.group is None or product.garment in GROUPS[spec.group].garments)
        and (spec.colour is None or product.colour == spec.colour)
        and (spec.shade is None or shade_of(product).value_name == spec.shade)
        and (spec.pattern is None or product.pattern == spec.pattern)
    )


@dataclass(frozen=True, slots=True)
class Form:
    """An order of words: a template over {noun}, {colour} and one of {adjective} and {feature}."""

    template: str
    held_out: bool = False

    @property
    def asked(self) -> frozenset[Asked]:
        """The attributes the template names."""
        slots: dict[str, Asked] = {"noun": "noun", "colour": "colour", "adjective": "pattern", "feature": "pattern"}
        return frozenset(asked for slot, asked in slots.items() if f"{{{slot}}}" in self.template)


_TAUGHT = (
    "{noun}",
    "{colour}",
    "something {colour}",
    "{colour} clothes",
    "anything in {colour}",
    "clothes in {colour}",
    "{colour} colour",
    "{colour} things",
    "{adjective}",
    "{adjective} clothes",
    "something {adjective}",
    "{adjective} things",
    "{adjective} fabric",
    "{feature}",
    "something with {feature}",
    "clothes with {feature}",
    "{colour} {noun}",
    "{noun} in {colour}",
    "{noun} {colour}",
    "{noun}, {colour}",
    "{adjective} {noun}",
    "{noun} with {feature}",
    "{noun} {adjective}",
    "{noun}, {adjective}",
    "{colour} {adjective}",
    "{adjective} {colour}",
    "{adjective} in {colour}",
    "{colour} with {feature}",
    "something {colour} with {feature}",
    "{colour} {adjective} clothes",
    "{adjective} {colour} things",
    "{colour} {adjective} {noun}",
    "{adjective} {colour} {noun}",
    "{colour} {noun} with {feature}",
    "{noun} in {colour} with {feature}",
    "{adjective} {noun} in {colour}",
    "{noun} {colour} {adjective}",
    "{colour} {noun}, {adjective}",
    "{noun}, {adjective}, {colour}",
    "{noun} {adjective} {colour}",
)
_KEPT_BACK = (
    "where can one get {noun}",
    "do you stock {noun}",
    "{noun} of every kind",
    "what do you have in {colour}",
    "{colour} is my favourite",
    "dressed all in {colour}",
    "what do you have with {feature}",
    "do you stock anything {adjective}",
    "clothing that has {feature}",
    "{noun} whose colour is {colour}",
    "{noun}, if possible {colour}",
    "do you stock {noun} in {colour}",
    "{noun} that has {feature}",
    "{noun}, if possible {adjective}",
    "{feature} all over the {noun}",
    "{feature} on {colour} fabric",
    "clothes with {feature} on {colour}",
    "{noun} with {feature} in {colour}",
    "{noun} that is {colour} and has {feature}",
    "{adjective} {noun} whose colour is {colour}",
    "{feature} on {colour} {noun}",
)
FORMS: tuple[Form, ...] = (
    *(Form(template) for template in _TAUGHT),
    *(Form(template, held_out=True) for template in _KEPT_BACK),
)
_FORMS_FOR = {
    (asked, held_out): tuple(form for form in FORMS if form.asked == asked and form.held_out == held_out)
    for asked in {form.asked for form in FORMS}
    for held_out in (False, True)
}


@dataclass(frozen=True, slots=True)
class Filling:
    """One word or phrase for each slot of a form; empty where the form has no such slot."""

    noun: str = ""
    colour: str = ""
    adjective: str = ""
    feature: str = ""


def render(form: Form, filling: Filling) -> str:
    """The sentence without small talk."""
    return form.template.format(
        noun=filling.noun, colour=filling.colour, adjective=filling.adjective, feature=filling.feature
    )


def is_held_out(form: Form, filling: Filling) -> bool:
    """Whether training must never say this: a held-out form, or a reserved filling of two or more attributes."""
    if form.held_out:
        return True
    if len(form.asked) < 2:
        return False
    return zlib.crc32(f"{form.template}|{filling}".encode()) % RESERVED_SHARE == 0


def training_sentence(spec: Spec, rng: random.Random) -> str:
    """A sentence for the spec as training says it: never one for which `is_held_out` holds."""
    while True:
        form = rng.choice(_FORMS_FOR[spec.asked, False])
        filling = _fill(form, spec, rng)
        if not is_held_out(form, filling):
            return _wrap(render(form, filling), rng)


def paraphrase(spec: Spec, rng: random.Random) -> str:
    """A sentence for the spec that training never says: a held-out form or a reserved filling, as likely as not."""
    if len(spec.asked) >= 2 and rng.random() < 0.5:
        for _ in range(_RESERVED_TRIES):
            form = rng.choice(_FORMS_FOR[spec.asked, False])
            filling = _fill(form, spec, rng)
            if is_held_out(form, filling):
                return _wrap(render(form, filling), rng)
    form = rng.choice(_FORMS_FOR[spec.asked, True])
    return render(form, _fill(form, spec, rng))


def _fill(form: Form, spec: Spec, rng: random.Random) -> Filling:
    return Filling(
        noun=_noun(spec, rng) if "{noun}" in form.template else "",
        colour=_colour(spec, rng) if "{colour}" in form.template else "",
        adjective=rng.choice(PRINTS[spec.pattern].adjectives) if spec.pattern and "{adj" in form.template else "",
        feature=rng.choice(PRINTS[spec.pattern].features) if spec.pattern and "{feat" in form.template else "",
    )


def _noun(spec: Spec, rng: random.Random) -> str:
    nouns = GROUPS[spec.group].nouns if spec.group else NOUNS[spec.garment or ""]
    # The plain word is what most people type.
    singular, plural = nouns[0] if rng.random() < 0.4 else rng.choice(nouns)
    if spec.garment in IN_PAIRS:
        return f"pair of {plural}" if rng.random() < 0.1 else plural
    return plural if rng.random() < 0.4 else singular


def _colour(spec: Spec, rng: random.Random) -> str:
    if spec.colour is None:
        return ""
    words = SHADE_WORDS[spec.colour, spec.shade] if spec.shade else COLOUR_WORDS[spec.colour]
    return words[0] if rng.random() < 0.4 else rng.choice(words)


def _wrap(core: str, rng: random.Random) -> str:
    """Adds an article and small talk around a sentence, or leaves it as most people type it."""
    text = core
    if rng.random() < 0.2:
        text = f"{'an' if text[0] in 'aeiou' else 'a'} {text}"
    if rng.random() < 0.3:
        text = f"{rng.choice(OPENINGS)} {text}"
    if rng.random() < 0.12:
        text = f"{text} {rng.choice(CLOSINGS)}"
    return text
