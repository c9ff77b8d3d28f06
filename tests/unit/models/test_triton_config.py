"""Generated config.pbtxt files are read back with Triton's own schema, so that a misspelt field is an error here."""

from typing import Any

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from vitrine.embedding.contract import FINGERPRINT_PARAMETER, ModelContract
from vitrine.errors import ModelInvalid
from vitrine.models.triton_config import NICENESS_PARAMETER, Serving, image_config, text_config

CONTRACT = ModelContract(
    model="a-model",
    text_weights_sha256="1" * 64,
    image_weights_sha256="2" * 64,
    tokenizer_sha256="3" * 64,
    context_length=77,
    text_buckets=(8, 16, 32, 77),
    dimension=512,
)
THREADS = "intra_op_thread_count"
SERVINGS = [
    Serving(),
    Serving(profile="gpu"),
    Serving(profile="gpu", accelerator="cuda"),
    Serving(profile="gpu", accelerator="tensorrt"),
]


def parse(text: str) -> Any:
    return text_format.Parse(text, model_config_pb2.ModelConfig())


@pytest.mark.parametrize("serving", SERVINGS, ids=lambda serving: f"{serving.profile}-{serving.accelerator}")
def test_both_files_are_what_a_stock_triton_understands(serving: Serving) -> None:
    text, image = parse(text_config(CONTRACT, serving)), parse(image_config(CONTRACT, serving))
    assert (text.name, image.name) == ("clip_text", "clip_image")
    for config in (text, image):
        assert config.backend == "onnxruntime"
        assert config.max_batch_size == 32
        assert [(group.kind, group.count) for group in config.instance_group] == [
            (model_config_pb2.ModelInstanceGroup.KIND_AUTO, 2)
        ]
        assert [(out.name, out.data_type, list(out.dims)) for out in config.output] == [
            ("embedding", model_config_pb2.TYPE_FP32, [512])
        ]
        assert config.parameters[FINGERPRINT_PARAMETER].string_value == CONTRACT.fingerprint
    assert [(one.name, one.data_type, list(one.dims)) for one in text.input] == [
        ("input_ids", model_config_pb2.TYPE_INT32, [-1])
    ]
    assert [(one.name, one.data_type, list(one.dims)) for one in image.input] == [
        ("pixels", model_config_pb2.TYPE_UINT8, [224, 224, 3])
    ]


@pytest.mark.parametrize("build", [text_config, image_config])
def test_the_queue_is_bounded_and_obeys_the_timeout_of_a_request(build: Any) -> None:
    batching = parse(build(CONTRACT, Serving())).dynamic_batching
    policy = batching.default_queue_policy
    assert policy.timeout_action == model_config_pb2.ModelQueuePolicy.REJECT
    assert policy.allow_timeout_override
    # A request can only shorten the default: the indexer waits a minute for a batch of pictures.
    assert policy.default_timeout_microseconds == {text_config: 5_000_000, image_config: 60_000_000}[build]
    assert policy.max_queue_size > 0
    assert not batching.preferred_batch_size


def test_only_texts_wait_for_company() -> None:
    serving = Serving(text_queue_delay_us=700)
    assert parse(text_config(CONTRACT, serving)).dynamic_batching.max_queue_delay_microseconds == 700
    assert parse(image_config(CONTRACT, serving)).dynamic_batching.max_queue_delay_microseconds == 0


def test_every_bucket_is_warmed_up_alone_and_in_a_batch() -> None:
    warm = parse(text_config(CONTRACT, Serving())).model_warmup
    shapes = {(one.batch_size, *one.inputs["input_ids"].dims) for one in warm}
    assert shapes == {(rows, bucket) for rows in (1, 8) for bucket in CONTRACT.text_buckets}
    image = parse(image_config(CONTRACT, Serving())).model_warmup
    assert [(one.batch_size, list(one.inputs["pixels"].dims)) for one in image] == [
        (1, [224, 224, 3]),
        (8, [224, 224, 3]),
    ]


