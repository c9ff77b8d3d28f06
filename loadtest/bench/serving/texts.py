"""Short queries to be timed, and the order in which a log of queries is asked.

Every word is a token of its own in the random checkpoint's vocabulary, as common words are in CLIP's, so that a query
of two to four words has four to six tokens and fits the smallest bucket in both.
"""

import itertools
from typing import Final

import numpy as np
import numpy.typing as npt

from loadtest.queries.log import EXPONENT

COLOURS: Final = "red blue green yellow pink purple orange black white grey brown beige navy turquoise"
LOOKS: Final = "floral striped dotted checked plain printed knitted lace denim leather cotton linen silk velvet"
CUTS: Final = "long short loose fitted oversized cropped slim wide summer winter party casual formal office"
PRODUCTS: Final = (
    "dress skirt top shirt blouse tee jumper sweater cardigan hoodie jacket coat blazer trousers jeans shorts leggings "
    "shoes boots sandals trainers sneakers bag backpack scarf hat socks gloves swimsuit bikini"
)
SHARES: Final = {2: 0.4, 3: 0.4, 4: 0.2}
"""Of the different texts, by their number of words."""
Numbers = npt.NDArray[np.int64]


def short_texts(count: int, seed: int = 7) -> list[str]:
    """Different texts of two to four words, in an order by chance.

    Raises:
        ValueError: there are not so many.
    """
    draw = np.random.default_rng(seed)
    colours, looks, cuts, products = (words.split() for words in (COLOURS, LOOKS, CUTS, PRODUCTS))
    shapes: dict[int, list[tuple[str, ...]]] = {
        2: [*itertools.product(colours, products), *itertools.product(looks, products)],
        3: [*itertools.product(colours, looks, products), *itertools.product(cuts, looks, products)],
        4: list(itertools.product(cuts, colours, looks, products)),
    }
    wanted = {words: round(share * count) for words, share in SHARES.items()}
    # Where there are too few short ones, longer ones take their place.
    wanted[2] = min(wanted[2], len(shapes[2]))
    wanted[3] = min(wanted[3], len(shapes[3]))
    wanted[4] = count - wanted[2] - wanted[3]
    if wanted[4] > len(shapes[4]):
        raise ValueError(f"There are no {count} different texts.")
    chosen = [
        " ".join(shapes[words][row])
        for words, number in wanted.items()
        for row in draw.choice(len(shapes[words]), size=number, replace=False)
    ]
    return [chosen[row] for row in draw.permutation(count)]


def log_of(queries: int, length: int, seed: int = 7) -> Numbers:
    """Which query each line of a log asks for, int64 [length]: numbers below `queries`, popular ones first.

    As often as the load test's shoppers ask (`loadtest.queries`): the n-th in proportion to 1 / n ** 0.85.
    """
    weights = np.arange(1, queries + 1) ** -EXPONENT
    return np.random.default_rng(seed).choice(queries, size=length, p=weights / weights.sum())
