"""What `helm template` makes of the upstream Milvus chart, and what can be asked about it."""

import math
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

GIB = 1024**3
GRACE_S = 30
"""terminationGracePeriodSeconds of a pod that names none."""
POLICIES = Path(__file__).parent / "policies"

Manifest = dict[str, Any]


class Unusable(Exception):
    """A chart that Helm does not render, or whose objects go by other names than ours expect."""


class Release:
    """What `helm template` makes of the chart and some values files.

    Raises:
        Unusable: Helm's own words, or what is missing.
    """

    def __init__(self, helm: str, chart: Path, *arguments: str) -> None:
        self.policies = POLICIES
        command = [helm, "template", "milvus", str(chart), "--namespace", "milvus", *arguments]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)  # noqa: S603
        if done.returncode:
            raise Unusable(f"{' '.join(command)}\n{done.stderr.strip()}")
        self.manifests: list[Manifest] = [each for each in yaml.safe_load_all(done.stdout) if each]
        if "milvus" not in {each["metadata"]["name"] for each in self.of_kind("ConfigMap")}:
            # Of nameOverride, fullnameOverride.
            raise Unusable(
                "There is no ConfigMap `milvus`. Leave nameOverride and fullnameOverride unset: helm/milvus/policies, "
                "the spreads of values-production.yaml and `milvus.uri` go by the names that the chart makes without."
            )

    def of_kind(self, *kinds: str) -> list[Manifest]:
        """The manifests of these kinds."""
        return [each for each in self.manifests if each["kind"] in kinds]

    @property
    def config(self) -> Manifest:
        """What Milvus reads: user.yaml over default.yaml.

        Raises:
            Unusable: one of them is no YAML.
        """
        (data,) = (each["data"] for each in self.of_kind("ConfigMap") if each["metadata"]["name"] == "milvus")
        try:
            merged: Manifest = over(*(yaml.safe_load(data[name]) for name in ("default.yaml", "user.yaml")))
        except yaml.YAMLError as error:
            raise Unusable(f"What Milvus would read is no YAML (extraConfigFiles?): {error}") from error
        return merged

    @property
    def workloads(self) -> list[Manifest]:
        """Everything with pods."""
        return self.of_kind("Deployment", "StatefulSet")

    @property
    def milvus(self) -> dict[str, Manifest]:
        """Milvus's own Deployments by role."""
        return {labels(each)["component"]: each for each in self.of_kind("Deployment")}

    @property
    def etcd(self) -> Manifest:
        """The StatefulSet of etcd."""
        (found,) = (each for each in self.of_kind("StatefulSet") if each["metadata"]["name"] == "milvus-etcd")
        return found


def over(below: Any, above: Any) -> Any:
    """One configuration laid over another, as Milvus lays its files."""
    if isinstance(below, dict) and isinstance(above, dict):
        return below | {key: over(below.get(key), value) for key, value in above.items()}
    return above


def pod(workload: Manifest) -> Manifest:
    """The pod that a workload makes."""
    spec: Manifest = workload["spec"]["template"]["spec"]
    return spec


def containers(workload: Manifest) -> list[Manifest]:
    """Its containers, those of the start included."""
    return [*(pod(workload).get("initContainers") or []), *pod(workload)["containers"]]


def named(container: Manifest, what: str) -> set[str]:
    """Of which resources a container has `requests` or `limits`; null says nothing about one."""
    return {name for name, amount in (container["resources"].get(what) or {}).items() if amount is not None}


def labels(manifest: Manifest) -> dict[str, str]:
    """Of a manifest."""
    found: dict[str, str] = manifest["metadata"]["labels"]
    return found


def pod_labels(workload: Manifest) -> dict[str, str]:
    """Of the pods of a workload."""
    return labels(workload["spec"]["template"])


def replicas(workload: Manifest) -> int:
    """How many pods."""
    return int(workload["spec"]["replicas"])


def grace(workload: Manifest) -> int:
    """Seconds between SIGTERM and SIGKILL."""
    return int(pod(workload).get("terminationGracePeriodSeconds", GRACE_S))


def version(image: str) -> tuple[int, ...]:
    """The tag of an image as numbers."""
    return tuple(int(part) for part in image.rsplit(":", 1)[1].split("@")[0].lstrip("v").split("."))


