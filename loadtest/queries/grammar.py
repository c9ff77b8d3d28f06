"""What shoppers type into a fashion shop's search box, as a grammar with weights.

Short, mostly lower-case, without brands; sizes, occasions, budgets and slips of the keyboard included. The words are
broader than any one catalogue's: a shop is also asked for what it does not sell.
"""

import random
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

MOST_WORDS: Final = 6
TYPO_SHARE: Final = 0.05
CAPITAL_SHARE: Final = 0.06
"""Telephones begin with a capital."""
_SHORTEST_MISTYPED: Final = 5


@dataclass(frozen=True, slots=True)
class Kind:
    """A family of products that share what can be said about them."""

    weight: float
    nouns: tuple[str, ...]
    details: tuple[str, ...]
    materials: tuple[str, ...]
    sizes: tuple[str, ...]


def _kind(table: dict[str, Any]) -> Kind:
    nouns, details, materials, sizes = (tuple(table[name]) for name in ("nouns", "details", "materials", "sizes"))
    return Kind(table["weight"], nouns, details, materials, sizes)


_WORDS: Final = tomllib.loads(Path(__file__).with_name("words.toml").read_text(encoding="utf-8"))
KINDS: Final = tuple(map(_kind, _WORDS["kinds"].values()))

Part = Callable[[Kind, random.Random], str]


def ranked(words: Sequence[str], rng: random.Random) -> str:
    """One of them, the first most often: the n-th has the weight 1 / n."""
    return rng.choices(words, [1 / place for place in range(1, len(words) + 1)])[0]


def _noun(kind: Kind, rng: random.Random) -> str:
    return ranked(kind.nouns, rng)


def _detail(kind: Kind, rng: random.Random) -> str:
    return ranked(kind.details, rng)


def _material(kind: Kind, rng: random.Random) -> str:
    return ranked(kind.materials, rng)


def _size(kind: Kind, rng: random.Random) -> str:
    return ranked(kind.sizes, rng)


def _of(words: Sequence[str]) -> Part:
    return lambda kind, rng: ranked(words, rng)


def _word(text: str) -> Part:
    return lambda kind, rng: text


_COLOUR, _PATTERN, _OCCASION = (_of(_WORDS[name]) for name in ("colours", "patterns", "occasions"))
_AUDIENCE, _STYLE, _BUDGET = (_of(_WORDS[name]) for name in ("audiences", "styles", "budgets"))

FORMS: Final[tuple[tuple[float, tuple[Part, ...]], ...]] = (
    (20, (_noun,)),
    (20, (_COLOUR, _noun)),
    (8, (_AUDIENCE, _noun)),
    (8, (_detail, _noun)),
    (7, (_PATTERN, _noun)),
    (7, (_material, _noun)),
    (5, (_OCCASION, _noun)),
    (4, (_STYLE, _noun)),
    (4, (_COLOUR, _detail, _noun)),
    (3, (_COLOUR, _material, _noun)),
    (3, (_noun, _AUDIENCE)),
    (3, (_noun, _word("for"), _OCCASION)),
    (3, (_AUDIENCE, _COLOUR, _noun)),
    (2, (_noun, _size)),
    (2, (_COLOUR, _PATTERN, _noun)),
    (2, (_noun, _BUDGET)),
    (1.5, (_noun, _COLOUR)),
    (1.5, (_AUDIENCE, _detail, _noun)),
    (1, (_COLOUR, _noun, _word("for"), _OCCASION)),
    (1, (_STYLE,)),
    (1, (_OCCASION, _word("outfit"))),
    (1, (_COLOUR, _noun, _size)),
    (0.7, (_PATTERN, _noun, _word("for"), _AUDIENCE)),
    (0.5, (_COLOUR, _detail, _material, _noun)),
    (0.5, (_word("what to wear to"), _OCCASION)),
    (0.4, (_COLOUR, _noun, _word("with"), _COLOUR, _word("details"))),
)
_FORM_WEIGHTS: Final = tuple(weight for weight, _ in FORMS)
_KIND_WEIGHTS: Final = tuple(kind.weight for kind in KINDS)


def draw_query(rng: random.Random) -> str:
    """One query of 1 to `MOST_WORDS` words, typing slips included."""
    while True:
        kind = rng.choices(KINDS, _KIND_WEIGHTS)[0]
        parts = rng.choices(FORMS, _FORM_WEIGHTS)[0][1]
        words = " ".join(part(kind, rng) for part in parts).split()
        # "knitted knitwear" is said by nobody, "long sleeve long sleeve top" neither.
        if len(words) <= MOST_WORDS and len(set(words)) == len(words):
            return _as_typed(" ".join(words), rng)


def _as_typed(text: str, rng: random.Random) -> str:
    if rng.random() < TYPO_SHARE:
        text = mistype(text, rng)
    return text.capitalize() if rng.random() < CAPITAL_SHARE else text


def mistype(text: str, rng: random.Random) -> str:
    """The text with one slip in its longest word: two letters swapped, one left out, or one doubled.

    Words under five letters are typed without looking, and right.
    """
    words = text.split()
    place = max(range(len(words)), key=lambda n: len(words[n]))
    word = words[place]
    if len(word) < _SHORTEST_MISTYPED:
        return text
    at = 1 + int(rng.random() * (len(word) - 2))  # never the first letter, which people get right
    before, letter, after = word[:at], word[at], word[at + 1 :]
    slips = (before + after[0] + letter + after[1:], before + after, before + letter + letter + after)
    words[place] = rng.choices(slips)[0]
    return " ".join(words)
