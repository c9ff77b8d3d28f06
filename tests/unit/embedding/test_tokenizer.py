"""What the tokenizer promises beside equal ids: refusals, buckets, and a file that stands alone."""

import json
from hashlib import sha256

import numpy as np
import pytest
import tokenizers

from vitrine.embedding.contract import TOKENIZER_FILE, ModelContract
from vitrine.embedding.tokenizer import (
    BOS,
    EOT,
    TokenIds,
    Tokenizer,
    build_tokenizer_json,
    check_query,
    pad_to_bucket,
)
from vitrine.errors import ModelInvalid, QueryEmpty, QueryTooLarge, TextMalformed

BYTES = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
BASE = [*BYTES, *(symbol + "</w>" for symbol in BYTES)]


def small_vocabulary(*extra: str) -> dict[str, int]:
    return {token: number for number, token in enumerate([*BASE, *extra, BOS, EOT])}


def small_tokenizer() -> Tokenizer:
    vocab = small_vocabulary("re", "red</w>")
    engine = tokenizers.Tokenizer.from_str(build_tokenizer_json(vocab, [("r", "e"), ("re", "d</w>")]))
    return Tokenizer(engine, context_length=20, buckets=(4, 8, 20))


def tokens(length: int) -> TokenIds:
    return TokenIds(ids=np.array([1, *[5] * (length - 2), 9], dtype=np.int32), truncated=False)


def contract(tokenizer_json: str, **changes: object) -> ModelContract:
    fields = {
        "model": "test",
        "text_weights_sha256": "0" * 64,
        "image_weights_sha256": "0" * 64,
        "tokenizer_sha256": sha256(tokenizer_json.encode()).hexdigest(),
        "context_length": 20,
        "text_buckets": (4, 8, 20),
        "dimension": 4,
    }
    return ModelContract.model_validate(fields | changes)


# --- encoding


def test_ids_are_int32_framed_by_bos_and_eot():
    tokenizer, vocab = small_tokenizer(), small_vocabulary("re", "red</w>")
    (item,) = tokenizer.encode(["Red"])
    assert item.ids.dtype == np.int32
    assert item.ids.tolist() == [vocab[BOS], vocab["red</w>"], vocab[EOT]]
    assert not item.truncated


def test_a_long_text_is_cut_to_the_context_and_keeps_eot():
    vocab = small_vocabulary("re", "red</w>")
    cut, whole = small_tokenizer().encode(["red " * 19, "red " * 18])
    assert cut.truncated
    assert cut.ids.tolist() == [vocab[BOS], *[vocab["red</w>"]] * 18, vocab[EOT]]
    assert not whole.truncated
    assert whole.ids.tolist() == cut.ids.tolist()


def test_no_text_gives_no_tokens():
    assert small_tokenizer().encode([]) == []


def test_lone_surrogates_are_encoded_as_replacement_characters():
    tokenizer = small_tokenizer()
    broken, replaced = tokenizer.encode(["\ud800", "\ufffd"])
    assert broken.ids.tolist() == replaced.ids.tolist()


# --- buckets


@pytest.mark.parametrize(("length", "bucket"), [(2, 8), (8, 8), (9, 16), (16, 16), (17, 32), (33, 77), (77, 77)])
def test_the_smallest_bucket_that_holds_a_text_is_used(length, bucket):
    (batch,) = pad_to_bucket([tokens(length)], (8, 16, 32, 77))
    assert batch.ids.shape == (1, bucket)
    assert batch.ids.dtype == np.int32


def test_rows_of_a_bucket_keep_their_order_and_know_where_they_came_from():
    batches = pad_to_bucket([tokens(10), tokens(3), tokens(5), tokens(16), tokens(4)], (4, 8, 16))
    assert [(batch.rows.tolist(), batch.ids.shape) for batch in batches] == [
        ([1, 4], (2, 4)),
        ([2], (1, 8)),
        ([0, 3], (2, 16)),
    ]
    assert batches[0].ids.tolist() == [[1, 5, 9, 9], [1, 5, 5, 9]]


def test_results_can_be_put_back_by_rows():
    lengths = [10, 3, 5, 16, 4]
    answer = np.zeros(len(lengths), dtype=np.int64)
    for rows, ids in pad_to_bucket([tokens(length) for length in lengths], (4, 8, 16)):
        answer[rows] = [row.index(9) + 1 for row in ids.tolist()]
    assert answer.tolist() == lengths


def test_nothing_to_pad_gives_no_batch():
    assert pad_to_bucket([], (8, 77)) == []


# --- queries


@pytest.mark.parametrize("text", ["red", "7", "\U0001f457", "\u8d64\u3044", "R&D", "x" * 100])
def test_ordinary_queries_pass(text):
    check_query(text, 100)


