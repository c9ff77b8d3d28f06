"""What a scraper sees of a run of the real indexer, against the summary that the run prints."""

from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.fixtures.indexing import Indexing, eventually
from tests.fixtures.shop import Shop, product_ids
from vitrine.local.ports import choose_free

GOOD = 40


def _scraped(port: int) -> dict[tuple[str, str], float] | None:
    """Values by name and the one label there is; None when nobody answers."""
    try:
        text = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=5, trust_env=False).text
    except httpx.TransportError:
        return None
    samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
    return {
        (sample.name, next(iter(sample.labels.values()), "")): sample.value
        for sample in samples
        if "le" not in sample.labels
    }


def test_a_scraper_sees_the_figures_of_the_summary(indexing: Indexing, tmp_path: Path) -> None:
    shop = Shop(tmp_path / "shop")
    for product in product_ids(GOOD):
        shop.add(product)
    shop.add("0990000003", picture=b"<html><body>404</body></html>")
    (port,) = choose_free(1)
    running = indexing.start(
        "--catalogue", shop.write(), "--collection", "scraped", VITRINE_TELEMETRY__METRICS_PORT=str(port)
    )
    seen: list[dict[tuple[str, str], float]] = []

    def all_written() -> bool:
        if (scraped := _scraped(port)) is not None:
            seen.append(scraped)
        return running.process.poll() is not None or bool(
            seen and seen[-1]["vitrine_index_rows_total", "written"] == GOOD
        )

    eventually("everything is written", all_written)
    ended = running.end()
    assert ended.status == 0, ended.stderr
    last = seen[-1]
    for outcome in ("read", "written", "unchanged", "rejected", "deleted"):
        assert last["vitrine_index_rows_total", outcome] == ended.summary[outcome], outcome
    assert last["vitrine_index_rejected_total", "image_unrecognised"] == 1
    assert last["vitrine_index_stage_duration_seconds_count", "decode"] == GOOD + 1
    assert last["vitrine_index_stage_duration_seconds_count", "embed"] >= 1
    assert last["vitrine_index_stage_duration_seconds_count", "write"] >= 1
    started = last["vitrine_index_run_started_timestamp_seconds", ""]
    assert started < last["vitrine_index_last_write_timestamp_seconds", ""] < started + 300
    reads = [one["vitrine_index_rows_total", "read"] for one in seen]
    assert reads == sorted(reads)
    assert _scraped(port) is None, "nothing listens after the run"
