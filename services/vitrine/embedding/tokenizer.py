"""Text to token ids, by the rules of OpenAI's CLIP, for a query and for training alike.

Two steps: `cleaning.py`, then `tokenizer.json` (splitting into words and byte-level BPE), a file of the `tokenizers`
library that belongs to the model.
`docs/text-policy.md` lists where this departs from OpenAI's code on purpose; golden ids hold the rest in place.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import tokenizers

from vitrine.embedding.cleaning import clean, has_visible_character
from vitrine.embedding.contract import TOKENIZER_FILE, ModelContract
from vitrine.errors import ModelInvalid, QueryEmpty, QueryTooLarge, TextMalformed

Ids: TypeAlias = npt.NDArray[np.int32]

BOS = "<|startoftext|>"
EOT = "<|endoftext|>"

WORD = r"'[s\x{17f}]|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}\x{345}]+"
"""OpenAI's word pattern in Oniguruma's syntax, without its two special tokens.

It is applied to lower-case text, so OpenAI's IGNORECASE matters for two characters only, both spelled out: the long
s counts as `s`, and a lone Greek iota subscript (a mark that folds to a letter) is matched by nothing and dropped.
"""


@dataclass(frozen=True, slots=True)
class TokenIds:
    """One text as the model reads it.

    Args:
        ids: int32 [n], first BOS, last EOT, n at most the context length.
        truncated: the text was longer than the context; its end was cut and EOT kept.
    """

    ids: Ids
    truncated: bool


class TokenBatch(NamedTuple):
    """Texts that share a padded length.

    Args:
        rows: intp [n], where each text stood in the sequence that was batched.
        ids: int32 [n, bucket]; EOT again after EOT, which a causal tower pooled at the first EOT cannot see.
    """

    rows: npt.NDArray[np.intp]
    ids: Ids


class Tokenizer:
    """Encodes texts for one model. Safe to share between threads: nothing changes after construction."""

    def __init__(self, engine: tokenizers.Tokenizer, *, context_length: int, buckets: Sequence[int]) -> None:
        """
        Args:
            engine: a loaded `tokenizer.json` (see `build_tokenizer_json`).
            context_length: most ids a text may have, BOS and EOT included.
            buckets: padded lengths, ascending; the last is the context length.

        Raises:
            ModelInvalid: the file does not frame a text with BOS and EOT, would match special tokens inside typed
                text, or the buckets cannot hold every text.
        """
        if engine.get_added_tokens_decoder():
            raise ModelInvalid(f"{TOKENIZER_FILE} has added tokens, which a typed query could contain.")
        engine.no_truncation()
        engine.no_padding()
        frame = engine.encode("").ids
        if len(frame) != 2:
            raise ModelInvalid(f"{TOKENIZER_FILE} does not frame a text with two special tokens: it adds {frame}.")
        if list(buckets) != sorted(set(buckets)) or buckets[-1] != context_length:
            raise ModelInvalid(f"Text buckets {list(buckets)} do not ascend to the context length {context_length}.")
        self._engine = engine
        self._eot: int = frame[1]
        self._context_length = context_length
        self.buckets = tuple(buckets)

    @classmethod
    def load(cls, repository: Path, contract: ModelContract) -> "Tokenizer":
        """Reads `tokenizer.json` of a model repository whose contract was loaded (and so hashed) already.

        Raises:
            ModelInvalid: the file is missing or is no tokenizer for this contract.
        """
        path = repository / TOKENIZER_FILE
        try:
            engine = tokenizers.Tokenizer.from_str(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ModelInvalid(f"{path} cannot be read: {error.strerror}.") from error
        except Exception as error:  # the library raises bare Exception for a file it cannot parse
            raise ModelInvalid(f"{path} is no tokenizer file: {error}") from error
        return cls(engine, context_length=contract.context_length, buckets=contract.text_buckets)

    def encode(self, texts: Sequence[str]) -> list[TokenIds]:
        """Cleans and encodes. Never fails on a text: what a query must fulfil is `check_query`'s business.

        An empty text gives BOS and EOT alone.
        """
        return [self.encode_cleaned(clean(text)) for text in texts]

    def encode_cleaned(self, text: str) -> TokenIds:
        """Encodes a text that has been cleaned already, such as what `check_query` returns."""
        ids = self._engine.encode(text).ids
        truncated = len(ids) > self._context_length
        if truncated:
            ids = [*ids[: self._context_length - 1], self._eot]
        return TokenIds(ids=np.array(ids, dtype=np.int32), truncated=truncated)


def pad_to_bucket(tokens: Sequence[TokenIds], buckets: Sequence[int]) -> list[TokenBatch]:
    """Groups texts by the smallest bucket that holds them, so that short queries stay cheap.

    Args:
        tokens: what `Tokenizer.encode` gave.
        buckets: padded lengths, ascending; the last holds the longest text (`Tokenizer.buckets`).

    Returns:
        One batch for each bucket in use, ascending; within it the order of `tokens`.
    """
    groups: dict[int, list[int]] = {}
    for row, item in enumerate(tokens):
        bucket = next(length for length in buckets if length >= item.ids.size)
        groups.setdefault(bucket, []).append(row)
    return [_pad([tokens[row].ids for row in rows], rows, bucket) for bucket, rows in sorted(groups.items())]


def check_query(text: str, max_bytes: int) -> str:
    """Refuses a text query that cannot mean anything or is far over what the model can read.

    Args:
        text: as it was sent.
        max_bytes: most UTF-8 bytes.

    Returns:
        The cleaned text, on which alone the embedding depends.

    Raises:
        QueryTooLarge: more than `max_bytes`.
        TextMalformed: a lone surrogate or NUL.
        QueryEmpty: no visible character, before or after cleaning (`&nbsp;` is a blank).
    """
    if len(text) > max_bytes:
        raise _too_large(len(text), max_bytes, "at least ")
    try:
        size = len(text.encode("utf-8"))
    except UnicodeEncodeError as error:
        raise TextMalformed(
            f"The query has a lone surrogate at character {error.start}: it is not well-formed Unicode.",
            position=error.start,
        ) from None
    if size > max_bytes:
        raise _too_large(size, max_bytes, "")
    if "\0" in text:
        raise TextMalformed("The query contains a NUL character.", position=text.index("\0"))
    cleaned = clean(text)
    if not has_visible_character(cleaned):
        raise QueryEmpty("The query has no visible character.")
    return cleaned


def build_tokenizer_json(vocab: Mapping[str, int], merges: Iterable[str] | Iterable[tuple[str, str]]) -> str:
    """The text of a `tokenizer.json` in CLIP's manner: OpenAI's word pattern, byte-level BPE with `</w>` at word ends.

    The file carries BOS and EOT in its post-processor, not as added tokens: those would be matched inside typed text,
    and a query could end itself early. Cleaning and truncation are not in the file; `Tokenizer` does both.

    Args:
        vocab: token to id, the two special tokens included.
        merges: in order of rank, as pairs or as lines of a `merges.txt` (its `#version` line is skipped).

    Raises:
        ModelInvalid: a special token or one of the 512 byte symbols is missing, or a merge leads out of the vocabulary.
    """
    pairs = list(_merge_pairs(merges))
    _check_vocabulary(vocab, pairs)
    engine = tokenizers.Tokenizer(
        tokenizers.models.BPE(vocab=dict(vocab), merges=pairs, end_of_word_suffix="</w>", fuse_unk=False)
    )
    engine.pre_tokenizer = tokenizers.pre_tokenizers.Sequence(
        [
            tokenizers.pre_tokenizers.Split(tokenizers.Regex(WORD), behavior="removed", invert=True),
            tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    engine.post_processor = tokenizers.processors.TemplateProcessing(
        single=f"{BOS} $A {EOT}", special_tokens=[(BOS, vocab[BOS]), (EOT, vocab[EOT])]
    )
    return engine.to_str()


def _pad(texts: Sequence[Ids], rows: Sequence[int], bucket: int) -> TokenBatch:
    ids = np.empty((len(texts), bucket), dtype=np.int32)
    for target, text in zip(ids, texts, strict=True):
        target[: text.size] = text
        target[text.size :] = text[-1]
    return TokenBatch(np.array(rows, dtype=np.intp), ids)


def _too_large(size: int, max_bytes: int, qualifier: str) -> QueryTooLarge:
    return QueryTooLarge(
        f"The query has {qualifier}{size} bytes; at most {max_bytes} are accepted.", bytes=size, max_bytes=max_bytes
    )


def _merge_pairs(merges: Iterable[str] | Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    for merge in merges:
        if not isinstance(merge, str):
            yield merge[0], merge[1]
        elif merge.strip() and not merge.startswith("#version"):
            parts = merge.split()
            if len(parts) != 2:
                raise ModelInvalid(f"The merge {merge!r} is not two symbols.")
            yield parts[0], parts[1]


def _check_vocabulary(vocab: Mapping[str, int], merges: Sequence[tuple[str, str]]) -> None:
    bytes_alone = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    required = [BOS, EOT, *bytes_alone, *(symbol + "</w>" for symbol in bytes_alone)]
    missing = sorted(token for token in required if token not in vocab)
    if missing:
        raise ModelInvalid(f"The vocabulary lacks {len(missing)} of its basic tokens, the first is {missing[0]!r}.")
    if len(set(vocab.values())) != len(vocab):
        raise ModelInvalid("Two tokens of the vocabulary share an id.")
    for left, right in merges:
        merged = left + right
        if left not in vocab or right not in vocab or merged not in vocab or merged in (BOS, EOT):
            raise ModelInvalid(f"The merge {left!r} + {right!r} does not stay within the ordinary vocabulary.")
