"""Shows that each claim of check.py can fail: breaks what it is about, one thing at a time, and wants it to say so.

usage: python helm/milvus/mutations.py CHART [--helm HELM]

CHART as for check.py. Exit status 1 when a claim still holds with its subject broken, or when no mutation is about it.
"""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import check
import rendered


@dataclass(frozen=True)
class Mutation:
    """One thing broken, and the claim that is about it."""

    claim: str
    sets: tuple[str, ...] = ()
    """Laid over the values, as `helm --set` takes them."""
    words: tuple[str, str] | None = None
    """Words of the values file, and what stands in their place."""
    policy: tuple[str, str, str] | None = None
    """The same of a file in helm/milvus/policies, which comes first."""


DEV: Final = (
    Mutation("every image has a version of its own", sets=("image.all.tag=latest",)),
    Mutation("Milvus is 2.6.10 or newer", sets=("image.all.tag=v2.6.9",)),
    Mutation("nothing of MinIO or Pulsar is installed", sets=("pulsarv3.enabled=true",)),
    Mutation("the queue is woodpecker", sets=("standalone.messageQueue=rocksmq",)),
    Mutation("no manifest holds a secret", sets=("minio.secretKey=minioadmin",)),
    Mutation("Milvus stops by itself before the kubelet kills it", words=("Timeout: 25", "Timeout: 1800")),
    Mutation("memory is requested and limited everywhere, CPU requested", sets=("standalone.resources.limits=null",)),
    Mutation(
        "no container gains privileges or keeps a capability; seccomp is on",
        sets=("containerSecurityContext.allowPrivilegeEscalation=true",),
    ),
    Mutation("etcd does not run as root", sets=("etcd.containerSecurityContext.runAsNonRoot=false",)),
    Mutation("no budget blocks a drain for good", sets=("etcd.pdb.create=true", "etcd.pdb.minAvailable=1")),
    Mutation("there is one process and one etcd", sets=("etcd.replicaCount=3",)),
    Mutation("segments and log go to the local disk", words=("storageType: local", "storageType: remote")),
    Mutation("that disk is a volume, not an emptyDir laid over it", sets=("standalone.disk.enabled=true",)),
    Mutation(
        "the log is on the volume, too",
        words=("    common:\n", "    woodpecker: {storage: {rootPath: /tmp/log}}\n    common:\n"),
    ),
    Mutation(
        "uninstalling takes the volume away",
        sets=(r"standalone.persistence.annotations.helm\.sh/resource-policy=keep",),
    ),
)
PRODUCTION: Final = (
    Mutation("every image has a version of its own", sets=("etcd.image.tag=latest",)),
    Mutation("Milvus is 2.6.10 or newer", sets=("image.all.tag=v2.5.20",)),
    Mutation("nothing of MinIO or Pulsar is installed", sets=("minio.enabled=true",)),
    Mutation("the queue is woodpecker", words=("type: woodpecker", "type: pulsar")),
    Mutation("no manifest holds a secret", sets=("externalS3.secretKey=open",)),
    Mutation("Milvus stops by itself before the kubelet kills it", words=("Timeout: 25", "Timeout: 30")),
    Mutation("memory is requested and limited everywhere, CPU requested", sets=("proxy.resources.requests.cpu=null",)),
    Mutation(
        "no container gains privileges or keeps a capability; seccomp is on",
        sets=("securityContext.seccompProfile=null",),
    ),
    Mutation("etcd does not run as root", sets=("etcd.containerSecurityContext.runAsNonRoot=false",)),
    Mutation("no budget blocks a drain for good", sets=("etcd.pdb.minAvailable=3",)),
    Mutation("every role runs apart", sets=("mixCoordinator.enabled=false",)),
    Mutation("every role runs twice", sets=("dataNode.replicas=1",)),
    Mutation(
        "collections are loaded twice, and there is a query node for each copy",
        words=("ReplicaNumber: 2", "ReplicaNumber: 3"),
    ),
    Mutation("the two copies are never on one machine", words=("able: DoNotSchedule", "able: ScheduleAnyway")),
    Mutation("every spread counts the pods that it spreads", words=("component: querynode", "component: queryNode")),
    Mutation("a second coordinator stands by", sets=("mixCoordinator.activeStandby.enabled=false",)),
    Mutation(
        "query nodes hold what `vitrine plan` says, twice for a blue-green change",
        sets=("queryNode.resources.limits.memory=5Gi",),
    ),
    Mutation(
        "query nodes request the memory that they are limited to", sets=("queryNode.resources.requests.memory=4Gi",)
    ),
    Mutation("segments and log go to S3 by TLS", sets=("externalS3.useSSL=false",)),
    Mutation(
        "S3 lets everyone in by a role, or by keys from a Secret", words=("MINIO_SECRET_ACCESS_KEY", "MINIO_SECRET_KEY")
    ),
    Mutation("callers need a password", words=("authorizationEnabled: true", "authorizationEnabled: false")),
    Mutation(
        "root's first password comes from a Secret, in every part of Milvus", sets=("streamingNode.extraEnv=null",)
    ),
    Mutation(
        "callers come by TLS, with the certificate of a mounted Secret", words=("certs/tls.key\n", "private/tls.key\n")
    ),
    Mutation("traces go out as the collector takes them", words=("secure: false", "secure: true")),
    Mutation("there are three etcds on three machines with disks", sets=("etcd.podAntiAffinityPreset=soft",)),
    Mutation("every workload has a budget", policy=("budget-proxy.yaml", "component: proxy", "component: porxy")),
    Mutation("every part of Milvus is scraped", sets=("metrics.serviceMonitor.enabled=false",)),
    Mutation(
        "each network policy selects pods, and names ports that they have",
        policy=("network-metrics.yaml", "port: metrics", "port: metric"),
    ),
)


