"""One setting sends the spans of every process of the chart to the collector, and each of them is let out to it."""

from tests.helm.rendering import Rendered, render

COLLECTOR = "http://otel-collector.observability:4318/v1/traces"
PORT = 4318


def _triton_arguments(rendered: Rendered) -> list[str]:
    (pod,) = rendered.pods_of("triton")
    (container,) = pod.spec["containers"]
    return [argument for argument in container["args"] if argument.startswith("--trace-config")]


def test_triton_sends_spans_of_what_comes_with_a_context_to_the_same_collector() -> None:
    assert _triton_arguments(render("production-gpu")) == [
        "--trace-config=mode=opentelemetry",
        "--trace-config=level=TIMESTAMPS",
        "--trace-config=rate=0",
        f"--trace-config=opentelemetry,url={COLLECTOR}",
        "--trace-config=opentelemetry,resource=service.name=vitrine-triton",
    ]


def test_without_an_endpoint_triton_traces_nothing() -> None:
    assert _triton_arguments(render("dev")) == []


def test_the_gateway_and_the_indexer_send_theirs_there_too() -> None:
    rendered = render("production-gpu")
    for component in ("gateway", "indexer"):
        for pod in rendered.pods_of(component):
            for container in pod.spec["containers"]:
                assert rendered.environment(container)["VITRINE_TELEMETRY__OTLP_ENDPOINT"] == COLLECTOR


def test_each_of_them_reaches_the_collector() -> None:
    rendered = render("production-gpu")
    for component in ("gateway", "indexer", "triton"):
        (policy,) = [
            one["spec"]
            for one in rendered.of("NetworkPolicy")
            if one["spec"]["podSelector"].get("matchLabels", {}).get("app.kubernetes.io/component") == component
        ]
        assert any(PORT in [port["port"] for port in rule.get("ports", [])] for rule in policy["egress"]), component
