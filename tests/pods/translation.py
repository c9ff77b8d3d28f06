"""A pod as Helm renders it -> the options of `podman run` that start it.

What a kubelet does with a pod and podman cannot do is listed in docs/kubernetes.md. A field that is not known here is
an error: a pod that the chart gives something new must not be run, and pass, without it.
"""

import resource
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from tests.helm.rendering import NAMESPACE, Object, Pod, Rendered
from tests.pods.known import NotTranslated, known, same
from tests.pods.provided import Provided
from tests.pods.quantities import cpus, mebibytes

LOOPBACK: Final = "127.0.0.1"

_ELSEWHERE: Final = frozenset(
    {"serviceAccountName", "topologySpreadConstraints", "priorityClassName", "nodeSelector", "tolerations", "affinity"}
)
"""Matters of the API server and the scheduler; they change nothing inside a pod without a token."""
_WITHOUT: Final[Mapping[str, object]] = {"automountServiceAccountToken": False, "enableServiceLinks": False}
_POD: Final = frozenset(
    {"securityContext", "terminationGracePeriodSeconds", "restartPolicy", "activeDeadlineSeconds", "containers"}
    | {"volumes", "imagePullSecrets", *_ELSEWHERE, *_WITHOUT}
)
_POD_SECURITY: Final = frozenset(
    {"runAsNonRoot", "runAsUser", "runAsGroup", "fsGroup", "fsGroupChangePolicy", "seccompProfile"}
)
_PROBES: Final = ("startupProbe", "livenessProbe", "readinessProbe")
_CONTAINER: Final = frozenset(
    {"name", "image", "imagePullPolicy", "command", "args", "ports", "envFrom", "env", "lifecycle", "resources"}
    | {"securityContext", "volumeMounts", *_PROBES}
)
_LONGEST_S: Final = 1_800
"""No pod outlives tests that were killed by more than this."""
_GRACE_S: Final = 30
"""Kubernetes' own, where a pod says nothing."""


@dataclass(frozen=True)
class HttpProbe:
    """One probe as rendered: what to ask, how often (seconds), and how many misses in a row end it."""

    port: int
    path: str
    period_s: float
    timeout_s: float
    failures: int


@dataclass(frozen=True)
class Launch:
    """What starts one container, and what its kubelet would do with it later."""

    image: str
    options: tuple[str, ...]
    arguments: tuple[str, ...]
    probes: Mapping[str, HttpProbe]
    pre_stop_s: float
    grace_s: int

    def command(self, name: str) -> list[str]:
        """The whole `podman run`, detached."""
        return ["podman", "run", "--detach", f"--name={name}", *self.options, self.image, *self.arguments]


def translate(rendered: Rendered, pod: Pod, provided: Provided, *, index: int | None = None) -> Launch:
    """How podman starts a pod; `index` is its number in an Indexed Job.

    Raises:
        NotTranslated: a field that nothing here stands for, or something that should be there and is not.
    """
    spec = pod.spec
    known("pod", spec, _POD)
    for name, value in _WITHOUT.items():
        same(f"pod {name}", spec.get(name), value)
    same("number of containers", len(spec["containers"]), 1)
    (container,) = spec["containers"]
    known("container", container, _CONTAINER)
    entrypoint, arguments = _command(container)
    options = [
        *("--pull=never", "--network=host", *entrypoint, *_process_limits()),
        *(f"--add-host={name}:{LOOPBACK}" for name in _service_names(rendered, provided)),
        *_pod_security(spec["securityContext"]),
        *_container_security(container["securityContext"]),
        *_resources(container["resources"]),
        *(f"--env={name}={value}" for name, value in _environment(rendered, pod, provided, index).items()),
        *provided.mounts(spec, container),
    ]
    options.append(f"--timeout={spec.get('activeDeadlineSeconds', _LONGEST_S)}")
    return Launch(
        container["image"],
        tuple(options),
        tuple(arguments),
        {name: _probe(container, name) for name in _PROBES if name in container},
        _pre_stop(container.get("lifecycle", {})),
        spec.get("terminationGracePeriodSeconds", _GRACE_S),
    )


def _service_names(rendered: Rendered, provided: Provided) -> Iterator[str]:
    for service in rendered.of("Service"):
        name = service["metadata"]["name"]
        yield from (name, f"{name}.{NAMESPACE}")
    yield from provided.services


