"""Text of the two config.pbtxt files.

One text serves everywhere: `KIND_AUTO` takes the GPUs where there are any and the CPU otherwise, and an accelerator for
GPUs is ignored on a CPU. No file here names Python, so a stock Triton with its native ONNX Runtime backend loads it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from vitrine.embedding.contract import FINGERPRINT_PARAMETER, IMAGE_MODEL, TEXT_MODEL, ModelContract
from vitrine.errors import ModelInvalid

NICENESS_PARAMETER = "vitrine_niceness"
"""Of the embedded stack's own backend (local/onnxruntime_backend)."""

Profile = Literal["cpu", "gpu"]
Accelerator = Literal["cuda", "tensorrt"]


@dataclass(frozen=True, slots=True)
class Serving:
    """How Triton is to run the models.

    Args:
        profile: "cpu" sets thread counts; "gpu" leaves them and may name an accelerator.
        accelerator: gpu only; None means the ONNX Runtime backend's own choice, which is CUDA.
        instances: copies that run at the same time. Two at least: with one instance and a bounded queue, Triton's
            dynamic batcher can miss the wake-up of a request that arrives while it goes to sleep, and that request
            waits until the batcher looks by itself, half a second later (measured with Triton 2.51: up to one in ten,
            none with two instances).
        threads: cpu only: threads inside one instance. Never 0, which would mean the host's cores, not the pod's. As
            many as cores serves a lone query soonest; 1 costs the least CPU under full load.
        text_spin_us: cpu only: how long the text model's threads wait for their next piece of work before they sleep. A
            short text is hundreds of pieces of some 0.05 ms, and waking a thread takes about as long; nothing spins
            between requests. 0: they sleep at once. Read by the embedded stack's backend; one that does not know these
            parameters keeps to ONNX Runtime's default, which is to spin for longer.
        image_threads: cpu only: the same for the image model alone; None: as `threads`. 1 suits a Triton that indexes.
        image_niceness: cpu only: how far the image model stands back for other processes, so that indexing does not
            slow down searches. Read by the embedded stack's backend; NVIDIA's ignores it.
        max_batch_size: rows that Triton puts into one run.
        text_queue_delay_us: how long a text may wait for company. Not at all by default: under load batches form while
            the instances are busy, and a lone query would only be late by as much.
        text_queue_size: texts waiting before Triton refuses with UNAVAILABLE; `image_queue_size` likewise.
        text_queue_timeout_us: longest wait in the queue. A request's own timeout can only shorten it (Triton's rule),
            so `image_queue_timeout_us` is as long as the indexer waits for a batch on a slow CPU.
        engine_cache: tensorrt only: folder on the server for built engines; building takes minutes.
    """

    profile: Profile = "cpu"
    accelerator: Accelerator | None = None
    instances: int = 2
    threads: int = 2
    text_spin_us: int = 30
    image_threads: int | None = None
    image_niceness: int = 10
    max_batch_size: int = 32
    text_queue_delay_us: int = 0
    text_queue_size: int = 256
    image_queue_size: int = 64
    text_queue_timeout_us: int = 5_000_000
    image_queue_timeout_us: int = 60_000_000
    engine_cache: str = "/var/cache/vitrine/tensorrt"

    def __post_init__(self) -> None:
        if self.accelerator and self.profile != "gpu":
            raise ModelInvalid(f"The accelerator {self.accelerator} needs the gpu profile, not {self.profile}.")
        if min(self.instances, self.threads, self.image_threads or 1, self.max_batch_size) < 1:
            raise ModelInvalid("Instances, threads and the batch size must each be at least 1.")


def text_config(contract: ModelContract, serving: Serving) -> str:
    """config.pbtxt of clip_text: `input_ids` INT32 [-1] to `embedding` FP32 [dim]."""
    shapes = [[length] for length in contract.text_buckets]
    return _config(
        TEXT_MODEL,
        ("input_ids", "TYPE_INT32", [-1]),
        shapes,
        contract,
        serving,
        queue_delay_us=serving.text_queue_delay_us,
        queue=(serving.text_queue_size, serving.text_queue_timeout_us),
        threads=serving.threads,
        spin_us=serving.text_spin_us,
    )


