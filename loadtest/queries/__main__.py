"""How the queries of the load test are distributed.

    python -m loadtest.queries [--draws 10000] [--seed 7] [--write]

`--write` makes the log anew from the grammar; without a change there it writes the same file.
"""

import argparse
import itertools
import random
from collections import Counter

from loadtest.queries.log import EXPONENT, LOG_FILE, QueryLog, make_queries, read_queries

HEADS = (10, 100, 1_000)


def lines(log: QueryLog, draws: int, seed: int) -> list[str]:
    """The distribution as the rows of a Markdown table."""
    rng = random.Random(seed)
    drawn = [log.draw(rng) for _ in range(draws)]
    counts = Counter(drawn)
    words = Counter(len(query.split()) for query in drawn)
    mean = sum(number * count for number, count in words.items()) / draws
    shares = ", ".join(f"{number}: {100 * words[number] / draws:.0f}%" for number in sorted(words))
    rows = [
        ("different queries in the log", f"{len(log.queries):,}"),
        ("Zipf's exponent", f"{EXPONENT:g}"),
        *((f"share of the {head:,} most popular", f"{100 * log.share(head):.0f}%") for head in HEADS),
        (f"different ones among {draws:,} drawn", f"{len(counts):,}"),
        ("drawn before (repeat rate)", f"{100 * (1 - len(counts) / draws):.0f}%"),
        ("drawn once only", f"{100 * sum(count == 1 for count in counts.values()) / draws:.0f}%"),
        ("words, share of the draws", shares),
        ("words, mean", f"{mean:.1f}"),
        ("characters, mean", f"{sum(map(len, drawn)) / draws:.1f}"),
        ("begin with a capital", f"{100 * sum(query[0].isupper() for query in drawn) / draws:.0f}%"),
    ]
    return ["| | |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in rows)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--write", action="store_true", help=f"make {LOG_FILE.name} anew from the grammar")
    arguments = parser.parse_args()
    if arguments.write:
        LOG_FILE.write_text("\n".join(make_queries()) + "\n", encoding="utf-8")
    log = QueryLog(read_queries())
    print("\n".join(lines(log, arguments.draws, arguments.seed)))
    print("\nMost popular:", ", ".join(log.queries[:10]))
    print("From the tail:", ", ".join(itertools.islice(log.queries, len(log.queries) // 2, None, 600)))


if __name__ == "__main__":
    main()
