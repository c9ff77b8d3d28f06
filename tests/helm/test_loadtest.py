"""The load test's Jobs: one pod alone, or workers that find their master. They reach the gateway and nobody else."""

import argparse
import re
import subprocess
import sys
from collections.abc import Mapping
from functools import cache

import pytest

from loadtest.options import KEY_VARIABLE, Plan, add_options
from loadtest.shapes import SHAPES
from tests.helm.rendering import LOAD_ALONE, HelmFailed, Object, Pod, Rendered, render

WRITES = ("--set=loadtest.writeCollection=scratch", "--set-json=loadtest.rate=2.5", "--set=loadtest.duration=86400")


def _alone(*more: str) -> Rendered:
    return render("minimal", *LOAD_ALONE, *more)


def _pods(rendered: Rendered, role: str) -> list[Pod]:
    return [pod for pod in rendered.pods_of("loadtest") if pod.metadata["labels"]["role"] == role]


def _words(pod: Pod) -> list[str]:
    (container,) = pod.spec["containers"]
    return [*container.get("command", []), *container["args"]]


def _plan(pod: Pod) -> Plan:
    """As the locustfile reads the pod's arguments."""
    parser = argparse.ArgumentParser()
    add_options(parser)
    options, _ = parser.parse_known_args(pod.spec["containers"][0]["args"])
    return Plan.of(options)


@cache
def _options() -> frozenset[str]:
    """Those of the locustfile, and Locust's own."""
    parser = argparse.ArgumentParser()
    add_options(parser)
    command = [sys.executable, "-m", "locust", "--help"]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    return frozenset(re.findall(r"--[a-z][a-z-]+", parser.format_help() + said))


def test_nobody_sends_load_unless_it_is_wanted() -> None:
    for example in ("minimal", "dev", "production-gpu"):
        labels = [one["metadata"]["labels"] for one in render(example).objects]
        assert "loadtest" not in {each["app.kubernetes.io/component"] for each in labels}


@pytest.mark.parametrize(
    "rendered_with", [("minimal", *LOAD_ALONE), ("minimal", *LOAD_ALONE, *WRITES), ("everything",)]
)
def test_the_program_has_the_options_of_its_pods(rendered_with: tuple[str, ...]) -> None:
    for pod in render(*rendered_with).pods_of("loadtest"):
        told = {word.partition("=")[0] for word in _words(pod) if word.startswith("--")}
        assert told <= _options()


def test_values_reach_the_schedule() -> None:
    (pod,) = _pods(_alone(*WRITES, "--set=loadtest.extraArgs={--facets=colour,--thresholds=}"), "alone")
    plan = _plan(pod)
    assert (plan.shape.name, plan.collection, plan.scratch, plan.facets) == (
        "smoke",
        "products",
        "scratch",
        ("colour",),
    )
    measured = [stage for stage in plan.stages if stage.measured]
    assert sum(stage.seconds for stage in measured) == pytest.approx(86_400)
    assert max(stage.rate for stage in measured) == 2.5


def test_the_shapes_own_rate_and_time_hold_where_nothing_is_said() -> None:
    (pod,) = _pods(_alone(), "alone")
    assert _plan(pod).stages == SHAPES["smoke"].stages()


def test_there_are_no_other_shapes_than_the_programs() -> None:
    for shape in SHAPES:
        (pod,) = _pods(_alone(f"--set=loadtest.shape={shape}"), "alone")
        assert f"--shape={shape}" in _words(pod)
    with pytest.raises(HelmFailed, match="average', 'step', 'spike', 'soak"):
        _alone("--set=loadtest.shape=surge")


def test_it_asks_the_gateway_of_the_release(rendered: Rendered) -> None:
    for pod in (*_pods(rendered, "alone"), *_pods(rendered, "master")):
        (host,) = [word.removeprefix("--host=http://") for word in _words(pod) if word.startswith("--host=")]
        name, _, port = host.partition(":")
        service = rendered.named("Service", name)
        assert int(port) in {one["port"] for one in service["spec"]["ports"]}
        assert {found.component for found in rendered.selected(service["spec"]["selector"])} == {"gateway"}


def test_workers_find_the_master_of_their_run_and_no_other() -> None:
    rendered = render("everything")
    (master,), (worker,) = (_pods(rendered, role) for role in ("master", "worker"))
    told = dict(word.partition("=")[::2] for word in _words(worker) if "=" in word)
    service = rendered.named("Service", told["--master-host"])
    (port,) = service["spec"]["ports"]
    assert str(port["port"]) == told["--master-port"] == str(master.spec["containers"][0]["ports"][0]["containerPort"])
    assert rendered.selected(service["spec"]["selector"]) == [master]
    other = render("everything", "--set=loadtest.run=two")
    assert other.selected(service["spec"]["selector"]) == []


