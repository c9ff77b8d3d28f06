"""Triton: does work wait, is it joined into batches, does it fail, is the GPU full."""

from typing import Final

from helm.dashboards import objectives as goal
from helm.dashboards.dashboard import Dashboard, Section
from helm.dashboards.panels import ORANGE, RED, Query, Step, TimeSeries
from helm.dashboards.promql import mean, rate, ratio, series

_DONE: Final = "nv_inference_request_success"
_FAILED: Final = "nv_inference_request_failure"
_MICROSECONDS: Final = "1e6"


def _each(part: str, *matchers: str) -> str:
    """Seconds that one request spent in a part of its way, by model."""
    spent = series(f"nv_inference_{part}_duration_us", *matchers)
    return f"{mean(spent, series(_DONE, *matchers), 'model')} / {_MICROSECONDS}"


_WORK: Final = Section(
    "Work",
    [
        TimeSeries(
            title="Inferences by model",
            description="Inputs embedded a second. Image inferences are indexing, and searches by picture.",
            queries=[Query(rate(series("nv_inference_count"), "model"), "{{model}}")],
            unit="ops",
        ),
        TimeSeries(
            title="Queue to compute",
            description="Time waiting over time computing. 0.5 is where the autoscaler adds a pod; above 2 it cannot "
            "follow: is it at its most, is a node missing? Indexing at full speed shows on clip_image alone.",
            queries=[
                Query(
                    mean(
                        series("nv_inference_queue_duration_us"),
                        series("nv_inference_compute_infer_duration_us"),
                        "model",
                    ),
                    "{{model}}",
                )
            ],
            unit="short",
            steps=[Step(goal.QUEUE_TO_COMPUTE, ORANGE), Step(2, RED)],
            runbooks=["TritonQueueGrowing"],
        ),
        TimeSeries(
            title="Batch size",
            description="Inferences in one execution. 1 under load: nothing is joined (`dynamic_batching` missing, or "
            "every text in a bucket of its own).",
            queries=[
                Query(mean(series("nv_inference_count"), series("nv_inference_exec_count"), "model"), "{{model}}")
            ],
            unit="short",
        ),
        TimeSeries(
            title="Pending requests",
            description="Waiting in Triton now. At the end of the queue it answers UNAVAILABLE.",
            queries=[
                Query(f"sum by (model) ({series('nv_inference_pending_request_count')})", "{{model}}"),
            ],
            unit="short",
            runbooks=["TritonQueueGrowing"],
        ),
        TimeSeries(
            title="Failures by reason",
            description="REJECTED: full queue, or waited too long. CANCELED: the caller gave up. BACKEND and OTHER: "
            "look into Triton's log.",
            queries=[Query(rate(series(_FAILED), "model, reason"), "{{model}} {{reason}}")],
            unit="reqps",
            runbooks=["TritonRequestFailures"],
        ),
        TimeSeries(
            title="Share that fails",
            description="Of requests, cancelled ones left out.",
            queries=[
                Query(
                    ratio(
                        rate(series(_FAILED, 'reason!="CANCELED"'), "model"),
                        f"{rate(series(_DONE), 'model')} + {rate(series(_FAILED), 'model')}",
                    ),
                    "{{model}}",
                )
            ],
            unit="percentunit",
            steps=[Step(0.01, RED)],
            runbooks=["TritonRequestFailures"],
        ),
    ],
)

_TIME: Final = Section(
    "Where a request's time goes",
    [
        TimeSeries(
            title="Mean time of a request",
            description="As Triton measures it, network left out. Much less than the gateway's stage *embed*: the "
            "difference is on the way, or in the gateway.",
            queries=[Query(_each("request"), "{{model}}")],
            unit="s",
        ),
        TimeSeries(
            title="Parts, text model",
            description="Waiting, copying in, computing, copying out; means, so a few slow ones do not show.",
            queries=[
                Query(_each(part, 'model="clip_text"'), name)
                for part, name in (
                    ("queue", "queue"),
                    ("compute_input", "input"),
                    ("compute_infer", "compute"),
                    ("compute_output", "output"),
                )
            ],
            unit="s",
            stacked=True,
        ),
        TimeSeries(
            title="Time computing, all models",
            description="Seconds of computing in a second, by instance: near the number of model instances it is full.",
            queries=[
                Query(
                    f"{rate(series('nv_inference_compute_infer_duration_us'), 'instance, model')} / {_MICROSECONDS}",
                    "{{instance}} {{model}}",
                )
            ],
            unit="short",
            stacked=True,
        ),
    ],
)

_HOST: Final = Section(
    "Host",
    [
        TimeSeries(
            title="CPU of the node",
            description="Of the whole machine, as Triton sees it. Models on CPU need it; on GPU it feeds them.",
            queries=[Query(series("nv_cpu_utilization"), "{{instance}}")],
            unit="percentunit",
            width=12,
            most=1,
        ),
        TimeSeries(
            title="Memory of the node",
            description="Used, of the whole machine, as Triton sees it.",
            queries=[
                Query(f"{series('nv_cpu_memory_used_bytes')} / {series('nv_cpu_memory_total_bytes')}", "{{instance}}")
            ],
            unit="percentunit",
            width=12,
            most=1,
        ),
    ],
)


_GPU: Final = Section(
    "GPU (needs one)",
    [
        TimeSeries(
            title="GPU busy",
            description="Share of time with a kernel running. Low with a growing queue: batches are too small, or the "
            "CPU does not feed it.",
            queries=[Query(series("nv_gpu_utilization"), "{{instance}} {{gpu_uuid}}")],
            unit="percentunit",
            most=1,
        ),
        TimeSeries(
            title="GPU memory",
            description="ONNX Runtime keeps what its largest batch needed, so high and flat is normal; above 95 % the "
            "next larger batch fails.",
            queries=[
                Query(
                    f"{series('nv_gpu_memory_used_bytes')} / {series('nv_gpu_memory_total_bytes')}",
                    "{{instance}} {{gpu_uuid}}",
                )
            ],
            unit="percentunit",
            most=1,
            steps=[Step(0.95, RED)],
            runbooks=["TritonGpuMemory"],
        ),
        TimeSeries(
            title="GPU power",
            description="Watts, of its limit. Flat at the limit: the GPU is slowed down by it.",
            queries=[
                Query(f"{series('nv_gpu_power_usage')} / {series('nv_gpu_power_limit')}", "{{instance}} {{gpu_uuid}}")
            ],
            unit="percentunit",
        ),
    ],
    collapsed=True,
)

TRITON: Final = Dashboard(
    uid="vitrine-triton",
    title="Vitrine / Triton",
    description="Does work wait, is it joined into batches, does it fail, is the GPU full.",
    proof="nv_inference_count",
    sections=[_WORK, _TIME, _HOST, _GPU],
)
