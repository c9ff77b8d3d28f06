import io
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from vitrine.errors import InvalidInput, LimitExceeded
from vitrine.tuning.measure import Measurement, Trial
from vitrine.tuning.queries import QueryKind
from vitrine.tuning.recall import Compared, RecallReport, RecallRequest, ladder, resolve_index
from vitrine.tuning.recall_report import as_json, print_recall
from vitrine.vectorstore.collection import CollectionInfo
from vitrine.vectorstore.index_params import DiskAnn, Flat, Hnsw, IndexParams, IvfPq, IvfSq8

OWN = Hnsw(M=32, ef=100)


@pytest.mark.parametrize(
    ("written", "index", "served"),
    [
        ("hnsw", OWN, True),
        ("hnsw:ef=16", Hnsw(M=32, ef=16), True),
        ("hnsw:M=32,ef=16", Hnsw(M=32, ef=16), True),
        ("hnsw:M=16", Hnsw(M=16), False),
        ("ivf_pq:m=8,nprobe=20", IvfPq(m=8, nprobe=20), False),
        ("flat", Flat(), False),
    ],
)
def test_what_is_not_written_is_the_collections_own_where_its_build_serves(
    written: str, index: IndexParams, served: bool
) -> None:
    assert resolve_index(OWN, written) == (index, served)


@pytest.mark.parametrize("written", ["hnsw:", "hnsw:ef", "hnsw:ef=", "hnsw:nprobe=3", "tree", "hnsw:ef=many"])
def test_a_setting_that_does_not_exist_is_refused(written: str) -> None:
    if written == "hnsw:":
        assert resolve_index(OWN, written) == (OWN, True)
        return
    with pytest.raises(InvalidInput):
        resolve_index(OWN, written)


def test_without_settings_the_main_one_is_tried_around_its_default() -> None:
    assert [index.settings()["ef"] for index in ladder(OWN)] == [25, 50, 100, 200, 400]
    assert [index.settings()["ef"] for index in ladder(Hnsw(ef=16))] == [10, 16, 32, 64]
    assert ladder(Flat()) == [Flat()]
    assert [index.settings()["search_list"] for index in ladder(DiskAnn())] == [25, 50, 100, 200, 400]


def test_a_compressed_index_is_also_tried_with_reranking() -> None:
    steps = ladder(IvfSq8(nlist=64, nprobe=32))
    assert [index.settings()["nprobe"] for index in steps] == [8, 16, 32, 64, 32]
    assert [index.settings()["rerank"] for index in steps] == [0, 0, 0, 0, 10]
    assert all(index.settings()["rerank"] == 5 for index in ladder(IvfPq(rerank=5)))


@pytest.mark.parametrize(
    "request_", [{"max_minutes": 0}, {"max_minutes": 1_000}, {"rounds": 0}, {"indexes": ("flat",) * 65}]
)
def test_a_comparison_is_bounded(request_: dict[str, object]) -> None:
    with pytest.raises(LimitExceeded):
        RecallRequest("shop", **request_).check()  # type: ignore[arg-type]
    RecallRequest("shop", texts=Path("x")).check()


def report() -> RecallReport:
    info = CollectionInfo(
        "shop_v1", 512, 1_000, (), OWN, "f" * 64, "demo", "b", datetime(2026, 1, 1, tzinfo=UTC), True, ("shop",)
    )

    def measured(recall: float) -> Measurement:
        recalls = {k: np.full(4, recall) for k in (10, 100)}
        return Measurement(Trial("0", "shop_v1", OWN), recalls, np.array([1.0, 2.0, 3.0, 40.0]))

    by_kind = {QueryKind.TEXT: measured(0.5), QueryKind.IMAGE: measured(0.75)}
    return RecallReport(
        collection=info,
        queries={QueryKind.TEXT: "titles of products", QueryKind.IMAGE: "pictures of the collection"},
        counts={QueryKind.TEXT: 4, QueryKind.IMAGE: 4},
        compared=(Compared(OWN, False, by_kind, 2_097_152), Compared(IvfPq(m=8), True, by_kind, 1_048_576)),
        notes=("something [bold] was not measured",),
    )


def test_the_table_shows_every_figure_and_what_was_built() -> None:
    console = Console(file=io.StringIO(), width=160)
    print_recall(console, report())
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    for part in ("HNSW M=32", "0.500", "0.750", "2.0", "40.0", "rerank=0 *", "Latency is of text queries", "[bold]"):
        assert part in text


def test_the_json_has_the_same_figures() -> None:
    told = as_json(report())
    assert told["compared"][0]["recall"] == {"text": {"10": 0.5, "100": 0.5}, "image": {"10": 0.75, "100": 0.75}}
    assert told["compared"][0]["index"] == {"type": "hnsw", "M": 32, "efConstruction": 200, "ef": 100}
    assert (told["compared"][1]["p50_ms"], told["compared"][1]["p99_ms"], told["latency_of"]) == (2.0, 40.0, "text")
    assert (told["rows"], told["queries"]["text"]["count"]) == (1_000, 4)