def from_secret(workload: Manifest, variable: str) -> str | None:
    """Of which Secret a variable comes; nothing when it is missing, or stands in the manifest."""
    for entry in containers(workload)[0].get("env") or []:
        if entry["name"] == variable:
            name: str | None = entry.get("valueFrom", {}).get("secretKeyRef", {}).get("name")
            return name
    return None


def hardened(workload: Manifest) -> bool:
    """Whether each container is as tight as an image that runs as root lets it be."""
    for container in containers(workload):
        context = pod(workload).get("securityContext", {}) | container.get("securityContext", {})
        if context.get("seccompProfile") != {"type": "RuntimeDefault"}:
            return False
        if context.get("allowPrivilegeEscalation") is not False or context.get("capabilities") != {"drop": ["ALL"]}:
            return False
    return True


def volume_at(workload: Manifest, path: str) -> str | None:
    """The kind of the volume that a path in the first container lies on."""
    mounts = [m for m in containers(workload)[0]["volumeMounts"] if Path(path).is_relative_to(m["mountPath"])]
    if not mounts:
        return None
    name = max(mounts, key=lambda mount: len(mount["mountPath"]))["name"]
    return next((key for v in pod(workload)["volumes"] if v["name"] == name for key in v if key != "name"), None)


def policies(release: Release, kind: str) -> list[Manifest]:
    """Our own manifests of this kind, that go beside a release."""
    found = (yaml.safe_load(path.read_text()) for path in sorted(release.policies.glob("*.yaml")))
    return [each for each in found if each["kind"] == kind]


def budgets(release: Release) -> list[Manifest]:
    """Those of the chart and, for a cluster, our own."""
    ours = policies(release, "PodDisruptionBudget") if "proxy" in release.milvus else []
    return [*release.of_kind("PodDisruptionBudget"), *ours]


def matches(selector: Manifest, of: dict[str, str]) -> bool:
    """Whether a label selector selects these labels."""
    return selector.get("matchLabels", {}).items() <= of.items() and all(
        of.get(rule["key"]) in rule["values"] for rule in selector.get("matchExpressions", [])
    )


def selects(budget: Manifest, workload: Manifest) -> bool:
    """Whether a budget is about the pods of a workload."""
    return matches(budget["spec"]["selector"], pod_labels(workload))


def drains(budget: Manifest, release: Release) -> bool:
    """Whether one pod at least may always go, of each workload that the budget is about (which there must be)."""
    selected = [each for each in release.workloads if selects(budget, each)]
    least, most = (budget["spec"].get(name, other) for name, other in (("minAvailable", 0), ("maxUnavailable", 1)))
    return bool(selected) and all(
        replicas(each) > _share(least, replicas(each)) and _share(most, replicas(each)) >= 1 for each in selected
    )


def _share(wanted: int | str, replicas: int) -> int:
    """A number of pods, or the percentage of them that Kubernetes rounds up."""
    return wanted if isinstance(wanted, int) else math.ceil(int(wanted.rstrip("%")) * replicas / 100)


def scraped_in(release: Release) -> Callable[[Manifest], bool]:
    """Answers for a workload whether Prometheus finds all its pods by some Service."""
    services = [
        service
        for monitor in release.of_kind("ServiceMonitor")
        for service in release.of_kind("Service")
        if matches(monitor["spec"]["selector"], labels(service))
        and {end["port"] for end in monitor["spec"]["endpoints"]} <= {port["name"] for port in service["spec"]["ports"]}
    ]
    return lambda workload: any(each["spec"]["selector"].items() <= pod_labels(workload).items() for each in services)


def fits(policy: Manifest, release: Release) -> bool:
    """Whether a network policy selects pods, and each of them has the ports that it names."""
    selected = [each for each in release.workloads if matches(policy["spec"]["podSelector"], pod_labels(each))]
    wanted = {port["port"] for rule in policy["spec"]["ingress"] for port in rule.get("ports", [])}
    return bool(selected) and all(
        wanted <= {port["name"] for c in containers(each) for port in c.get("ports", [])} for each in selected
    )


def bytes_of(quantity: str) -> int:
    """A quantity of memory."""
    units = {"Mi": 1024**2, "Gi": GIB}
    return int(quantity[:-2]) * units[quantity[-2:]]