def surviving(
    helm: str, chart: Path, name: str, claims_of: Callable[[rendered.Release], list[check.Claim]], mutation: Mutation
) -> Iterator[str]:
    """What went on as if nothing were broken; nothing when the claim failed as it should."""
    values = check.HERE / f"values-{name}.yaml"
    with tempfile.TemporaryDirectory() as folder:
        broken = Path(shutil.copy(values, folder))
        if mutation.words:
            _replace(broken, *mutation.words)
        policies = Path(shutil.copytree(rendered.POLICIES, Path(folder) / "policies"))
        if mutation.policy:
            _replace(policies / mutation.policy[0], *mutation.policy[1:])
        own = [] if name == "dev" else [f"--set={check.STAND_INS}"]
        release = rendered.Release(helm, chart, f"--values={broken}", *own, *(f"--set={one}" for one in mutation.sets))
        release.policies = policies
        claims = dict(check.both(release, claims_of(release)))
        if check.fails(claims[mutation.claim]) is None:
            yield mutation.claim


def _replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    if old not in text:
        raise rendered.Unusable(f"{path.name} does not say `{old}`: mend the mutation.")
    path.write_text(text.replace(old, new))


def main() -> int:
    """Prints what was broken and whether it was seen; decides the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("chart", type=Path)
    parser.add_argument("--helm", default="helm", help="the helm binary (default: the one on the PATH)")
    given = parser.parse_args()
    survived = 0
    try:
        for name, claims_of, mutations in (("dev", check.dev, DEV), ("production", check.production, PRODUCTION)):
            for mutation in mutations:
                kept = list(surviving(given.helm, given.chart, name, claims_of, mutation))
                survived += bool(kept)
                sys.stdout.write(f"{name:10}  {'KEPT' if kept else 'seen'}  {mutation.claim}\n")
        made = [(name, claim) for name, claim, _ in check.checked(given.helm, given.chart, f"--set={check.STAND_INS}")]
    except rendered.Unusable as error:
        sys.stderr.write(f"{error}\n")
        return 2
    shown = {("dev", each.claim) for each in DEV} | {("production", each.claim) for each in PRODUCTION}
    for name, claim in made:
        if (name, claim) not in shown:
            survived += 1
            sys.stdout.write(f"{name:10}  NONE  {claim}\n")
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main())