def _environment(rendered: Rendered, pod: Pod, provided: Provided, index: int | None) -> dict[str, str]:
    """As the kubelet resolves it, the Secrets' values too."""
    (container,) = pod.spec["containers"]
    for source in container.get("envFrom", []):
        known("envFrom", source, {"configMapRef"})
    values = {}
    for name, value in rendered.environment(container).items():
        if isinstance(value, dict):
            known(f"variable {name}", value, {"secretKeyRef"})
            value = provided.secret(value["secretKeyRef"]["name"], value["secretKeyRef"]["key"])
        elif "$(" in value:
            raise NotTranslated(f"$(NAME) in variable {name}")
        values[name] = value
    if pod.owner["spec"].get("completionMode") == "Indexed":
        values["JOB_COMPLETION_INDEX"] = str(index)
    return values


def _command(container: Object) -> tuple[list[str], list[str]]:
    """`command` replaces the image's entrypoint and what it appends; `args` only the latter."""
    command, arguments = container.get("command", []), container.get("args", [])
    if any("$(" in word for word in (*command, *arguments)):
        raise NotTranslated("$(NAME) in a command")
    if not command:
        return [], arguments
    return [f"--entrypoint={command[0]}"], [*command[1:], *arguments]


def _process_limits() -> Iterator[str]:
    """By itself podman asks for more than it may give where this machine is itself a container or a sandbox."""
    for name, number, wanted in (("nofile", resource.RLIMIT_NOFILE, 65_536), ("nproc", resource.RLIMIT_NPROC, 4_096)):
        _, most = resource.getrlimit(number)
        limit = wanted if most == resource.RLIM_INFINITY else min(wanted, most)
        yield f"--ulimit={name}={limit}:{limit}"


def _pod_security(security: Object) -> Iterator[str]:
    known("pod securityContext", security, _POD_SECURITY)
    same("seccompProfile", security["seccompProfile"], {"type": "RuntimeDefault"})  # podman's own default, too
    user, group = security["runAsUser"], security["runAsGroup"]
    if security["runAsNonRoot"] and user == 0:
        raise NotTranslated("runAsNonRoot with user 0, which a kubelet refuses")
    yield f"--user={user}:{group}"
    yield f"--group-add={security['fsGroup']}"


def _container_security(security: Object) -> Iterator[str]:
    names = {"allowPrivilegeEscalation", "readOnlyRootFilesystem", "capabilities"}
    known("container securityContext", security, names)
    if not security["allowPrivilegeEscalation"]:
        yield "--security-opt=no-new-privileges"
    if security["readOnlyRootFilesystem"]:
        # Podman would lay a writable /tmp, /run and /var/tmp over it, which no kubelet does.
        yield from ("--read-only", "--read-only-tmpfs=false")
    known("capabilities", security["capabilities"], {"drop"})
    yield from (f"--cap-drop={name}" for name in security["capabilities"]["drop"])


def _resources(resources: Object) -> Iterator[str]:
    known("resources", resources, {"requests", "limits"})
    limits, requests = resources["limits"], resources["requests"]
    known("limits", limits, {"cpu", "memory"})
    memory = mebibytes(limits["memory"])
    yield from (f"--memory={memory}m", f"--memory-swap={memory}m", f"--cpus={cpus(limits['cpu'])}")
    yield f"--cpu-shares={max(2, int(cpus(requests['cpu']) * 1024))}"


def _probe(container: Object, name: str) -> HttpProbe:
    probe = container[name]
    known(name, probe, {"httpGet", "periodSeconds", "timeoutSeconds", "failureThreshold"})
    known(f"{name} httpGet", probe["httpGet"], {"path", "port"})
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    port = probe["httpGet"]["port"]
    return HttpProbe(
        port=ports[port] if isinstance(port, str) else port,
        path=probe["httpGet"]["path"],
        period_s=probe.get("periodSeconds", 10),
        timeout_s=probe.get("timeoutSeconds", 1),
        failures=probe.get("failureThreshold", 3),
    )


def _pre_stop(lifecycle: Object) -> float:
    known("lifecycle", lifecycle, {"preStop"})
    hook = lifecycle.get("preStop", {"sleep": {"seconds": 0}})
    known("preStop", hook, {"sleep"})
    return float(hook["sleep"]["seconds"])