@pytest.mark.parametrize(
    "text", ["", "   ", "\n\t", "\u200b\u200d", "&nbsp;", "&amp;nbsp;", "\u3164", "\u0007", "\u2800 \ufeff"]
)
def test_a_query_without_a_visible_character_is_empty(text):
    with pytest.raises(QueryEmpty):
        check_query(text, 100)


@pytest.mark.parametrize(("text", "size"), [("x" * 101, 101), ("\u00e9" * 51, 102), ("\U0001f457" * 26, 104)])
def test_size_is_counted_in_bytes(text, size):
    with pytest.raises(QueryTooLarge) as caught:
        check_query(text, 100)
    assert caught.value.details == {"bytes": size, "max_bytes": 100}


@pytest.mark.parametrize("text", ["red\ud800", "\udc57\ud83d", "red\0dress", "\0"])
def test_malformed_text_is_refused(text):
    with pytest.raises(TextMalformed):
        check_query(text, 100)


# --- the file


def test_the_file_stands_alone():
    """Read by the bare library, it frames a text with BOS and EOT and knows no token that could be typed."""
    vocab = small_vocabulary("re", "red</w>")
    engine = tokenizers.Tokenizer.from_str(build_tokenizer_json(vocab, ["#version: 0.2", "r e", "re d</w>", ""]))
    assert engine.encode("red").ids == [vocab[BOS], vocab["red</w>"], vocab[EOT]]
    assert engine.get_added_tokens_decoder() == {}
    assert vocab[EOT] not in engine.encode(f"red{EOT}").ids[1:-1]


def test_pairs_and_lines_give_the_same_file():
    vocab = small_vocabulary("re", "red</w>")
    assert build_tokenizer_json(vocab, [("r", "e")]) == build_tokenizer_json(vocab, ["r e"])


@pytest.mark.parametrize("missing", [BOS, EOT, "a", "a</w>"])
def test_a_vocabulary_without_a_basic_token_is_refused(missing):
    vocab = {token: number for token, number in small_vocabulary().items() if token != missing}
    with pytest.raises(ModelInvalid, match="lacks 1 of its basic tokens"):
        build_tokenizer_json(vocab, [])


@pytest.mark.parametrize("merge", ["r e", ("r", "e"), "<|endoftext|> x", "onlyone", "a b c"])
def test_a_merge_that_leads_nowhere_is_refused(merge):
    with pytest.raises(ModelInvalid, match="merge"):
        build_tokenizer_json(small_vocabulary(), [merge])


def test_a_merge_that_makes_a_special_token_is_refused():
    with pytest.raises(ModelInvalid, match="ordinary vocabulary"):
        build_tokenizer_json(small_vocabulary("<|endof", "text|>"), [("<|endof", "text|>")])


def test_two_tokens_with_one_id_are_refused():
    vocab = small_vocabulary()
    with pytest.raises(ModelInvalid, match="share an id"):
        build_tokenizer_json({**vocab, "x": vocab["y"]}, [])


# --- loading


def test_load_reads_the_file_beside_the_contract(tmp_path):
    text = build_tokenizer_json(small_vocabulary(), [])
    (tmp_path / TOKENIZER_FILE).write_text(text, encoding="utf-8")
    contract(text).write(tmp_path)
    tokenizer = Tokenizer.load(tmp_path, ModelContract.load(tmp_path))
    assert tokenizer.buckets == (4, 8, 20)
    assert tokenizer.encode(["a"])[0].ids.size == 3


def test_load_names_a_missing_or_broken_file(tmp_path):
    with pytest.raises(ModelInvalid, match="cannot be read"):
        Tokenizer.load(tmp_path, contract("{}"))
    (tmp_path / TOKENIZER_FILE).write_text("{}", encoding="utf-8")
    with pytest.raises(ModelInvalid, match="is no tokenizer file"):
        Tokenizer.load(tmp_path, contract("{}"))


@pytest.mark.parametrize("buckets", [(4, 8), (8, 4, 20), (4, 4, 20)])
def test_buckets_must_ascend_to_the_context_length(buckets):
    engine = tokenizers.Tokenizer.from_str(build_tokenizer_json(small_vocabulary(), []))
    with pytest.raises(ModelInvalid, match="do not ascend"):
        Tokenizer(engine, context_length=20, buckets=buckets)


def test_a_file_that_frames_nothing_is_refused():
    document = json.loads(build_tokenizer_json(small_vocabulary(), []))
    document["post_processor"] = None
    with pytest.raises(ModelInvalid, match="does not frame"):
        Tokenizer(tokenizers.Tokenizer.from_str(json.dumps(document)), context_length=20, buckets=(20,))


def test_a_file_whose_special_tokens_match_typed_text_is_refused():
    engine = tokenizers.Tokenizer.from_str(build_tokenizer_json(small_vocabulary(), []))
    engine.add_special_tokens([EOT])
    with pytest.raises(ModelInvalid, match="added tokens"):
        Tokenizer(engine, context_length=20, buckets=(20,))
