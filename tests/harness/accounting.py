"""Compares what a run said, and what Milvus holds, with a planted catalogue's account: each difference a sentence."""

import csv
import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests.fixtures.indexing import Shelf
from tests.harness.planted import Account, PlantedCatalogue
from vitrine.domain import Deadline, Vectors
from vitrine.embedding.encoder import open_encoder
from vitrine.settings import Settings

LEAST_COSINE = 0.999  # a stored vector and its picture's, encoded again: batches round differently
TITLE_BYTES = 512
_SHOWN = 5
_PIXELS_AT_ONCE = 16


def differences_in_summary(
    account: Account, summary: Mapping[str, Any], *, first: bool | None, at_rest: bool = True
) -> Iterator[str]:
    """What the figures of a run that ended well say otherwise.

    Args:
        first: the run wrote everything; False: nothing; None: some of it, since others before it were killed.
        at_rest: Milvus's count of its rows is exact; False: it may show replaced rows too, but none less.
    """
    expected: dict[str, object] = {
        "read": account.read,
        "rejected": len(account.rejected),
        "rejected_by_reason": account.by_code,
        "ignored": {"blank_line": account.blank_lines},
        "dropped": 0,
        "in_collection": len(account.written) if at_rest else max(len(account.written), summary["in_collection"]),
        "expected": len(account.written),
        "stale": 0,
    }
    if first is not None:
        expected |= {"written": len(account.written) * first, "unchanged": len(account.written) * (not first)}
    for name, value in expected.items():
        if summary.get(name) != value:
            yield f"the summary says {name} {summary.get(name)!r}, not {value!r}"
    settled = summary.get("written", 0) + summary.get("unchanged", 0)
    if settled != len(account.written):
        yield f"{settled} products were written or unchanged, not {len(account.written)}"


def differences_in_rejects(account: Account, rejects_file: Path) -> Iterator[str]:
    """Lines of the rejects file that should not be there, are missing, or have another code."""
    with rejects_file.open(encoding="utf-8", newline="") as file:
        found = [(int(row["line"]), row["code"]) for row in csv.DictReader(file)]
    yield from _of_sets("rejections", set(account.rejected.items()), found)


async def differences_in_ids(account: Account, shelf: Shelf, alias: str) -> Iterator[str]:
    """Ids that Milvus, listed with strong consistency, lacks, has twice or should not have."""
    info = await shelf.info(alias)
    ids = [product_id async for product_id in shelf.admin.ids(info.name)]
    found = list(_of_sets("ids", set(account.written), ids))
    rows = await shelf.admin.count(info.name)
    if rows != len(ids):
        found.append(f"{info.name} has {rows} rows for {len(ids)} ids: some are there twice")
    return iter(found)


async def differences_in_products(
    catalogue: PlantedCatalogue, shelf: Shelf, alias: str, settings: Settings, *, sample: int, rng: random.Random
) -> Iterator[str]:
    """Products of a random sample whose vector is not their picture's, or whose title is another row's.

    Args:
        settings: lead to the model that the pictures are encoded with again.
    """
    account = catalogue.account
    ids = rng.sample(sorted(account.written), min(sample, len(account.written)))
    pictures = await _encoded(catalogue.pictures, settings)
    stored = await shelf.vectors(alias, ids)
    hits = await shelf.hits(alias, ids)
    found = []
    for product_id in ids:
        if product_id not in stored or product_id not in hits:
            found.append(f"{product_id} cannot be read")
            continue
        cosines = pictures @ stored[product_id]
        own = float(cosines[account.written[product_id]])
        if own < LEAST_COSINE or own < float(cosines.max()) - (1 - LEAST_COSINE):
            found.append(f"{product_id}: cosine {own:.4f} to its own picture, {float(cosines.max()):.4f} to another")
        title = account.titles[product_id].strip().encode()[:TITLE_BYTES].decode(errors="ignore")
        if hits[product_id].title != title:
            found.append(f"{product_id}: title {hits[product_id].title!r}, not {title!r}")
    return iter(found)


async def _encoded(pictures: Sequence[bytes], settings: Settings) -> Vectors:
    """float32 [pictures, dim], unit length."""
    async with open_encoder(settings) as encoder:
        pixels = np.stack([encoder.prepare(picture) for picture in pictures])
        parts = [
            await encoder.encode_pixels(pixels[start : start + _PIXELS_AT_ONCE], Deadline.after(60))
            for start in range(0, len(pixels), _PIXELS_AT_ONCE)
        ]
    return np.concatenate(parts)


def _of_sets(what: str, expected: set[Any], found: Sequence[Any]) -> Iterator[str]:
    missing, surplus = sorted(expected.difference(found)), sorted(set(found) - expected)
    if missing:
        yield f"{len(missing)} {what} are missing, such as {missing[:_SHOWN]}"
    if surplus:
        yield f"{len(surplus)} {what} should not be there, such as {surplus[:_SHOWN]}"
    if len(found) != len(set(found)):
        yield f"{len(found) - len(set(found))} {what} are there more than once"
