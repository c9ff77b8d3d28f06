"""Asking a gateway: bounded, in order, and a failure is not swallowed. The gateway itself is e2e's business."""

import base64
import csv
import io
import json
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import pytest
from PIL import Image

from vitrine.client import ApiError, Client, ImagePart, SearchAnswer, SearchHit, SearchModel, TextPart
from vitrine.demo.asking import ask_all, stocked_products
from vitrine.demo.captions import Spec
from vitrine.demo.design import Product, sample_products
from vitrine.demo.evaluation import Outcome
from vitrine.demo.queries import IMAGE_KIND, Addition, Query
from vitrine.errors import CatalogueInvalid

RIGHT = frozenset({"1"})
HAT = Product("0000000000", "0000000", "Lena hat", "hat", "red", "star", 4, 1.0)


Parts = Sequence[TextPart | ImagePart]


class Gateway:
    """Answers with the texts of a query as the only id; counts how many calls overlap."""

    def __init__(self, *, refuse: str = "") -> None:
        self.refuse = refuse
        self.seen: list[Parts] = []
        self.options: list[Mapping[str, object]] = []
        self.most_at_once = 0
        self._at_once = 0
        self._lock = threading.Lock()
        self.meeting: threading.Barrier | None = None

    def search(self, collection: str, query: Parts, **options: object) -> SearchAnswer:
        with self._lock:
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
            self.seen.append(query)
            self.options.append(options)
        if self.meeting is not None:
            self.meeting.wait()  # returns only when two are in flight
        with self._lock:
            self._at_once -= 1
        said = " ".join(part.text if isinstance(part, TextPart) else "picture" for part in query)
        if said == self.refuse:
            raise ApiError(503, "overloaded", "Too much at once.", "r1")
        hits = [SearchHit(id=said, score=1.0)]
        return SearchAnswer(hits=hits, took_ms={}, collection=collection, model=SearchModel(name="m", fingerprint="f"))


def texts(*words: str) -> list[Query]:
    return [Query("type", Spec(garment="hat"), RIGHT, text=word) for word in words]


def outcomes_of(gateway: Gateway, queries: Sequence[Query], concurrency: int = 2) -> list[Outcome]:
    client = cast("Client", gateway)
    told: list[None] = []
    outcomes = ask_all(
        client, "shop", queries, concurrency=concurrency, timeout_ms=700, on_answer=lambda: told.append(None)
    )
    assert len(told) == len(queries)
    return outcomes


def ask(gateway: Gateway, queries: Sequence[Query], concurrency: int = 2) -> list[tuple[str, ...]]:
    return [outcome.ids for outcome in outcomes_of(gateway, queries, concurrency)]


def test_outcomes_come_in_the_order_of_the_queries_and_never_more_than_asked_at_once() -> None:
    gateway = Gateway()
    gateway.meeting = threading.Barrier(2, timeout=10)
    assert ask(gateway, texts("a", "b", "c", "d", "e", "f")) == [("a",), ("b",), ("c",), ("d",), ("e",), ("f",)]
    assert gateway.most_at_once == 2
    assert all(options == {"limit": 10, "timeout_ms": 700} for options in gateway.options)


def test_a_refusal_ends_the_asking() -> None:
    gateway = Gateway(refuse="b")
    with pytest.raises(ApiError, match="Too much"):
        ask(gateway, texts("a", "b", *"cdefghijklmnop"), concurrency=1)
    assert gateway.seen == [[TextPart("a")], [TextPart("b")]]


def test_an_image_query_sends_a_jpeg_of_its_drawing() -> None:
    gateway = Gateway()
    assert ask(gateway, [Query(IMAGE_KIND, Spec(garment="hat"), RIGHT, drawing=HAT)]) == [("picture",)]
    ((part,),) = gateway.seen
    assert isinstance(part, ImagePart)
    head, _, data = part.image.partition(",")
    assert head == "data:image/jpeg;base64"
    with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
        assert (picture.format, picture.size) == ("JPEG", (384, 512))


def test_a_composed_query_is_asked_as_a_whole_and_its_first_part_by_itself() -> None:
    gateway = Gateway()
    floral, red = Spec(pattern="floral"), Spec(colour="red")
    words = Query(
        "type, not pattern", Spec(garment="hat"), RIGHT, text="hat", addition=Addition("floral", floral, -0.25)
    )
    shown = Query("image + colour", Spec(garment="hat"), RIGHT, drawing=HAT, addition=Addition("red", red, 1.0))
    outcomes = outcomes_of(gateway, [words, shown], concurrency=1)
    assert [(outcome.ids, outcome.alone) for outcome in outcomes] == [
        (("hat floral",), ("hat",)),
        (("picture red",), ("picture",)),
    ]
    assert gateway.seen[:2] == [[TextPart("hat"), TextPart("floral", -0.25)], [TextPart("hat")]]
    assert gateway.seen[2] == [*gateway.seen[3], TextPart("red", 1.0)]


def test_a_query_of_one_part_is_asked_once() -> None:
    gateway = Gateway()
    assert [outcome.alone for outcome in outcomes_of(gateway, texts("a"))] == [None]
    assert len(gateway.seen) == 1


def _folder(path: Path, ids: Sequence[str], recipe: object) -> Path:
    (path / "demo-catalogue.json").write_text(json.dumps(recipe))
    with (path / "articles.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["article_id"], *([article] for article in ids)])
    return path


def test_the_stock_is_read_from_the_catalogues_own_recipe(tmp_path: Path) -> None:
    products = sample_products(30, 5)
    folder = _folder(tmp_path, [product.article_id for product in products], {"count": 30, "seed": 5, "version": 1})
    assert stocked_products(folder) == products


@pytest.mark.parametrize(
    ("ids", "recipe", "complaint"),
    [
        (["0108775015"], {"count": 30, "seed": 5}, "lists other articles"),
        ([], {"seed": 5}, "no complete demo catalogue"),
        ([], [], "no complete demo catalogue"),
    ],
    ids=["another catalogue's articles", "no count", "no recipe"],
)
def test_a_stock_whose_truth_is_unknown_is_refused(
    tmp_path: Path, ids: list[str], recipe: object, complaint: str
) -> None:
    with pytest.raises(CatalogueInvalid, match=complaint):
        stocked_products(_folder(tmp_path, ids, recipe))


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CatalogueInvalid):
        stocked_products(tmp_path)
