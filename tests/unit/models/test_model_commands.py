"""`vitrine model ...` at the command line, without torch."""

import json
import sys
import types
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from vitrine.embedding.contract import ModelContract, sha256_of
from vitrine.errors import ModelInvalid
from vitrine.models import commands
from vitrine.models.triton_config import Serving, image_config, text_config


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()
    commands.register(app)
    return app


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository whose hashes agree; its graphs are not graphs."""
    for name in ("clip_text", "clip_image"):
        (tmp_path / name / "1").mkdir(parents=True)
        (tmp_path / name / "1" / "model.onnx").write_bytes(name.encode())
    (tmp_path / "tokenizer.json").write_text("{}")
    contract = ModelContract(
        model="a-model",
        text_weights_sha256=sha256_of(tmp_path / "clip_text/1/model.onnx"),
        image_weights_sha256=sha256_of(tmp_path / "clip_image/1/model.onnx"),
        tokenizer_sha256=sha256_of(tmp_path / "tokenizer.json"),
        context_length=77,
        text_buckets=(77,),
        dimension=4,
    )
    contract.write(tmp_path)
    (tmp_path / "clip_text/config.pbtxt").write_text(text_config(contract, Serving()))
    (tmp_path / "clip_image/config.pbtxt").write_text(image_config(contract, Serving()))
    return tmp_path


def test_verify_names_the_model_and_its_fingerprint(app: typer.Typer, repository: Path) -> None:
    result = CliRunner().invoke(app, ["model", "verify", str(repository)])
    assert result.exit_code == 0
    assert "a-model" in result.output
    assert ModelContract.load(repository).fingerprint in result.output.replace("\n", "")


@pytest.mark.parametrize("file", ["clip_text/1/model.onnx", "clip_image/1/model.onnx", "tokenizer.json"])
def test_verify_finds_a_changed_file(app: typer.Typer, repository: Path, file: str) -> None:
    (repository / file).write_bytes(b"another")
    result = CliRunner().invoke(app, ["model", "verify", str(repository)])
    assert isinstance(result.exception, ModelInvalid)
    assert Path(file).name in result.exception.message


@pytest.mark.parametrize("model", ["clip_text", "clip_image"])
def test_verify_finds_a_config_of_another_model(app: typer.Typer, repository: Path, model: str) -> None:
    config = repository / model / "config.pbtxt"
    config.write_text(config.read_text().replace(ModelContract.load(repository).fingerprint, "0" * 64))
    result = CliRunner().invoke(app, ["model", "verify", str(repository)])
    assert isinstance(result.exception, ModelInvalid)
    assert f"{model}/config.pbtxt" in result.exception.message


def test_without_the_export_extra_one_sentence_says_what_to_install(
    app: typer.Typer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "clip"}))
    monkeypatch.setitem(sys.modules, "transformers", None)
    monkeypatch.setitem(sys.modules, "safetensors", types.ModuleType("safetensors"))
    monkeypatch.setattr(sys.modules["safetensors"], "SafetensorError", OSError, raising=False)
    result = CliRunner().invoke(app, ["model", "export", str(tmp_path), "--output", str(tmp_path / "out")])
    assert result.exit_code == 1
    assert (
        result.stderr.strip() == "This needs the export extra (transformers is missing): pip install 'vitrine[export]'."
    )
    assert not (tmp_path / "out").exists()


def test_training_without_the_export_extra_is_refused_alike(
    app: typer.Typer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "vitrine.models.demo_clip", raising=False)
    arguments = ["model", "train-demo", "--output", str(tmp_path / "out"), "--workspace", str(tmp_path / "work")]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1
    assert "export extra" in result.stderr


def test_an_accelerator_without_the_gpu_profile_is_refused(app: typer.Typer, tmp_path: Path) -> None:
    arguments = ["model", "export", "x", "--output", str(tmp_path / "out"), "--accelerator", "tensorrt"]
    result = CliRunner().invoke(app, arguments)
    assert isinstance(result.exception, ModelInvalid)
