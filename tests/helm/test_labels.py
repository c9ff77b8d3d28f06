"""Labels: what selects never changes, what pods carry does not change with the chart's version."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.helm.rendering import CHART, EXAMPLES, NAMESPACE, NEWEST, RELEASE, Object, Rendered, helm, render, walk

RECOMMENDED = {f"app.kubernetes.io/{name}" for name in ("name", "instance", "component", "version", "managed-by")}
VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")


def _of_version(folder: Path, example: str, version: str) -> Rendered:
    """The example by the chart at another version."""
    chart = folder / version.replace("+", "-")
    shutil.copytree(CHART, chart)
    about = (chart / "Chart.yaml").read_text()
    (chart / "Chart.yaml").write_text(re.sub(r"(?m)^version: .*$", f"version: {version}", about))
    values = f"--values={CHART / 'examples' / f'{example}.yaml'}"
    text = helm("template", RELEASE, str(chart), f"--namespace={NAMESPACE}", values, f"--kube-version={NEWEST}.0")
    return Rendered(tuple(one for one in yaml.safe_load_all(text) if one))


def _labels(rendered: Rendered) -> Iterator[Object]:
    for one in walk(list(rendered.objects)):
        if isinstance(one, dict) and isinstance(one.get("labels"), dict):
            yield one["labels"]


def test_every_object_has_the_recommended_labels(rendered: Rendered) -> None:
    for one in rendered.objects:
        assert one["metadata"]["labels"].keys() >= {*RECOMMENDED, "helm.sh/chart"}


@pytest.mark.parametrize("example", EXAMPLES)
def test_a_new_version_of_the_chart_restarts_nothing_that_it_does_not_change(tmp_path: Path, example: str) -> None:
    one, other = render(example), _of_version(tmp_path, example, "9.9.9")
    assert [pod.owner["metadata"]["name"] for pod in one.pods] == [pod.owner["metadata"]["name"] for pod in other.pods]
    for before, after in zip(one.pods, other.pods, strict=True):
        if before.component != "test":
            assert (before.metadata, before.spec) == (after.metadata, after.spec)
    charts = {labels.get("helm.sh/chart") for labels in _labels(other)}
    assert charts == {"vitrine-9.9.9", None}


def test_a_version_with_a_plus_is_still_a_label(tmp_path: Path) -> None:
    labels = [
        value
        for each in _labels(_of_version(tmp_path, "minimal", f"1.2.0+build.{'7' * 60}"))
        for value in each.values()
    ]
    assert any(value.startswith("vitrine-1.2.0_build.7") for value in labels)
    for value in labels:
        assert VALUE.fullmatch(value), value


def test_labels_of_the_operator_are_on_everything_and_in_no_selector() -> None:
    plain, labelled = render("production-gpu"), render("production-gpu", "--set=commonLabels.team=search")
    for one in (*labelled.objects, *({"metadata": pod.metadata} for pod in labelled.pods)):
        assert one["metadata"]["labels"]["team"] == "search"
    selectors = [
        [
            value["matchLabels"]
            for value in walk(list(each.objects))
            if isinstance(value, dict) and "matchLabels" in value
        ]
        for each in (plain, labelled)
    ]
    assert selectors[0] == selectors[1]


def test_labels_annotations_and_variables_of_one_component_are_on_its_pods_alone() -> None:
    rendered = render("everything")
    for component in ("gateway", "triton", "indexer", "loadtest"):
        for pod in rendered.pods_of(component):
            assert pod.metadata["labels"]["azure.workload.identity/use"] == "true"
    for component in ("gateway", "triton", "indexer"):
        for pod in rendered.pods_of(component):
            environment = rendered.environment(pod.spec["containers"][0])
            assert environment["HTTPS_PROXY"] == "http://proxy.example:3128"
    for pod in rendered.pods_of("indexer"):
        assert pod.metadata["annotations"]["sidecar.istio.io/inject"] == "false"
    (test,) = rendered.pods_of("test")
    assert "azure.workload.identity/use" not in test.metadata["labels"]


def test_secrets_of_registries_may_be_named_either_way() -> None:
    for pod in render("everything").pods:
        assert pod.spec["imagePullSecrets"] == [{"name": "registry"}, {"name": "mirror"}]


def test_room_on_the_nodes_disk_is_requested_for_all_that_a_pod_may_write() -> None:
    for pod in (pod for example in EXAMPLES for pod in render(example).pods if pod.component != "test"):
        for container in pod.containers:
            assert "ephemeral-storage" in container["resources"]["requests"], container["name"]
        for volume in pod.spec["volumes"]:
            assert "emptyDir" not in volume or "sizeLimit" in volume["emptyDir"]