def test_the_master_waits_for_as_many_workers_as_there_are() -> None:
    (master,), (worker,) = (_pods(render("everything"), role) for role in ("master", "worker"))
    assert "--expect-workers=3" in _words(master)
    assert worker.owner["spec"]["completions"] == worker.owner["spec"]["parallelism"] == 3
    assert not [word for word in _words(worker) if word.startswith(("--host", "--rate", "--expect-workers"))]


def test_load_is_never_sent_twice_by_itself(rendered: Rendered) -> None:
    for pod in rendered.pods_of("loadtest"):
        job = pod.owner["spec"]
        assert job["backoffLimit"] == 0
        assert job["activeDeadlineSeconds"] > 0
        assert "ttlSecondsAfterFinished" not in job
        assert pod.spec["restartPolicy"] == "Never"


def test_the_verdict_is_the_masters_alone() -> None:
    (worker,) = _pods(render("everything"), "worker")
    assert "--exit-code-on-error=0" in _words(worker)


def test_every_process_has_the_key_from_its_secret() -> None:
    for pod in render("everything").pods_of("loadtest"):
        key = render("everything").environment(pod.spec["containers"][0])[KEY_VARIABLE]
        assert key == {"secretKeyRef": {"name": "shop-load-key", "key": "api-key"}}


def test_a_run_leaves_its_report_in_a_folder_of_its_own(rendered: Rendered) -> None:
    for pod in (*_pods(rendered, "alone"), *_pods(rendered, "master")):
        assert f"--output=/report/{pod.owner['metadata']['name']}" in _words(pod)
        mounts = {mount["mountPath"]: mount for mount in pod.spec["containers"][0]["volumeMounts"]}
        assert "readOnly" not in mounts["/report"]
    claims = [
        volume.get("persistentVolumeClaim") for pod in _pods(rendered, "master") for volume in pod.spec["volumes"]
    ]
    assert not claims or {"claimName": "reports"} in claims


def test_a_run_has_another_name_when_it_would_do_something_else() -> None:
    """A Job's pods cannot be changed: with the old name the upgrade would fail."""
    (one,) = _alone().of("Job")
    changes = ("loadtest.run=two", "loadtest.rate=3", "loadtest.image.tag=v9", "collection=other", "commonLabels.a=b")
    for change in (*changes, "loadtest.podLabels.a=b", "loadtest.deadlineSeconds=60", "gateway.service.port=8080"):
        (other,) = _alone(f"--set={change}").of("Job")
        assert other["metadata"]["name"] != one["metadata"]["name"], change
    changes = ("gateway.image.tag=v9", "settings.gateway.max_in_flight=9", "triton.shmSize=1Gi")
    (same,) = _alone(*(f"--set={change}" for change in changes)).of("Job")
    assert same == one


def _allowed(rendered: Rendered, direction: str, pod: Pod) -> set[tuple[str, str, int]]:
    """(component, role, port) of those that the policies of this pod name."""
    key, peers = {"Ingress": ("ingress", "from"), "Egress": ("egress", "to")}[direction]
    found = set()
    for policy in rendered.of("NetworkPolicy"):
        spec = policy["spec"]
        if spec["podSelector"].get("matchLabels", {}).items() <= pod.metadata["labels"].items():
            assert direction in spec["policyTypes"] or key not in spec
            found |= {
                (*_named(peer), port["port"])
                for rule in spec.get(key, [])
                for peer in rule[peers]
                for port in rule["ports"]
            }
    return {flow for flow in found if flow[2] != 53}


def _named(peer: Object) -> tuple[str, str]:
    labels: Mapping[str, str] = peer["podSelector"]["matchLabels"]
    return labels.get("app.kubernetes.io/component", labels.get("k8s-app", "")), labels.get("role", "")


def test_workers_reach_the_gateway_and_their_master_and_the_master_reaches_the_gateway() -> None:
    rendered = render("everything")
    (master,), (worker,) = (_pods(rendered, role) for role in ("master", "worker"))
    gateway = ("gateway", "", 8080)
    assert _allowed(rendered, "Egress", worker) == {gateway, ("loadtest", "master", 5557)}
    assert _allowed(rendered, "Egress", master) == {gateway}
    assert _allowed(rendered, "Ingress", master) == {("loadtest", "worker", 5557)}
    assert _allowed(rendered, "Ingress", worker) == set()
    (alone,) = _pods(_alone(), "alone")
    assert _allowed(_alone(), "Egress", alone) == {gateway}
    assert _allowed(_alone(), "Ingress", alone) == set()


def test_names_fit_even_for_the_longest_release_and_the_most_workers() -> None:
    rendered = render("everything", "--set=fullnameOverride=" + "n" * 80, "--set=loadtest.workers=64")
    for one in rendered.of("Job", "Service"):
        assert len(one["metadata"]["name"]) <= 63
