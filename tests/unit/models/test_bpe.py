"""The demo model's own vocabulary: complete, in CLIP's order, the same every time."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vitrine.embedding.tokenizer import BOS, EOT
from vitrine.models.bpe import Bpe, read_bpe, train_bpe

TEXTS = ["floral top", "red dress with flowers", "a red top", "striped T-shirt", "floral dress"] * 20


@pytest.fixture(scope="module")
def bpe() -> Bpe:
    return train_bpe(TEXTS, size=560)


def test_ids_are_bytes_then_bytes_at_word_ends_then_merges_then_special(bpe: Bpe) -> None:
    tokens = list(bpe.vocab)
    assert [bpe.vocab[token] for token in tokens] == list(range(len(tokens)))
    assert all(len(token) == 1 for token in tokens[:256])
    assert [token + "</w>" for token in tokens[:256]] == tokens[256:512]
    assert tokens[512:-2] == [left + right for left, right in bpe.merges]
    assert tokens[-2:] == [BOS, EOT]


def test_it_has_at_most_the_size_asked_for() -> None:
    assert len(train_bpe(TEXTS, size=530).vocab) == 530
    assert len(train_bpe(TEXTS, size=5000).vocab) < 700  # there are no more pairs to merge


def test_frequent_words_are_one_token() -> None:
    engine = train_bpe(TEXTS, size=700).engine()
    assert engine.encode("floral dress").tokens == [BOS, "floral</w>", "dress</w>", EOT]


def test_texts_are_cleaned_as_queries_are() -> None:
    assert "T</w>" not in {token for pair in train_bpe(TEXTS, size=700).merges for token in pair}


def test_training_twice_gives_the_same(bpe: Bpe) -> None:
    assert train_bpe(reversed(TEXTS), size=560) == bpe


def test_no_room_for_a_merge_is_refused() -> None:
    with pytest.raises(ValueError, match="514"):
        train_bpe(TEXTS, size=514)


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=40))
def test_every_text_encodes_without_loss(text: str) -> None:
    tokens = _ENGINE.encode(text).tokens[1:-1]
    words = "".join(tokens).replace("</w>", "").encode()
    assert len(words) >= len("".join(text.split()).encode())
    assert all(token in _BPE.vocab for token in tokens)


def test_written_files_read_back_and_are_clips_layout(bpe: Bpe, tmp_path: Path) -> None:
    bpe.write(tmp_path)
    assert read_bpe(tmp_path) == bpe
    assert (tmp_path / "merges.txt").read_text(encoding="utf-8").startswith("#version: 0.2\n")
    assert json.loads((tmp_path / "tokenizer_config.json").read_text())["tokenizer_class"] == "CLIPTokenizer"


_BPE = train_bpe(TEXTS, size=600)
_ENGINE = _BPE.engine()
