"""How near does the canary's estimate come to true recall, from how much of a collection? Without an engine.

Answers are drawn for queries whose true neighbours are known: by an index that misses each product with the same
probability, as a graph or lists do, and by one that ranks by noisy scores, as codes do. Samples are drawn by chance,
and what the canary would tell of them stands beside what is true.

    python loadtest/bench/canary_estimator.py [--queries 100] [--runs 20]
"""

import argparse
from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

from vitrine.gateway.canary.judging import judge
from vitrine.gateway.canary.recall import SPARE

K: Final = 10
NEAREST: Final = 3_000  # products of a query that an answer can come from
SHARES: Final = (0.04, 0.1, 0.25, 0.5, 1.0)
_STEP: Final = 1e-4  # between the scores of neighbours of successive rank; noise is told in these

Answer = Callable[[np.random.Generator], npt.NDArray[np.int64]]


def missing(probability: float) -> Answer:
    """The first of those that are not missed; ranks of hits, best first."""
    return lambda random: np.flatnonzero(random.random(NEAREST) > probability)[:K]


def noisy(noise: float) -> Answer:
    """The first by scores with an error of so many steps."""
    return lambda random: np.argsort(np.arange(NEAREST) + random.normal(size=NEAREST) * noise)[:K]


INDEXES: Final[dict[str, Answer]] = {
    **{f"misses {share:.0%}": missing(share) for share in (0.03, 0.1, 0.3)},
    **{f"scores with noise {noise:g}": noisy(noise) for noise in (1.0, 2.0, 8.0, 30.0, 100.0)},
}


def told(answer: Answer, share: float, queries: int, random: np.random.Generator) -> tuple[float, float, int]:
    """The canary's figure, the true one, and how many neighbours the first rests on."""
    found = neighbours = true = 0
    for _ in range(queries):
        hits = answer(random)
        seen = np.flatnonzero(random.random(NEAREST) < share)[: K + SPARE]
        judgement = judge(_scores(hits), _scores(seen), share, K)
        found += judgement.found
        neighbours += judgement.found + len(judgement.missed)
        true += int((hits < K).sum())
    return found / max(1, neighbours), true / (queries * K), neighbours


def _scores(ranks: npt.NDArray[np.int64]) -> dict[str, float]:
    return {str(rank): 1 - rank * _STEP for rank in ranks.tolist()}


def main() -> None:
    """Prints a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--runs", type=int, default=20)
    args = parser.parse_args()
    random = np.random.default_rng(1)
    print("| index | true |", " | ".join(f"{share:.0%} seen" for share in SHARES), "|")
    print("| --- | --- |", " | ".join("---" for _ in SHARES), "|")
    for name, answer in INDEXES.items():
        cells, truths = [], []
        for share in SHARES:
            figures = [told(answer, share, args.queries, random) for _ in range(args.runs)]
            estimates = [estimate for estimate, _, _ in figures]
            truths += [true for _, true, _ in figures]
            cells.append(f"{np.mean(estimates):.2f} ± {np.std(estimates):.2f}")
        print(f"| {name} | {np.mean(truths):.2f} |", " | ".join(cells), "|")
    for share in SHARES:
        neighbours = [told(missing(0.1), share, args.queries, random)[2] for _ in range(args.runs)]
        print(f"{share:.0%} seen: about {np.mean(neighbours):.0f} neighbours")


if __name__ == "__main__":
    main()
