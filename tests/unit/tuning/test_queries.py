from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from vitrine.domain import Deadline
from vitrine.embedding.encoder import EncodedTexts, Encoder
from vitrine.errors import InvalidInput, LimitExceeded
from vitrine.tuning.queries import (
    MAX_QUERIES,
    QueryKind,
    QuerySet,
    read_texts,
    sampled_ids,
    split,
    text_queries,
    titles,
)
from vitrine.vectorstore.reader import CollectionReader
from vitrine.vectorstore.searcher import VectorSearcher


def queries(count: int) -> QuerySet:
    vectors = np.arange(2 * count, dtype=np.float32).reshape(count, 2)
    return QuerySet(QueryKind.IMAGE, vectors, tuple(f"p{row}" for row in range(count)))


def reader_of(ids: list[str]) -> CollectionReader:
    async def listed(name: str, deadline: Deadline) -> AsyncIterator[str]:
        for item_id in ids:
            yield item_id

    return cast("CollectionReader", SimpleNamespace(ids=listed))


def test_two_sets_share_no_query_lose_none_and_depend_on_the_seed_alone() -> None:
    whole = queries(20)
    tuning, held_out = split(whole, 0.3, seed=1)
    assert len(held_out) == 6
    assert sorted(tuning.own_ids + held_out.own_ids) == sorted(whole.own_ids)
    for part in (tuning, held_out):
        assert [f"p{int(vector[0]) // 2}" for vector in part.vectors] == list(part.own_ids)
    assert split(whole, 0.3, seed=1)[1].own_ids == held_out.own_ids
    assert split(whole, 0.3, seed=2)[1].own_ids != held_out.own_ids


def test_each_set_gets_a_query_and_one_query_cannot_be_split() -> None:
    assert [len(part) for part in split(queries(2), 0.01)] == [1, 1]
    assert [len(part) for part in split(queries(2), 0.99)] == [1, 1]
    with pytest.raises(InvalidInput, match="cannot be cut from 1 queries"):
        split(queries(1), 0.5)
    with pytest.raises(InvalidInput, match="share of 1 cannot"):
        split(queries(9), 1.0)


def test_a_file_of_texts_is_read_by_lines_without_empty_and_repeated_ones(tmp_path: Path) -> None:
    file = tmp_path / "queries.txt"
    file.write_text("red dress\n\n  jeans \r\nred dress\nTürkis\n", encoding="utf-8")
    assert read_texts(file) == ["red dress", "jeans", "Türkis"]
    assert read_texts(file, most=2) == ["red dress", "jeans"]


def test_a_file_that_holds_no_texts_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text(" \n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    for name, message in (("empty", "holds no text"), ("binary", "cannot be read"), ("missing", "cannot be read")):
        with pytest.raises(InvalidInput, match=message):
            read_texts(tmp_path / name)
    (tmp_path / "huge").write_bytes(b"x\n" * (5 << 20))
    with pytest.raises(LimitExceeded, match="larger than"):
        read_texts(tmp_path / "huge")


async def test_a_sample_is_the_same_in_whatever_order_ids_are_stored_and_prefers_none() -> None:
    ids = [f"{row:06d}" for row in range(5_000)]
    drawn = await sampled_ids(reader_of(ids), "shop", 500, Deadline.after(5), seed=3)
    again = await sampled_ids(reader_of(ids[::-1]), "shop", 500, Deadline.after(5), seed=3)
    other = await sampled_ids(reader_of(ids), "shop", 500, Deadline.after(5), seed=4)
    assert drawn == again
    assert len(set(drawn)) == 500
    assert set(drawn) != set(other)
    assert 2_000 < np.mean([int(item_id) for item_id in drawn]) < 3_000
    assert await sampled_ids(reader_of(["a", "b"]), "shop", 500, Deadline.after(5)) in (["a", "b"], ["b", "a"])


async def test_a_sample_has_bounds() -> None:
    for count in (0, MAX_QUERIES + 1):
        with pytest.raises(LimitExceeded):
            await sampled_ids(reader_of([]), "shop", count, Deadline.after(5))


async def test_texts_are_embedded_in_calls_of_a_bounded_size_and_stay_in_order() -> None:
    calls: list[int] = []

    async def encode_texts(batch: list[str], deadline: Deadline, clock: Any) -> EncodedTexts:
        calls.append(len(batch))
        return EncodedTexts(np.array([[float(text), 0] for text in batch], np.float32), (False,) * len(batch))

    encoder = cast("Encoder", SimpleNamespace(encode_texts=encode_texts))
    embedded = await text_queries(encoder, [str(row) for row in range(150)], Deadline.after(5))
    assert calls == [64, 64, 22]
    assert embedded.vectors[:, 0].tolist() == list(range(150))
    assert embedded.own_ids == ("",) * 150


async def test_titles_are_different_ones_and_a_collection_without_any_says_so() -> None:
    async def items_of(name: str, ids: list[str], deadline: Deadline, *, strong: bool) -> dict[str, Any]:
        return {item_id: SimpleNamespace(title=f" Shirt {int(item_id) // 2} ") for item_id in ids}

    async def untitled(name: str, ids: list[str], deadline: Deadline, *, strong: bool) -> dict[str, Any]:
        return {item_id: SimpleNamespace(title=" ") for item_id in ids}

    reader = reader_of([str(row) for row in range(40)])
    found = await titles(
        reader, cast("VectorSearcher", SimpleNamespace(items_of=items_of)), "shop", 10, Deadline.after(5)
    )
    assert len(set(found)) == len(found) == 10
    assert all(title.startswith("Shirt ") for title in found)
    with pytest.raises(InvalidInput, match="has a title"):
        await titles(reader, cast("VectorSearcher", SimpleNamespace(items_of=untitled)), "shop", 10, Deadline.after(5))
