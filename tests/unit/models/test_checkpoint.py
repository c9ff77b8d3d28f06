"""What is read from a checkpoint's folder without torch: preprocessing, vocabulary, and what a source may be."""

import json
from pathlib import Path
from typing import Any

import pytest

from vitrine.embedding.tokenizer import BOS, EOT
from vitrine.errors import ModelInvalid
from vitrine.models.checkpoint import load_checkpoint, read_image_policy, read_vocabulary

OPENAI = {
    "do_resize": True,
    "size": 224,
    "resample": 3,
    "do_center_crop": True,
    "crop_size": 224,
    "do_normalize": True,
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
}


def policy_of(folder: Path, **changes: Any) -> Any:
    (folder / "preprocessor_config.json").write_text(json.dumps(OPENAI | changes))
    return read_image_policy(folder)


def test_sizes_are_read_in_the_old_and_the_new_spelling(tmp_path: Path) -> None:
    old = policy_of(tmp_path)
    assert old.size == 224
    assert old.mean == (0.48145466, 0.4578275, 0.40821073)
    assert policy_of(tmp_path, size={"shortest_edge": 224}, crop_size={"height": 224, "width": 224}) == old
    assert policy_of(tmp_path, size={"shortest_edge": 336}, crop_size=336).size == 336


def test_mean_and_deviation_come_from_the_checkpoint(tmp_path: Path) -> None:
    policy = policy_of(tmp_path, image_mean=[0.5, 0.4, 0.3], image_std=[0.1, 0.2, 0.3])
    assert policy.mean == (0.5, 0.4, 0.3)
    assert policy.std == (0.1, 0.2, 0.3)


def test_the_newer_processor_file_is_read_too(tmp_path: Path) -> None:
    (tmp_path / "processor_config.json").write_text(json.dumps({"image_processor": OPENAI}))
    assert read_image_policy(tmp_path).size == 224


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"resample": 2}, "resample is 2"),
        ({"do_resize": False}, "do_resize is False"),
        ({"do_center_crop": False}, "do_center_crop is False"),
        ({"do_normalize": False}, "do_normalize is False"),
        ({"rescale_factor": 1.0}, "rescale_factor is 1.0"),
        ({"size": {"height": 224, "width": 224}}, "not one square"),
        ({"size": 256}, "not one square"),
        ({"image_std": [1.0]}, "unusable"),
    ],
)
def test_another_preprocessing_is_refused_with_its_reason(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ModelInvalid, match=reason):
        policy_of(tmp_path, **changes)


def test_a_checkpoint_without_preprocessing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelInvalid, match="cannot be read"):
        read_image_policy(tmp_path)
    (tmp_path / "processor_config.json").write_text("{}")
    with pytest.raises(ModelInvalid, match="picture size is not known"):
        read_image_policy(tmp_path)


VOCABULARY = {"a": 0, "b</w>": 1, "ab</w>": 2, BOS: 3, EOT: 4}


def test_vocabulary_comes_from_two_files_or_from_one(tmp_path: Path) -> None:
    two, one = tmp_path / "two", tmp_path / "one"
    two.mkdir()
    one.mkdir()
    (two / "vocab.json").write_text(json.dumps(VOCABULARY))
    (two / "merges.txt").write_text("#version: 0.2\na b</w>\n\n")
    (one / "tokenizer.json").write_text(json.dumps({"model": {"vocab": VOCABULARY, "merges": ["a b</w>"]}}))
    assert read_vocabulary(two, 5) == read_vocabulary(one, 5) == (VOCABULARY, [("a", "b</w>")])


@pytest.mark.parametrize(
    ("vocabulary", "merges", "reason"),
    [
        ({"a": 0}, "", "missing: "),
        ({}, "", "missing: "),
        (VOCABULARY | {"c": 5}, "", "largest id: 5"),
        (VOCABULARY, "a b c", "not a pair"),
    ],
)
def test_an_unusable_vocabulary_is_refused(
    tmp_path: Path, vocabulary: dict[str, int], merges: str, reason: str
) -> None:
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary))
    (tmp_path / "merges.txt").write_text(merges)
    with pytest.raises(ModelInvalid, match=reason):
        read_vocabulary(tmp_path, 5)


@pytest.mark.parametrize("source", ["./nowhere", "/no/such/folder", "a/b/c", "~/checkpoint"])
def test_a_path_that_is_no_folder_is_not_looked_for_on_a_hub(source: str) -> None:
    with pytest.raises(ModelInvalid, match="neither a checkpoint folder nor a hub id"):
        load_checkpoint(source)


def test_another_kind_of_model_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "siglip"}))
    with pytest.raises(ModelInvalid, match="'siglip'"):
        load_checkpoint(tmp_path)


def test_a_file_that_is_no_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ModelInvalid, match=r"config\.json cannot be read"):
        load_checkpoint(tmp_path)


class Hub:
    """Stands in for huggingface_hub.snapshot_download."""

    def __init__(self, folder: Path, files: list[str]) -> None:
        self.folder, self.files, self.asked = folder, files, []

    def __call__(self, source: str, *, revision: str | None, allow_patterns: list[str]) -> str:
        self.asked.append((source, revision, allow_patterns))
        for file in self.files:
            (self.folder / file).write_text(json.dumps({"model_type": "other"}))
        return str(self.folder)


@pytest.mark.parametrize(("weights", "calls"), [("model.safetensors", 1), ("pytorch_model.bin", 2)])
def test_a_hub_id_is_fetched_with_one_format_of_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weights: str, calls: int
) -> None:
    hub = Hub(tmp_path, ["config.json", weights])
    monkeypatch.setattr("huggingface_hub.snapshot_download", hub)
    with pytest.raises(ModelInvalid, match="'other'"):
        load_checkpoint("someone/a-clip", revision="v2")
    assert len(hub.asked) == calls
    assert all((source, revision) == ("someone/a-clip", "v2") for source, revision, _ in hub.asked)


def test_a_hub_that_does_not_answer_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> str:
        raise ConnectionError("no route")

    monkeypatch.setattr("huggingface_hub.snapshot_download", unreachable)
    with pytest.raises(ModelInvalid, match="could not be fetched from the hub: no route"):
        load_checkpoint("someone/a-clip")
