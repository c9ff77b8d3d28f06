"""The cap on a run's rate, on the real engines."""

from tests.fixtures.indexing import Indexing
from tests.fixtures.shop import Shop, product_ids

ALIAS = "rate_capped"


def test_a_capped_run_takes_its_time_and_writes_everything(shop: Shop, indexing: Indexing) -> None:
    ids = product_ids(13)
    for product_id in ids:
        shop.add(product_id)
    shop.write()
    ended = indexing.index(shop.folder, ALIAS, "--max-rate", "6")
    assert ended.counts["written"] == len(ids)
    # Twelve spaces between thirteen pictures; the rate of the whole run cannot be higher than the cap's.
    assert ended.summary["elapsed_s"] >= 12 / 6
