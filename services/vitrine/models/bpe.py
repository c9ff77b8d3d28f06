"""A byte-pair vocabulary of its own for the demo model, laid out as CLIP's: bytes, bytes at a word's end, merges.

Every text encodes, because every byte has a token; words of the demo shop are one or two tokens.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import tokenizers

from vitrine.embedding.cleaning import clean
from vitrine.embedding.tokenizer import BOS, EOT, WORD, build_tokenizer_json

END_OF_WORD = "</w>"
VOCAB_FILE, MERGES_FILE = "vocab.json", "merges.txt"


@dataclass(frozen=True, slots=True)
class Bpe:
    """Tokens and merges. `vocab` maps a token to its id; ids ascend from 0 in CLIP's order, EOT is the last."""

    vocab: dict[str, int]
    merges: tuple[tuple[str, str], ...]

    @property
    def bos_id(self) -> int:
        return self.vocab[BOS]

    @property
    def eot_id(self) -> int:
        return self.vocab[EOT]

    def engine(self) -> tokenizers.Tokenizer:
        """The tokenizer that serving uses, so that training reads texts in the very same way."""
        return tokenizers.Tokenizer.from_str(build_tokenizer_json(self.vocab, self.merges))

    def write(self, folder: Path) -> None:
        """Writes vocab.json, merges.txt and the two small files that transformers' CLIPTokenizer looks for."""
        lines = ["#version: 0.2", *(f"{left} {right}" for left, right in self.merges)]
        special = {"bos_token": BOS, "eos_token": EOT, "unk_token": EOT, "pad_token": EOT}
        settings = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77, "do_lower_case": True, **special}
        (folder / VOCAB_FILE).write_text(json.dumps(self.vocab, ensure_ascii=False) + "\n", encoding="utf-8")
        (folder / MERGES_FILE).write_text("\n".join(lines) + "\n", encoding="utf-8")
        (folder / "special_tokens_map.json").write_text(json.dumps(special, indent=2) + "\n", encoding="utf-8")
        (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


def train_bpe(texts: Iterable[str], *, size: int) -> Bpe:
    """Learns merges from texts, the most frequent pair first.

    Args:
        texts: as people would type them; they are cleaned as queries are.
        size: most tokens in all: 512 for bytes, two special ones, the rest for merges.

    Raises:
        ValueError: `size` leaves no room for a merge.
    """
    # tokenizers.pre_tokenizers.ByteLevel.alphabet() has no fixed order; sorted, equal input gives equal ids.
    symbols = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    fixed = 2 * len(symbols) + 2
    if size <= fixed:
        raise ValueError(f"a vocabulary needs more than its {fixed} fixed tokens, not {size}")
    merges = tuple(_merges(_words(texts), size - fixed))
    tokens = [*symbols, *(symbol + END_OF_WORD for symbol in symbols), *(left + right for left, right in merges)]
    return Bpe({token: index for index, token in enumerate([*tokens, BOS, EOT])}, merges)


def _words(texts: Iterable[str]) -> Counter[tuple[str, ...]]:
    """How often each word occurs, as byte symbols, the last one marked."""
    split = tokenizers.pre_tokenizers.Sequence(
        [
            tokenizers.pre_tokenizers.Split(tokenizers.Regex(WORD), behavior="removed", invert=True),
            tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    words = Counter(word for text in texts for word, _ in split.pre_tokenize_str(clean(text)))
    return Counter({(*word[:-1], word[-1] + END_OF_WORD): count for word, count in words.items()})


def _merges(words: Counter[tuple[str, ...]], limit: int) -> Iterator[tuple[str, str]]:
    """Joins the most frequent pair until `limit` pairs are joined or every word is one token.

    The `tokenizers` library has a trainer too, but it breaks ties differently from run to run: its vocabulary cannot be
    made again from a seed. The words here are a few hundred, so plain Python takes a second.
    """
    for _ in range(limit):
        pairs: Counter[tuple[str, str]] = Counter()
        for word, count in words.items():
            for pair in pairwise(word):
                pairs[pair] += count
        if not pairs:
            return
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        yield best
        words = Counter({_joined(word, best): count for word, count in words.items()})


def _joined(word: tuple[str, ...], pair: tuple[str, str]) -> tuple[str, ...]:
    if pair[0] not in word:
        return word
    symbols: list[str] = []
    for symbol in word:
        if symbols and symbol == pair[1] and symbols[-1] == pair[0]:
            symbols[-1] += symbol
        else:
            symbols.append(symbol)
    return tuple(symbols)


def read_bpe(folder: Path) -> Bpe:
    """Reads what `Bpe.write` wrote.

    Raises:
        OSError: a file is missing.
        ValueError: vocab.json is no JSON.
    """
    vocab = json.loads((folder / VOCAB_FILE).read_text(encoding="utf-8"))
    lines = (folder / MERGES_FILE).read_text(encoding="utf-8").splitlines()[1:]
    pairs = (line.split(" ") for line in lines)
    return Bpe(vocab, tuple((left, right) for left, right in pairs))
