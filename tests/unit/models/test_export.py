"""Exports of a small random checkpoint, compared with transformers. Needs the export extra."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vitrine.embedding.contract import FINGERPRINT_PARAMETER, ModelContract
from vitrine.embedding.tokenizer import Tokenizer
from vitrine.errors import ModelInvalid
from vitrine.models import export as exporting
from vitrine.models.agreement import TOLERANCES, image_agreement, open_graph, pad, random_texts, text_agreement
from vitrine.models.checkpoint import Checkpoint, load_checkpoint
from vitrine.models.export import ExportReport, export, text_buckets
from vitrine.models.graph import Graph
from vitrine.models.precision import BlockInt8Linear, DynamicInt8Linear, FloatLinear
from vitrine.models.random_clip import write_random_clip
from vitrine.models.towers import image_graph, text_graph
from vitrine.models.triton_config import Serving

pytestmark = pytest.mark.export

BUCKETS = (4, 6, 8, 16, 32, 77)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_random_clip(tmp_path_factory.mktemp("checkpoint") / "a-clip", size="tiny", seed=3)


@pytest.fixture(scope="module")
def checkpoint(source: Path) -> Checkpoint:
    return load_checkpoint(source)


@pytest.fixture(scope="module")
def exported(source: Path, tmp_path_factory: pytest.TempPathFactory) -> ExportReport:
    return export(source, tmp_path_factory.mktemp("exported") / "repository")


@pytest.fixture
def variant(source: Path, tmp_path: Path) -> Any:
    """Makes a copy of the checkpoint with changes to one of its JSON files."""

    def make(file: str, change: Any) -> Path:
        folder = tmp_path / "variant"
        shutil.copytree(source, folder)
        content = json.loads((folder / file).read_text())
        change(content)
        (folder / file).write_text(json.dumps(content))
        return folder

    return make


def test_an_export_is_a_complete_repository(exported: ExportReport) -> None:
    files = {str(path.relative_to(exported.output)) for path in exported.output.rglob("*") if path.is_file()}
    assert files == {
        "contract.json",
        "tokenizer.json",
        "clip_text/config.pbtxt",
        "clip_text/1/model.onnx",
        "clip_image/config.pbtxt",
        "clip_image/1/model.onnx",
    }
    contract = ModelContract.load(exported.output)
    contract.verify_weights(exported.output)
    assert contract == exported.contract
    assert (contract.model, contract.precision, contract.dimension) == ("a-clip", "fp32", 64)
    assert contract.text_buckets == BUCKETS
    for model in ("clip_text", "clip_image"):
        config = (exported.output / model / "config.pbtxt").read_text()
        assert FINGERPRINT_PARAMETER in config
        assert contract.fingerprint in config


def test_an_export_agrees_with_transformers(exported: ExportReport) -> None:
    for part, compared in ((exported.text, 6 * 16), (exported.image, 16)):
        assert part.agreement.compared == compared
        assert part.agreement.max_difference <= 1e-5
        assert part.agreement.min_cosine >= 0.999999


def test_the_graphs_take_ids_and_bytes_of_any_batch(exported: ExportReport) -> None:
    text = open_graph(exported.output / "clip_text/1/model.onnx")
    image = open_graph(exported.output / "clip_image/1/model.onnx")
    assert [(one.name, one.type, one.shape) for one in text.get_inputs()] == [
        ("input_ids", "tensor(int32)", ["batch", "length"])
    ]
    assert [(one.name, one.type, one.shape) for one in image.get_inputs()] == [
        ("pixels", "tensor(uint8)", ["batch", 224, 224, 3])
    ]
    for session in (text, image):
        assert [(one.name, one.type, one.shape) for one in session.get_outputs()] == [
            ("embedding", "tensor(float)", ["batch", 64])
        ]
    assert image.run(None, {"pixels": np.zeros((3, 224, 224, 3), np.uint8)})[0].shape == (3, 64)


def test_float_graphs_hold_standard_operators_only(checkpoint: Checkpoint) -> None:
    import onnx

    for model in (text_graph(checkpoint, FloatLinear()), image_graph(checkpoint, FloatLinear())):
        onnx.checker.check_model(model, full_check=True)
        assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", 17)]
        assert model.ir_version == 8


def test_what_stands_behind_the_end_of_text_changes_nothing(exported: ExportReport, checkpoint: Checkpoint) -> None:
    session = open_graph(exported.output / "clip_text/1/model.onnx")
    text = random_texts(checkpoint, 4, 4, seed=1)[:1]
    alone = session.run(None, {"input_ids": np.array(text, np.int32)})[0]
    for length in BUCKETS:
        for filler in (0, checkpoint.end_id, 1234):
            padded = session.run(None, {"input_ids": pad(text, length, filler)})[0]
            np.testing.assert_allclose(padded, alone, atol=1e-6)


def test_texts_of_two_tokens_and_ids_of_zeros_have_vectors(exported: ExportReport, checkpoint: Checkpoint) -> None:
    session = open_graph(exported.output / "clip_text/1/model.onnx")
    # Zeros are what Triton warms a model up with.
    for ids in ([[checkpoint.begin_id, checkpoint.end_id]], [[0] * 4] * 3):
        assert np.isfinite(session.run(None, {"input_ids": np.array(ids, np.int32)})[0]).all()


def test_different_inputs_give_different_vectors(exported: ExportReport, checkpoint: Checkpoint) -> None:
    session = open_graph(exported.output / "clip_text/1/model.onnx")
    ids = pad(random_texts(checkpoint, 5, 7, seed=2), 8, 0)
    vectors = session.run(None, {"input_ids": ids})[0]
    similar = vectors @ vectors.T - np.eye(len(ids))
    assert similar.max() < 0.99


def test_the_tokenizer_is_the_one_of_the_checkpoint(exported: ExportReport) -> None:
    contract = ModelContract.load(exported.output)
    tokenizer = Tokenizer.load(exported.output, contract)
    (tokens,) = tokenizer.encode(["Red floral DRESS"])
    vocabulary = json.loads((exported.output / "tokenizer.json").read_text())["model"]["vocab"]
    words = [vocabulary[word + "</w>"] for word in ("red", "floral", "dress")]
    assert tokens.ids.tolist() == [49406, *words, 49407]


def test_the_same_checkpoint_gives_the_same_fingerprint(source: Path, tmp_path: Path, exported: ExportReport) -> None:
    again = export(source, tmp_path / "again")
    assert again.contract.fingerprint == exported.contract.fingerprint


@pytest.mark.parametrize("activation", ["gelu", "quick_gelu"])
@pytest.mark.parametrize("end_id", [49407, 2])
def test_checkpoints_of_both_activations_and_of_the_older_end_id_agree(
    variant: Any, tmp_path: Path, activation: str, end_id: int
) -> None:
    def change(config: dict[str, Any]) -> None:
        config["text_config"] |= {"hidden_act": activation, "eos_token_id": end_id}
        config["vision_config"] |= {"hidden_act": activation}

    report = export(variant("config.json", change), tmp_path / "out")
    assert report.text.agreement.max_difference <= 1e-5
    assert report.image.agreement.max_difference <= 1e-5


def test_a_short_context_has_fewer_buckets() -> None:
    assert text_buckets(77) == BUCKETS
    assert text_buckets(32) == (4, 6, 8, 16, 32)
    assert text_buckets(20) == (4, 6, 8, 16, 20)
    assert text_buckets(3) == (3,)


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_reduced_precision_is_smaller_and_close(
    source: Path, tmp_path: Path, exported: ExportReport, precision: Any
) -> None:
    report = export(source, tmp_path / "out", precision=precision)
    assert report.contract.precision == precision
    assert report.contract.fingerprint != exported.contract.fingerprint
    for part, whole in ((report.text, exported.text), (report.image, exported.image)):
        assert part.bytes < whole.bytes
        assert TOLERANCES[precision].accepts(part.agreement)


def test_two_exports_in_int8_have_equal_bytes(source: Path, tmp_path: Path) -> None:
    first, second = (export(source, tmp_path / name, precision="int8") for name in ("first", "second"))
    assert first.contract.fingerprint == second.contract.fingerprint
    for model in ("clip_text", "clip_image"):
        graphs = [(report.output / model / "1" / "model.onnx").read_bytes() for report in (first, second)]
        assert graphs[0] == graphs[1]


def test_int8_of_weights_that_are_not_finite_is_refused(source: Path, tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    folder = tmp_path / "variant"
    shutil.copytree(source, folder)
    weights = load_file(folder / "model.safetensors")
    weights["text_model.encoder.layers.0.mlp.fc1.weight"][0, 0] = np.nan
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelInvalid, match="not finite"):
        export(folder, tmp_path / "out", precision="int8")
    assert not (tmp_path / "out").exists()


def test_eight_bit_blocks_are_truer_than_one_scale_a_call(checkpoint: Checkpoint, tmp_path: Path) -> None:
    found = {}
    for linear in (DynamicInt8Linear(), BlockInt8Linear()):
        path = tmp_path / "model.onnx"
        path.write_bytes(text_graph(checkpoint, linear).SerializeToString())
        found[type(linear)] = text_agreement(checkpoint, path, BUCKETS)
    assert found[BlockInt8Linear].mean_cosine >= found[DynamicInt8Linear].mean_cosine >= 0.999


def test_blocks_that_do_not_fill_a_row_are_padded(checkpoint: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(image_graph(checkpoint, BlockInt8Linear(block=128)).SerializeToString())
    assert TOLERANCES["int8"].accepts(image_agreement(checkpoint, path))


class Forgetful(FloatLinear):
    """A variant with a defect: it leaves the biases out."""

    def apply(self, graph: Graph, x: str, weight: Any, bias: Any) -> str:
        return FloatLinear().apply(graph, x, weight, None)


def test_int8_falls_back_to_the_truer_variant(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(exporting.CANDIDATES, "int8", (Forgetful(), BlockInt8Linear()))
    report = export(source, tmp_path / "out", precision="int8")
    assert (report.text.variant, report.image.variant) == (BlockInt8Linear().label,) * 2


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_a_graph_that_disagrees_is_refused_with_figures_and_leaves_nothing(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: Any
) -> None:
    monkeypatch.setitem(exporting.CANDIDATES, precision, (Forgetful(),))
    with pytest.raises(ModelInvalid, match=r"clip_text in .* does not agree .* max difference \d.*required") as refusal:
        export(source, tmp_path / "out", precision=precision)
    assert "cosine mean" in refusal.value.message
    assert list(tmp_path.iterdir()) == []


def test_a_repository_there_is_kept_unless_forced(source: Path, tmp_path: Path, exported: ExportReport) -> None:
    output = tmp_path / "repository"
    shutil.copytree(exported.output, output)
    (output / "contract.json").write_text("mine")
    with pytest.raises(ModelInvalid, match="--force"):
        export(source, output)
    assert (output / "contract.json").read_text() == "mine"
    export(source, output, force=True)
    assert ModelContract.load(output).fingerprint == exported.contract.fingerprint
    assert [path.name for path in tmp_path.iterdir()] == ["repository"]


def test_a_failed_replacement_keeps_what_was_there(
    source: Path, tmp_path: Path, exported: ExportReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "repository"
    shutil.copytree(exported.output, output)
    monkeypatch.setitem(exporting.CANDIDATES, "fp32", (Forgetful(),))
    with pytest.raises(ModelInvalid, match="does not agree"):
        export(source, output, force=True)
    ModelContract.load(output).verify_weights(output)
    assert [path.name for path in tmp_path.iterdir()] == ["repository"]


def test_other_files_of_the_folder_are_kept_and_other_folders_refused(source: Path, tmp_path: Path) -> None:
    output = tmp_path / "repository"
    output.mkdir()
    (output / "README.md").write_text("about this model")
    export(source, output)
    assert (output / "README.md").read_text() == "about this model"
    assert (output / "contract.json").is_file()
    (output / "photos").mkdir()
    with pytest.raises(ModelInvalid, match="photos"):
        export(source, output, force=True)


def test_int8_is_not_offered_for_gpus(source: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelInvalid, match="int8 is for CPUs"):
        export(source, tmp_path / "out", precision="int8", serving=Serving(profile="gpu"))


def test_missing_weights_are_refused_not_made_up(source: Path, tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    folder = tmp_path / "variant"
    shutil.copytree(source, folder)
    weights = load_file(folder / "model.safetensors")
    del weights["text_projection.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelInvalid, match=r"text_projection\.weight"):
        load_checkpoint(folder)


def test_weights_that_are_no_weights_are_refused(source: Path, tmp_path: Path) -> None:
    folder = tmp_path / "variant"
    shutil.copytree(source, folder)
    (folder / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(ModelInvalid, match="transformers cannot load"):
        load_checkpoint(folder)


@pytest.mark.parametrize(
    ("file", "key", "value", "reason"),
    [
        ("config.json", "text_config.eos_token_id", 7, "pools at id 7"),
        ("config.json", "vision_config.hidden_act", "relu", "'relu'"),
        ("preprocessor_config.json", "resample", 2, "resample is 2"),
        ("preprocessor_config.json", "crop_size", 256, "not one square"),
    ],
)
def test_what_cannot_be_served_is_refused_by_name(variant: Any, file: str, key: str, value: Any, reason: str) -> None:
    def change(content: dict[str, Any]) -> None:
        *path, last = key.split(".")
        for part in path:
            content = content[part]
        content[last] = value

    with pytest.raises(ModelInvalid, match=reason):
        load_checkpoint(variant(file, change))


def test_a_crop_of_another_size_than_the_tower_is_refused(variant: Any) -> None:
    folder = variant("preprocessor_config.json", lambda content: content.update(size=336, crop_size=336))
    with pytest.raises(ModelInvalid, match="the crop is 336 px, the image tower takes 224 px"):
        load_checkpoint(folder)


def test_random_checkpoints_are_equal_for_equal_seeds(source: Path, tmp_path: Path) -> None:
    same = write_random_clip(tmp_path / "same", size="tiny", seed=3)
    other = write_random_clip(tmp_path / "other", size="tiny", seed=4)
    assert (same / "model.safetensors").read_bytes() == (source / "model.safetensors").read_bytes()
    assert (other / "model.safetensors").read_bytes() != (source / "model.safetensors").read_bytes()
    vocabulary = json.loads((source / "vocab.json").read_text())
    assert sorted(vocabulary.values()) == list(range(49_408))
    assert (vocabulary["<|startoftext|>"], vocabulary["<|endoftext|>"]) == (49_406, 49_407)