def image_config(contract: ModelContract, serving: Serving) -> str:
    """config.pbtxt of clip_image: `pixels` UINT8 [size, size, 3] to `embedding` FP32 [dim]."""
    shape = [contract.image.size, contract.image.size, 3]
    return _config(
        IMAGE_MODEL,
        ("pixels", "TYPE_UINT8", shape),
        [shape],
        contract,
        serving,
        queue_delay_us=0,
        queue=(serving.image_queue_size, serving.image_queue_timeout_us),
        threads=serving.image_threads or serving.threads,
        niceness=serving.image_niceness,
    )


def _config(
    name: str,
    source: tuple[str, str, list[int]],
    warm_shapes: Sequence[list[int]],
    contract: ModelContract,
    serving: Serving,
    *,
    queue_delay_us: int,
    queue: tuple[int, int],
    threads: int,
    spin_us: int = 0,
    niceness: int = 0,
) -> str:
    input_name, data_type, dims = source
    head = (
        f'name: "{name}"\nbackend: "onnxruntime"\nmax_batch_size: {serving.max_batch_size}\n'
        f'input [{{ name: "{input_name}", data_type: {data_type}, dims: {dims} }}]\n'
        f'output [{{ name: "embedding", data_type: TYPE_FP32, dims: [{contract.dimension}] }}]\n'
        f"instance_group [{{ kind: KIND_AUTO, count: {serving.instances} }}]"
    )
    blocks = [
        head,
        _batching(queue_delay_us, *queue),
        _parameters(contract, serving, threads, spin_us, niceness),
        *([_accelerators(contract, serving)] if serving.accelerator else []),
        *(_warm_up(input_name, data_type, shape, rows) for shape in warm_shapes for rows in _warm_rows(serving)),
    ]
    return "\n\n".join(blocks) + "\n"


def _batching(delay_us: int, queue_size: int, timeout_us: int) -> str:
    # A request's own timeout counts only if overriding is allowed and a default stands beside it. Preferred batch sizes
    # are left out on purpose: they make Triton hold back batches that are ready.
    return f"""dynamic_batching {{
  max_queue_delay_microseconds: {delay_us}
  default_queue_policy {{
    timeout_action: REJECT
    default_timeout_microseconds: {timeout_us}
    allow_timeout_override: true
    max_queue_size: {queue_size}
  }}
}}"""


def _parameters(contract: ModelContract, serving: Serving, threads: int, spin_us: int, niceness: int) -> str:
    values = {FINGERPRINT_PARAMETER: contract.fingerprint}
    if serving.profile == "cpu":
        values |= {"intra_op_thread_count": str(threads), "inter_op_thread_count": "1"}
        if spin_us and threads > 1:
            values |= {
                "session.intra_op.allow_spinning": "1",
                "session.intra_op.spin_duration_us": str(spin_us),
                "session.force_spinning_stop": "1",
            }
        if niceness:
            values[NICENESS_PARAMETER] = str(niceness)
    return "\n".join(
        f'parameters {{ key: "{key}" value {{ string_value: "{value}" }} }}' for key, value in values.items()
    )


def _accelerators(contract: ModelContract, serving: Serving) -> str:
    options: dict[str, str] = {}
    if serving.accelerator == "tensorrt":
        options = {
            "precision_mode": "FP32" if contract.precision == "fp32" else "FP16",
            "max_workspace_size_bytes": str(2 * 1024**3),
            "trt_engine_cache_enable": "true",
            "trt_engine_cache_path": serving.engine_cache,
            # An engine of another model in the same cache must never be taken for this one's.
            "trt_engine_cache_prefix": f"vitrine-{contract.fingerprint[:12]}",
        }
    lines = "".join(f'\n    parameters {{ key: "{key}" value: "{value}" }}' for key, value in options.items())
    return (
        f"optimization {{ execution_accelerators {{\n"
        f'  gpu_execution_accelerator [{{\n    name: "{serving.accelerator}"{lines}\n  }}]\n}} }}'
    )


def _warm_rows(serving: Serving) -> list[int]:
    """Batch sizes to warm up: for TensorRT the extremes, because its engines cover the range that they have seen."""
    if serving.accelerator == "tensorrt":
        return sorted({1, serving.max_batch_size})
    return sorted({1, min(8, serving.max_batch_size)})


def _warm_up(input_name: str, data_type: str, shape: list[int], rows: int) -> str:
    size = "x".join(str(side) for side in (rows, *shape))
    return f"""model_warmup {{
  name: "{size}"
  batch_size: {rows}
  inputs {{ key: "{input_name}" value {{ data_type: {data_type}, dims: {shape}, zero_data: true }} }}
}}"""
