import json
from pathlib import Path

import pytest

from vitrine.embedding.contract import CONTRACT_FILE, TOKENIZER_FILE, ModelContract, sha256_of
from vitrine.errors import ContractMismatch, ModelInvalid

ZEROS = "0" * 64


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / TOKENIZER_FILE).write_text("{}")
    for model in ("clip_text", "clip_image"):
        (tmp_path / model / "1").mkdir(parents=True)
        (tmp_path / model / "1" / "model.onnx").write_bytes(model.encode())
    contract_of(tmp_path).write(tmp_path)
    return tmp_path


def contract_of(repository: Path, **changes: object) -> ModelContract:
    fields: dict[str, object] = {
        "model": "test/clip",
        "text_weights_sha256": sha256_of(repository / "clip_text" / "1" / "model.onnx"),
        "image_weights_sha256": sha256_of(repository / "clip_image" / "1" / "model.onnx"),
        "tokenizer_sha256": sha256_of(repository / TOKENIZER_FILE),
        "context_length": 77,
        "text_buckets": (8, 16, 32, 77),
        "dimension": 512,
    }
    return ModelContract.model_validate({**fields, **changes})


def test_a_contract_reads_back_as_it_was_written(repository: Path) -> None:
    loaded = ModelContract.load(repository)
    assert loaded == contract_of(repository)
    assert loaded.fingerprint == json.loads((repository / CONTRACT_FILE).read_text())["fingerprint"]


def test_a_changed_copy_has_a_fingerprint_of_its_own(repository: Path) -> None:
    contract = contract_of(repository)
    assert len(contract.fingerprint) == 64
    changed = contract.model_copy(update={"text_buckets": (77,)})
    assert changed.fingerprint == contract_of(repository, text_buckets=(77,)).fingerprint != contract.fingerprint
    assert contract.model_copy() == contract


@pytest.mark.parametrize(
    "change",
    [
        {"model": "other"},
        {"precision": "int8"},
        {"text_weights_sha256": ZEROS},
        {"image_weights_sha256": ZEROS},
        {"tokenizer_sha256": ZEROS},
        {"context_length": 64},
        {"text_buckets": (77,)},
        {"dimension": 768},
        {"image": {"size": 336}},
        {"image": {"mean": (0.5, 0.5, 0.5)}},
    ],
    ids=lambda change: ",".join(change),
)
def test_every_field_changes_the_fingerprint(repository: Path, change: dict[str, object]) -> None:
    assert contract_of(repository, **change).fingerprint != contract_of(repository).fingerprint


def test_a_folder_without_a_contract_is_no_repository(tmp_path: Path) -> None:
    with pytest.raises(ModelInvalid, match="no model repository"):
        ModelContract.load(tmp_path)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"fingerprint": 1}', "\x00"])
def test_an_unreadable_contract_is_refused(repository: Path, content: str) -> None:
    (repository / CONTRACT_FILE).write_text(content)
    with pytest.raises(ModelInvalid, match="cannot be read as a contract"):
        ModelContract.load(repository)


def test_an_edited_contract_is_refused(repository: Path) -> None:
    path = repository / CONTRACT_FILE
    path.write_text(path.read_text().replace('"dimension": 512', '"dimension": 256'))
    with pytest.raises(ModelInvalid, match="was edited"):
        ModelContract.load(repository)


def test_another_tokenizer_is_refused(repository: Path) -> None:
    (repository / TOKENIZER_FILE).write_text('{"other": true}')
    with pytest.raises(ModelInvalid, match="is not the tokenizer"):
        ModelContract.load(repository)


def test_changed_weights_are_found_by_the_full_check(repository: Path) -> None:
    contract = ModelContract.load(repository)
    contract.verify_weights(repository)
    (repository / "clip_image" / "1" / "model.onnx").write_bytes(b"other")
    with pytest.raises(ModelInvalid, match="clip_image"):
        contract.verify_weights(repository)


@pytest.mark.parametrize("found", [None, "", ZEROS])
def test_a_mismatch_names_both_fingerprints(repository: Path, found: str | None) -> None:
    contract = ModelContract.load(repository)
    contract.require(contract.fingerprint, "Triton")
    with pytest.raises(ContractMismatch) as caught:
        contract.require(found, "collection products_v1")
    assert contract.fingerprint in caught.value.message
    assert (found or "none") in caught.value.message
    assert caught.value.details == {
        "owner": "collection products_v1",
        "expected": contract.fingerprint,
        "found": found,
    }
