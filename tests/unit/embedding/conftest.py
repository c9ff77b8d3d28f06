"""The real CLIP vocabulary, and OpenAI's rules as an independent reference."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
import tokenizers

from vitrine.embedding.tokenizer import Tokenizer, build_tokenizer_json

GOLDEN = Path(__file__).parents[2] / "golden"


def load_golden_script(name: str) -> ModuleType:
    """A module of tests/golden, which is a folder of scripts and no package."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, GOLDEN / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


@pytest.fixture(scope="session")
def openai_rules() -> ModuleType:
    return load_golden_script("openai_rules")


@pytest.fixture(scope="session")
def reference(openai_rules):
    """`encode(text) -> (ids, truncated)` by OpenAI's rules; typed special tokens are ordinary text."""
    return openai_rules.OpenAiRules()


@pytest.fixture(scope="session")
def clip_engine(reference) -> tokenizers.Tokenizer:
    """tokenizer.json of the real CLIP vocabulary, as the exporter writes it."""
    return tokenizers.Tokenizer.from_str(build_tokenizer_json(reference.vocab, reference.merges))


@pytest.fixture(scope="session")
def clip_tokenizer(clip_engine) -> Tokenizer:
    return Tokenizer(clip_engine, context_length=77, buckets=(8, 16, 32, 77))
