"""Writes tests/data/golden_tokens.json: hard texts and their ids by OpenAI's rules with the real CLIP vocabulary.

python tests/golden/make_tokens.py                      write the file
python tests/golden/make_tokens.py --check              exit 1 if the file would change
python tests/golden/make_tokens.py --check-open-clip    compare the rules with open_clip's tokenizer (needs torch)
"""

import argparse
import hashlib
import json
import runpy
import sys
import unicodedata
from importlib import metadata
from pathlib import Path

from openai_rules import OpenAiRules, vocabulary_file

SOURCE = Path(__file__).with_name("strings.json")
LONG = [
    "word " * 500,
    " ".join(f"w{number}" for number in range(500)),
    "floral dress with long sleeves and " * 80,
    "a" * 1000,
    "ab" * 400,
    "supercalifragilisticexpialidocious",
    "donaudampfschifffahrtsgesellschaftskapit\u00e4n",
    # 75 tokens fit, 76 do not; a word of several tokens may be cut in its middle.
    "a " * 75,
    "a " * 76,
    "a " * 74 + "floral",
    "a " * 74 + "donaudampfschiff",
    "!" * 300,
    "!?" * 150,
    "-" * 77,
    "9" * 100,
    "x" * 76 + " y",
    "\u00e9" * 300,
    "\U0001f457" * 100,
    "\u8d64" * 80,
]

TARGET = Path(__file__).parents[1] / "data" / "golden_tokens.json"


def texts_by_kind() -> dict[str, list[str]]:
    """Texts that tokenizers get wrong, by the reason why."""
    return {**json.loads(SOURCE.read_text(encoding="utf-8")), "long": LONG}


def document() -> dict[str, object]:
    rules, original = OpenAiRules(), OpenAiRules(typed_specials=True)
    texts = []
    for kind, group in texts_by_kind().items():
        for text in group:
            ids, truncated = rules.encode(text)
            entry: dict[str, object] = {"kind": kind, "text": text, "ids": ids, "truncated": truncated}
            if original.encode(text) != (ids, truncated):
                # A typed special token: OpenAI's code would let it end the text. Kept to show what the policy changes.
                entry["ids_by_openai"] = original.encode(text)[0]
            texts.append(entry)
    vocabulary = vocabulary_file()
    return {
        "made_by": "python tests/golden/make_tokens.py",
        "vocabulary": {"file": vocabulary.name, "sha256": hashlib.sha256(vocabulary.read_bytes()).hexdigest()},
        "versions": {name: metadata.version(name) for name in ("ftfy", "open-clip-torch", "regex")}
        | {"unicode": unicodedata.unidata_version},
        "texts": texts,
    }


def compare_with_open_clip() -> int:
    """Number of texts on which the rules and open_clip's tokenizer differ. (It names its special tokens otherwise.)"""
    # The one module, since the package itself imports torchvision and timm.
    path = vocabulary_file().with_name("tokenizer.py")
    theirs = runpy.run_path(str(path))["SimpleTokenizer"](bpe_path=str(vocabulary_file()))
    ours, total, differing = OpenAiRules(), 0, 0
    for group in texts_by_kind().values():
        for text in group:
            if "<start_of_text>" in text or "<end_of_text>" in text:
                continue
            total += 1
            encoded = [theirs.sot_token_id, *theirs.encode(text), theirs.eot_token_id]
            expected = encoded if len(encoded) <= 77 else [*encoded[:76], theirs.eot_token_id]
            if expected != ours.encode(text)[0]:
                differing += 1
                print(f"differs: {text!r}: {ours.encode(text)[0]} here, {expected} in open_clip")
    print(f"{total} texts compared with open_clip, {differing} differ")
    return differing


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--check-open-clip", action="store_true")
    arguments = parser.parse_args()
    if arguments.check_open_clip:
        return min(1, compare_with_open_clip())
    made = document()
    lines = ",\n".join(json.dumps(entry) for entry in made.pop("texts"))
    content = json.dumps(made, indent=1).removesuffix("\n}") + ',\n "texts": [\n' + lines + "\n]}\n"
    if arguments.check:
        stored = json.loads(TARGET.read_text(encoding="utf-8"))["texts"]
        return int(stored != json.loads(content)["texts"])
    TARGET.write_text(content, encoding="utf-8")
    print(f"{len(lines.splitlines())} texts written to {TARGET.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
