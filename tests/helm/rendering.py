"""The chart as Helm renders it. Every test here looks at these objects, none at a template."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).resolve().parents[2]
CHART: Final = ROOT / "helm" / "vitrine"
EXAMPLES: Final = tuple(sorted(path.stem for path in (CHART / "examples").glob("*.yaml")))
NAMESPACE: Final = "shop"
RELEASE: Final = "demo"
NEWEST: Final = "1.37"
WORKLOADS: Final = ("Deployment", "Job", "CronJob", "Pod")
SINCE: Final[Mapping[str, str]] = {"production-gpu": "1.33"}
"""The first Kubernetes of an example; 1.30 unless listed (image volumes are 1.33's)."""
LOAD_ALONE: Final = ("--set=loadtest.enabled=true", "--set=loadtest.image.repository=vitrine-loadtest")
"""The load test as one pod; `everything` has it shared out among several."""

Object = dict[str, Any]


class HelmFailed(Exception):
    """What Helm said."""


@dataclass(frozen=True)
class Pod:
    """A pod that some object makes."""

    owner: Object
    metadata: Object
    spec: Object

    @property
    def component(self) -> str:
        return str(self.metadata["labels"]["app.kubernetes.io/component"])

    @property
    def containers(self) -> list[Object]:
        """Those that start first included."""
        return [*self.spec.get("initContainers", []), *self.spec["containers"]]


@dataclass(frozen=True)
class Rendered:
    """All objects of one rendering."""

    objects: tuple[Object, ...]

    def of(self, *kinds: str) -> list[Object]:
        return [one for one in self.objects if one["kind"] in kinds]

    def named(self, kind: str, name: str) -> Object:
        (found,) = [one for one in self.of(kind) if one["metadata"]["name"] == name]
        return found

    @property
    def pods(self) -> list[Pod]:
        return [_pod_of(one) for one in self.of(*WORKLOADS)]

    def pods_of(self, component: str) -> list[Pod]:
        return [pod for pod in self.pods if pod.component == component]

    def selected(self, labels: Mapping[str, str]) -> list[Pod]:
        return [pod for pod in self.pods if labels.items() <= pod.metadata["labels"].items()]

    def environment(self, container: Object) -> dict[str, str | Object]:
        """As the kubelet would make it; what comes from a Secret is the reference to it."""
        values: dict[str, str | Object] = {}
        for source in container.get("envFrom", []):
            if "configMapRef" in source:
                values |= self.named("ConfigMap", source["configMapRef"]["name"])["data"]
        for one in container.get("env", []):
            values[one["name"]] = one["value"] if "value" in one else one["valueFrom"]
        return values


def helm(*arguments: str) -> str:
    """Runs Helm.

    Raises:
        HelmFailed: with what it said.
    """
    done = subprocess.run([binary("helm"), *arguments], capture_output=True, text=True, check=False, timeout=60)
    if done.returncode:
        raise HelmFailed(done.stderr)
    return done.stdout


@cache
def binary(name: str) -> str:
    """Where helm or kubectl is.

    Raises:
        HelmFailed: nowhere.
    """
    wanted = os.environ.get(name.upper(), str(ROOT / ".tools" / name))
    found = shutil.which(wanted) or shutil.which(name)
    if found is None:
        raise HelmFailed(f"There is no {name}: `python requirements/cluster-tools.py` gets one.")
    return found


@cache
def render(example: str, *more: str, kubernetes: str = NEWEST) -> Rendered:
    """The objects of one example, with more options of `helm template`."""
    values = str(CHART / "examples" / f"{example}.yaml")
    version = f"--kube-version={kubernetes}.0"
    text = helm("template", RELEASE, str(CHART), f"--namespace={NAMESPACE}", f"--values={values}", version, *more)
    return Rendered(tuple(one for one in yaml.load_all(text, Loader=_LOADER) if one))


def walk(value: Any) -> Iterator[Any]:
    """A value and everything in it."""
    yield value
    for child in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from walk(child)


def _pod_of(one: Object) -> Pod:
    if one["kind"] == "Pod":
        return Pod(one, one["metadata"], one["spec"])
    job = one["spec"]["jobTemplate"] if one["kind"] == "CronJob" else one
    template = job["spec"]["template"]
    return Pod(one, template["metadata"], template["spec"])


# libyaml's, where it is there: eight times as fast.
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
