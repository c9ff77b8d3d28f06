"""OpenAI's rules for CLIP's tokens, written out plainly: the reference that goldens and property tests stand on.

Nothing here is shared with the product: the words are split by the `regex` package with the pattern that OpenAI
published (not by the `tokenizers` library), and byte pairs are merged one by one (no cache, no priority queue). With
`make_tokens.py --check-open-clip` it is compared with open_clip's own tokenizer.
"""

import gzip
import html
from importlib import metadata
from itertools import pairwise
from pathlib import Path

import ftfy
import regex

CONTEXT_LENGTH = 77
START, END = "<|startoftext|>", "<|endoftext|>"
SPECIAL = r"<\|startoftext\|>|<\|endoftext\|>|"
WORD = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def vocabulary_file() -> Path:
    """The vocabulary that OpenAI published, out of the installed `open-clip-torch` distribution (never imported).

    Raises:
        FileNotFoundError: that package is not installed.
    """
    try:
        files = metadata.files("open-clip-torch") or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name == "bpe_simple_vocab_16e6.txt.gz":
            return Path(str(file.locate()))
    raise FileNotFoundError("CLIP's vocabulary is missing: install requirements/reference.txt with --no-deps.")


class OpenAiRules:
    """Cleans, splits and merges as OpenAI describes it.

    Args:
        typed_specials: OpenAI's own behaviour, in which a typed `<|endoftext|>` becomes the real thing. Off: it is
            ordinary text, which is this product's policy.
    """

    def __init__(self, *, typed_specials: bool = False) -> None:
        with gzip.open(vocabulary_file(), "rt", encoding="utf-8") as file:
            lines = file.read().split("\n")[1 : 49152 - 256 - 2 + 1]
        self.merges = [(left, right) for left, right in (line.split() for line in lines)]
        self._byte_symbols = _byte_symbols()
        symbols = list(self._byte_symbols.values())
        tokens = [*symbols, *(symbol + "</w>" for symbol in symbols), *(left + right for left, right in self.merges)]
        self.vocab = {token: number for number, token in enumerate([*tokens, START, END])}
        self._ranks = {pair: rank for rank, pair in enumerate(self.merges)}
        self._typed_specials = typed_specials
        self._pattern = regex.compile((SPECIAL if typed_specials else "") + WORD, regex.IGNORECASE)

    def encode(self, text: str) -> tuple[list[int], bool]:
        """Ids with both special tokens, and whether the end was cut to fit the context."""
        ids = [self.vocab[START]]
        for word in self.words(text):
            if self._typed_specials and word in (START, END):
                ids.append(self.vocab[word])
            else:
                ids.extend(self.vocab[symbol] for symbol in self._merge(word))
        ids.append(self.vocab[END])
        if len(ids) <= CONTEXT_LENGTH:
            return ids, False
        return [*ids[: CONTEXT_LENGTH - 1], self.vocab[END]], True

    def words(self, text: str) -> list[str]:
        """The cleaned text, split."""
        return list(self._pattern.findall(cleaned(text)))

    def _merge(self, word: str) -> list[str]:
        symbols = [self._byte_symbols[byte] for byte in word.encode("utf-8")]
        symbols[-1] += "</w>"
        while True:
            pairs = set(pairwise(symbols))
            best = min(pairs, key=lambda pair: self._ranks.get(pair, len(self._ranks)), default=None)
            if best not in self._ranks:
                return symbols
            merged: list[str] = []
            position = 0
            while position < len(symbols):
                if tuple(symbols[position : position + 2]) == best:
                    merged.append(symbols[position] + symbols[position + 1])
                    position += 2
                else:
                    merged.append(symbols[position])
                    position += 1
            symbols = merged


def cleaned(text: str) -> str:
    """Broken encodings repaired, entities resolved twice, white space collapsed, lower case."""
    text = html.unescape(html.unescape(ftfy.fix_text(text))).strip()
    return str(regex.sub(r"\s+", " ", text)).strip().lower()


def _byte_symbols() -> dict[int, str]:
    """A printable character for each byte: itself where that is printable Latin-1, else one from 256 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    # The order of this mapping is the order of the first 256 ids.
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + i) for i, byte in enumerate(others)}
