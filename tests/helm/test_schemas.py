"""Kubernetes would take these objects, and Helm finds nothing to complain of."""

import copy
from collections import Counter

import kubernetes_validate
import pytest

from tests.helm.rendering import CHART, EXAMPLES, NEWEST, SINCE, Rendered, helm, render

# Defined by operators; their schemas are in no Kubernetes. `helm/check_crds.py` holds each field to the operators' own.
CUSTOM = {
    "PodMonitor": ("monitoring.coreos.com/v1", {"selector", "podMetricsEndpoints"}),
    "PrometheusRule": ("monitoring.coreos.com/v1", {"groups"}),
    "ScaledObject": (
        "keda.sh/v1alpha1",
        {"scaleTargetRef", "minReplicaCount", "maxReplicaCount", "pollingInterval", "advanced", "triggers"},
    ),
    "ExternalSecret": ("external-secrets.io/v1", {"refreshInterval", "secretStoreRef", "target", "data"}),
    "HTTPRoute": ("gateway.networking.k8s.io/v1", {"parentRefs", "hostnames", "rules"}),
}


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2])


KNOWN = sorted({".".join(version.split(".")[:2]) for version in kubernetes_validate.utils.all_versions()}, key=_number)
TRIED = [
    (example, version)
    for example in EXAMPLES
    for version in KNOWN
    if _number(version) >= _number(SINCE.get(example, "1.30"))
]


@pytest.mark.parametrize(("example", "version"), TRIED)
def test_every_object_is_valid_in_every_kubernetes_since_1_30(example: str, version: str) -> None:
    for one in render(example, kubernetes=version).objects:
        if one["kind"] not in CUSTOM:
            kubernetes_validate.validate(one, version, strict=True)


def test_a_field_that_kubernetes_does_not_know_would_be_found() -> None:
    one = copy.deepcopy(render("minimal").of("Deployment")[0])
    one["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="readynessProbe"):
        kubernetes_validate.validate(one, "1.30", strict=True)


def test_the_newest_kubernetes_known_is_among_them() -> None:
    assert KNOWN[-1] == NEWEST
    assert {example for example, _ in TRIED} == set(EXAMPLES)
    assert {"minimal", "dev", "production-gpu", "everything"} == set(EXAMPLES)


def test_objects_of_operators_say_only_what_they_may(rendered: Rendered) -> None:
    for one in rendered.of(*CUSTOM):
        version, fields = CUSTOM[one["kind"]]
        assert one["apiVersion"] == version
        assert one["spec"].keys() <= fields


def test_the_examples_have_every_kind_of_object_between_them() -> None:
    kinds = {one["kind"] for example in EXAMPLES for one in render(example).objects}
    assert kinds >= {"Deployment", "Service", "HorizontalPodAutoscaler", "PodDisruptionBudget", "NetworkPolicy"}
    assert kinds >= {"Job", "CronJob", "ConfigMap", "ServiceAccount", "PersistentVolumeClaim", "Ingress", "Pod"}
    assert kinds >= CUSTOM.keys()


def test_no_two_objects_have_one_name(rendered: Rendered) -> None:
    names = Counter(
        (one["kind"], one["metadata"].get("namespace"), one["metadata"]["name"]) for one in rendered.objects
    )
    assert max(names.values()) == 1


@pytest.mark.parametrize("example", EXAMPLES)
def test_helm_lint_is_content(example: str) -> None:
    values = f"--values={CHART / 'examples' / f'{example}.yaml'}"
    said = helm("lint", "--strict", str(CHART), values, f"--kube-version={NEWEST}.0")
    assert "[WARNING]" not in said
    assert "0 chart(s) failed" in said
