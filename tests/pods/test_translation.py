"""What podman is told of a rendered pod, and that nothing of it is left out in silence."""

import copy
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helm.rendering import Object, Pod
from tests.pods.conftest import rendered_here
from tests.pods.known import NotTranslated
from tests.pods.provided import Provided
from tests.pods.translation import Launch, translate

pytestmark = pytest.mark.pods


def _provided(folder: Path) -> Provided:
    return Provided(folder, {"vitrine-models": folder / "models"}, services=("milvus",))


def _gateway() -> Pod:
    (pod,) = rendered_here("dev").pods_of("gateway")
    return copy.deepcopy(pod)


def _translated(pod: Pod, folder: Path) -> Launch:
    return translate(rendered_here("dev"), pod, _provided(folder))


def test_podman_is_told_what_the_kubelet_would_be(tmp_path: Path) -> None:
    launch = _translated(_gateway(), tmp_path)
    wanted = {
        *("--read-only", "--read-only-tmpfs=false", "--user=65532:65532", "--group-add=65532", "--cap-drop=ALL"),
        *("--security-opt=no-new-privileges", "--memory=1024m", "--cpus=2.0", "--pull=never"),
        *("--env=VITRINE_TRITON__URL=http://demo-triton.shop:8000", "--env=VITRINE_MILVUS__URI=http://milvus:19530"),
        *("--add-host=demo-triton.shop:127.0.0.1", "--add-host=milvus:127.0.0.1"),
        f"--mount=type=bind,source={tmp_path / 'models'},destination=/models,readonly",
    }
    assert wanted <= set(launch.options)
    assert launch.image == "vitrine-gateway:0.1.0"
    assert not launch.arguments  # the image's own entrypoint
    assert (launch.pre_stop_s, launch.grace_s) == (5, 35)
    readiness = launch.probes["readinessProbe"]
    assert (readiness.port, readiness.path, readiness.timeout_s) == (8080, "/readyz", 3)


def test_a_command_replaces_the_entrypoint(tmp_path: Path) -> None:
    (pod,) = rendered_here("dev").pods_of("test")
    launch = _translated(pod, tmp_path)
    assert "--entrypoint=python" in launch.options
    assert launch.arguments[0] == "-c"
    assert "--timeout=120" in launch.options


def _container(pod: Pod) -> Object:
    container: Object = pod.spec["containers"][0]
    return container


_STRANGE: dict[str, Callable[[Pod], object]] = {
    "host's processes": lambda pod: pod.spec.update(hostPID=True),
    "a token": lambda pod: pod.spec.update(automountServiceAccountToken=True),
    "a container before": lambda pod: pod.spec.update(initContainers=[{}]),
    "a second container": lambda pod: pod.spec["containers"].append({}),
    "no seccomp": lambda pod: pod.spec["securityContext"].update(seccompProfile={"type": "Unconfined"}),
    "kernel settings": lambda pod: pod.spec["securityContext"].update(sysctls=[]),
    "root under runAsNonRoot": lambda pod: pod.spec["securityContext"].update(runAsUser=0),
    "a working folder": lambda pod: _container(pod).update(workingDir="/x"),
    "a variable of the pod's own": lambda pod: _container(pod)["env"].append(
        {"name": "X", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
    ),
    "a variable of a Secret that is not there": lambda pod: _container(pod)["env"].append(
        {"name": "X", "valueFrom": {"secretKeyRef": {"name": "x", "key": "y"}}}
    ),
    "a variable in a variable": lambda pod: _container(pod)["env"].append({"name": "X", "value": "$(HOME)/x"}),
    "a Secret as variables": lambda pod: _container(pod)["envFrom"].append({"secretRef": {"name": "x"}}),
    "a variable in an argument": lambda pod: _container(pod).update(args=["$(HOME)"]),
    "a probe by command": lambda pod: _container(pod)["livenessProbe"].update(exec={}),
    "a late first probe": lambda pod: _container(pod)["livenessProbe"].update(initialDelaySeconds=5),
    "a hook at the start": lambda pod: _container(pod)["lifecycle"].update(postStart={}),
    "a hook by command": lambda pod: _container(pod)["lifecycle"].update(preStop={"exec": {}}),
    "a capability more": lambda pod: _container(pod)["securityContext"]["capabilities"].update(add=["NET_ADMIN"]),
    "a user of the container": lambda pod: _container(pod)["securityContext"].update(runAsUser=1),
    "a GPU": lambda pod: _container(pod)["resources"]["limits"].update({"nvidia.com/gpu": 1}),
    "a claim that is not there": lambda pod: pod.spec["volumes"][1]["persistentVolumeClaim"].update(claimName="x"),
    "a folder in memory": lambda pod: pod.spec["volumes"][0]["emptyDir"].update(medium="Memory"),
    "a folder of the node": lambda pod: (
        pod.spec["volumes"].append({"name": "x", "hostPath": {"path": "/"}})
        or _container(pod)["volumeMounts"].append({"name": "x", "mountPath": "/x"})
    ),
    "a mount of another kind": lambda pod: _container(pod)["volumeMounts"][0].update(mountPropagation="Bidirectional"),
}


@pytest.mark.parametrize("strange", _STRANGE.values(), ids=_STRANGE)
def test_what_podman_is_not_told_of_is_an_error(tmp_path: Path, strange: Callable[[Pod], object]) -> None:
    pod = _gateway()
    strange(pod)
    with pytest.raises(NotTranslated):
        _translated(pod, tmp_path)