def test_tensorrt_is_warmed_up_at_the_ends_of_its_range() -> None:
    serving = Serving(profile="gpu", accelerator="tensorrt", max_batch_size=16)
    assert {one.batch_size for one in parse(text_config(CONTRACT, serving)).model_warmup} == {1, 16}


def test_threads_are_set_for_the_cpu_and_left_alone_for_the_gpu() -> None:
    cpu = parse(text_config(CONTRACT, Serving(threads=3))).parameters
    assert cpu["intra_op_thread_count"].string_value == "3"
    assert set(parse(text_config(CONTRACT, Serving(profile="gpu"))).parameters) == {FINGERPRINT_PARAMETER}


def test_threads_of_the_text_model_spin_for_a_moment_where_there_are_several() -> None:
    def spinning(text: str) -> dict[str, str]:
        return {name: one.string_value for name, one in parse(text).parameters.items() if name.startswith("session.")}

    assert spinning(text_config(CONTRACT, Serving(text_spin_us=50))) == {
        "session.intra_op.allow_spinning": "1",
        "session.intra_op.spin_duration_us": "50",
        "session.force_spinning_stop": "1",  # else they go on between requests
    }
    assert spinning(text_config(CONTRACT, Serving(text_spin_us=0))) == {}
    assert spinning(text_config(CONTRACT, Serving(threads=1))) == {}
    assert spinning(image_config(CONTRACT, Serving())) == {}
    assert spinning(text_config(CONTRACT, Serving(profile="gpu"))) == {}


def test_accelerators_stand_in_the_gpu_profile_only() -> None:
    assert not parse(text_config(CONTRACT, Serving())).optimization.HasField("execution_accelerators")
    cuda = parse(text_config(CONTRACT, Serving(profile="gpu", accelerator="cuda"))).optimization
    assert [one.name for one in cuda.execution_accelerators.gpu_execution_accelerator] == ["cuda"]
    with pytest.raises(ModelInvalid, match="gpu profile"):
        Serving(accelerator="cuda")


def test_tensorrt_keeps_the_precision_and_an_engine_cache_of_its_own() -> None:
    def options(contract: ModelContract) -> dict[str, str]:
        text = text_config(contract, Serving(profile="gpu", accelerator="tensorrt", engine_cache="/engines"))
        (accelerator,) = parse(text).optimization.execution_accelerators.gpu_execution_accelerator
        return dict(accelerator.parameters)

    fp32 = options(CONTRACT)
    assert fp32["precision_mode"] == "FP32"
    assert fp32["trt_engine_cache_enable"] == "true"
    assert fp32["trt_engine_cache_path"] == "/engines"
    fp16 = options(CONTRACT.model_copy(update={"precision": "fp16"}))
    assert fp16["precision_mode"] == "FP16"
    assert fp16["trt_engine_cache_prefix"] != fp32["trt_engine_cache_prefix"]


@pytest.mark.parametrize("field", ["instances", "threads", "max_batch_size"])
def test_nothing_is_served_by_zero(field: str) -> None:
    with pytest.raises(ModelInvalid, match="at least 1"):
        Serving(**{field: 0})


def test_the_image_model_alone_stands_back_and_only_on_a_cpu() -> None:
    text, image, gpu = (
        parse(text_config(CONTRACT, Serving())).parameters,
        parse(image_config(CONTRACT, Serving(image_niceness=7))).parameters,
        parse(image_config(CONTRACT, Serving(profile="gpu"))).parameters,
    )
    assert image[NICENESS_PARAMETER].string_value == "7"
    assert NICENESS_PARAMETER not in text
    assert NICENESS_PARAMETER not in gpu


def test_the_image_model_may_have_threads_of_its_own() -> None:
    serving = Serving(threads=4, image_threads=1)
    threads = [
        parse(build(CONTRACT, serving)).parameters[THREADS].string_value for build in (text_config, image_config)
    ]
    assert threads == ["4", "1"]
    assert parse(image_config(CONTRACT, Serving(threads=3))).parameters[THREADS].string_value == "3"
