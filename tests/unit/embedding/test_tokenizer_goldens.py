"""Ids equal OpenAI's, for the real vocabulary: stored goldens, random texts, and every character that Python knows."""

import hashlib
import json
import sys
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import tokenizers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vitrine.embedding.tokenizer import EOT, WORD

GOLDENS = json.loads((Path(__file__).parents[2] / "data" / "golden_tokens.json").read_text(encoding="utf-8"))
TEXTS = GOLDENS["texts"]

shared_fixtures = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)

# Characters between which something happens: contractions, entities, mojibake, joiners, marks, scripts, blanks.
TRICKY = st.sampled_from(
    list("'sStTdDmMlLvVrReE &;#<>|123-.!\n\t\u017f\u0345\u00c3\u00a9\u00e2\u20ac\u2122\u0301\u200d\U0001f457")
    + list("\u2019\ufb01\uff21\u3000\u8d64\u0130\u03a3")
)
ASSIGNED = st.characters(exclude_categories=["Cs", "Cn", "Co"])


@pytest.mark.parametrize("golden", TEXTS, ids=[f"{entry['kind']}-{number}" for number, entry in enumerate(TEXTS)])
def test_ids_equal_the_golden(golden, clip_tokenizer):
    (tokens,) = clip_tokenizer.encode([golden["text"]])
    assert tokens.ids.tolist() == golden["ids"]
    assert tokens.truncated == golden["truncated"]


def test_the_goldens_are_many_and_of_every_kind():
    kinds = {entry["kind"] for entry in TEXTS}
    assert len(TEXTS) >= 300
    assert kinds >= {"case", "accents", "emoji", "cjk_and_other_scripts", "right_to_left", "html_entities", "mojibake"}
    assert kinds >= {"special_tokens", "blanks", "controls", "digits", "ligatures_and_width", "long"}


def test_the_installed_vocabulary_is_the_one_behind_the_goldens(openai_rules):
    assert hashlib.sha256(openai_rules.vocabulary_file().read_bytes()).hexdigest() == GOLDENS["vocabulary"]["sha256"]


def test_goldens_can_be_made_again(reference):
    for entry in TEXTS:
        assert reference.encode(entry["text"]) == (entry["ids"], entry["truncated"]), entry["text"]


@pytest.mark.parametrize(
    "entry", [entry for entry in TEXTS if "ids_by_openai" in entry], ids=lambda entry: entry["text"][:24]
)
def test_a_typed_special_token_ends_nothing(entry, clip_tokenizer, reference):
    """OpenAI's code would put the real EOT in the middle of these; the model would read no further."""
    (tokens,) = clip_tokenizer.encode([entry["text"]])
    special = {reference.vocab[EOT], reference.vocab["<|startoftext|>"]}
    assert special & set(entry["ids_by_openai"][1:-1])
    assert not special & set(tokens.ids.tolist()[1:-1])


@given(st.text(TRICKY, max_size=40) | st.text(ASSIGNED, max_size=40))
@shared_fixtures
def test_any_text_equals_the_reference(clip_tokenizer, reference, text):
    (tokens,) = clip_tokenizer.encode([text])
    assert (tokens.ids.tolist(), tokens.truncated) == reference.encode(text)


def test_every_assigned_character_is_split_as_the_reference_splits_it(reference):
    split = tokenizers.pre_tokenizers.Split(tokenizers.Regex(WORD), behavior="removed", invert=True)
    characters = [
        chr(point) for point in range(sys.maxunicode + 1) if unicodedata.category(chr(point)) not in ("Cn", "Cs", "Co")
    ]
    for start in range(0, len(characters), 2000):
        text = " ".join(f"a{c}1{c}!{c}'{c}" for c in characters[start : start + 2000]).lower()
        assert [word for word, _ in split.pre_tokenize_str(text)] == reference._pattern.findall(text)


def test_threads_share_one_tokenizer(clip_tokenizer):
    texts = [entry["text"] for entry in TEXTS]
    with ThreadPoolExecutor(8) as pool:
        for tokens in pool.map(clip_tokenizer.encode, [texts] * 16):
            assert [item.ids.tolist() for item in tokens] == [entry["ids"] for entry in TEXTS]
