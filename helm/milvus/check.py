"""Renders the upstream Milvus chart with both values files and holds the result to what their comments claim.

usage: python helm/milvus/check.py CHART [--helm HELM] [--values YOURS.yaml]

CHART is a folder or a .tgz (`helm pull zilliztech/milvus --version 5.0.19`). With
`--values` an operator's own file is laid over production's, as in the installation, and checked with it. Prints one
line for each claim; exit status 1 when one does not hold, 2 when the chart cannot be rendered or goes by other names.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import rendered
from rendered import Manifest, Release, Unusable

from vitrine.tuning.plan import Demand, Node, plan_index
from vitrine.vectorstore.index_params import Hnsw

HERE = Path(__file__).parent
ROLES = {"proxy", "querynode", "streamingnode", "datanode", "mixcoord"}
STAND_INS = "externalS3.host=s3.example.com,externalS3.region=eu-central-1,externalS3.bucketName=shop"
"""What production's file leaves to the operator."""

Claim = tuple[str, Callable[[], bool]]


def both(release: Release, claims_of_one: list[Claim]) -> Iterator[Claim]:
    """Claims of either file, then those of the one."""
    config, images = release.config, [c["image"] for w in release.workloads for c in rendered.containers(w)]
    yield "every image has a version of its own", lambda: all(":" in i and not i.endswith(":latest") for i in images)
    yield (
        "Milvus is 2.6.10 or newer",
        lambda: all(rendered.version(image) >= (2, 6, 10) for image in images if "/milvus:" in image),
    )
    yield (
        "nothing of MinIO or Pulsar is installed",
        lambda: not any(word in image for image in images for word in ("minio", "pulsar")),
    )
    yield "the queue is woodpecker", lambda: config["mq"]["type"] == "woodpecker"
    yield (
        "no manifest holds a secret",
        (
            lambda: (
                not config["minio"]["accessKeyID"]
                and not config["minio"]["secretAccessKey"]
                and not release.of_kind("Secret")
            )
        ),
    )
    yield (
        "Milvus stops by itself before the kubelet kills it",
        lambda: config["common"]["gracefulStopTimeout"] < min(map(rendered.grace, release.milvus.values())),
    )
    yield (
        "memory is requested and limited everywhere, CPU requested",
        lambda: all(
            {"cpu", "memory"} <= rendered.named(c, "requests") and "memory" in rendered.named(c, "limits")
            for w in release.workloads
            for c in rendered.containers(w)
        ),
    )
    yield (
        "no container gains privileges or keeps a capability; seccomp is on",
        lambda: all(map(rendered.hardened, release.workloads)),
    )
    yield (
        "etcd does not run as root",
        lambda: rendered.containers(release.etcd)[0]["securityContext"]["runAsNonRoot"] is True,
    )
    yield (
        "no budget blocks a drain for good",
        lambda: all(rendered.drains(b, release) for b in rendered.budgets(release)),
    )
    yield from claims_of_one


def dev(release: Release) -> list[Claim]:
    """What values-dev.yaml says."""
    config, standalone = release.config, release.milvus["standalone"]
    return [
        (
            "there is one process and one etcd",
            lambda: release.milvus.keys() == {"standalone"} and rendered.replicas(release.etcd) == 1,
        ),
        (
            "segments and log go to the local disk",
            lambda: config["common"]["storageType"] == "local" and config["woodpecker"]["storage"]["type"] == "local",
        ),
        (
            "that disk is a volume, not an emptyDir laid over it",
            lambda: rendered.volume_at(standalone, "/var/lib/milvus/data") == "persistentVolumeClaim",
        ),
        (
            "the log is on the volume, too",
            lambda: (
                rendered.volume_at(standalone, config["woodpecker"]["storage"]["rootPath"]) == "persistentVolumeClaim"
            ),
        ),
        (
            "uninstalling takes the volume away",
            lambda: all(
                "helm.sh/resource-policy" not in (each["metadata"].get("annotations") or {})
                for each in release.of_kind("PersistentVolumeClaim")
            ),
        ),
    ]


def production(release: Release) -> list[Claim]:
    """What values-production.yaml says."""
    config, milvus, minio = release.config, release.milvus, release.config["minio"]

    def node() -> Manifest:
        resources: Manifest = rendered.containers(milvus["querynode"])[0]["resources"]
        return resources

    return [
        ("every role runs apart", lambda: milvus.keys() == ROLES),
        ("every role runs twice", lambda: all(rendered.replicas(each) >= 2 for each in milvus.values())),
        (
            "collections are loaded twice, and there is a query node for each copy",
            (
                lambda: (
                    2 <= config["queryCoord"]["clusterLevelLoadReplicaNumber"] <= rendered.replicas(milvus["querynode"])
                    and config["queryCoord"]["clusterLevelLoadResourceGroups"] == "__default_resource_group"
                )
            ),
        ),
        (
            "the two copies are never on one machine",
            lambda: any(
                rule["topologyKey"] == "kubernetes.io/hostname" and rule["whenUnsatisfiable"] == "DoNotSchedule"
                for rule in rendered.pod(milvus["querynode"])["topologySpreadConstraints"]
            ),
        ),
        (
            "every spread counts the pods that it spreads",
            lambda: all(
                rule["labelSelector"]["matchLabels"].items() <= rendered.pod_labels(each).items()
                for each in milvus.values()
                for rule in rendered.pod(each).get("topologySpreadConstraints", [])
            ),
        ),
        (
            "a second coordinator stands by",
            (
                lambda: (
                    all(
                        config[coordinator]["enableActiveStandby"] is True
                        for coordinator in ("rootCoord", "dataCoord", "queryCoord")
                    )
                    and milvus["mixcoord"]["spec"].get("strategy", {}).get("type") != "Recreate"
                )
            ),
        ),
        (
            "query nodes hold what `vitrine plan` says, twice for a blue-green change",
            lambda: _holds(node(), rendered.replicas(milvus["querynode"])),
        ),
        (
            "query nodes request the memory that they are limited to",
            lambda: node()["requests"]["memory"] == node()["limits"]["memory"],
        ),
        (
            "segments and log go to S3 by TLS",
            (
                lambda: (
                    bool(minio["address"] and minio["bucketName"])
                    and minio["useSSL"] is True
                    and config["woodpecker"]["storage"]["type"] == "minio"
                    and config["common"].get("storageType") != "local"
                )
            ),
        ),
        (
            "S3 lets everyone in by a role, or by keys from a Secret",
            (
                lambda: (
                    minio["useIAM"] is True
                    or all(
                        rendered.from_secret(each, name) == "milvus-s3"
                        for each in milvus.values()
                        for name in ("MINIO_ACCESS_KEY_ID", "MINIO_SECRET_ACCESS_KEY")
                    )
                )
            ),
        ),
        ("callers need a password", lambda: config["common"]["security"]["authorizationEnabled"] is True),
        (
            "root's first password comes from a Secret, in every part of Milvus",
            lambda: all(
                rendered.from_secret(each, "COMMON_SECURITY_DEFAULT_ROOT_PASSWORD") == "milvus-root"
                for each in milvus.values()
            ),
        ),
        (
            "callers come by TLS, with the certificate of a mounted Secret",
            (
                lambda: (
                    config["common"]["security"]["tlsMode"] >= 1
                    and all(
                        rendered.volume_at(milvus["proxy"], config["tls"][path]) == "secret"
                        for path in ("serverPemPath", "serverKeyPath")
                    )
                )
            ),
        ),
        (
            "traces go out as the collector takes them",
            lambda: (
                config.get("trace", {}).get("exporter") == "otlp" and config["trace"]["otlp"].get("secure") is False
            ),
        ),
        (
            "there are three etcds on three machines with disks",
            (
                lambda: (
                    rendered.replicas(release.etcd) == 3
                    and bool(release.etcd["spec"]["volumeClaimTemplates"])
                    and "requiredDuringSchedulingIgnoredDuringExecution"
                    in rendered.pod(release.etcd)["affinity"]["podAntiAffinity"]
                )
            ),
        ),
        (
            "every workload has a budget",
            lambda: all(
                any(rendered.selects(budget, each) for budget in rendered.budgets(release))
                for each in release.workloads
            ),
        ),
        ("every part of Milvus is scraped", lambda: all(map(rendered.scraped_in(release), milvus.values()))),
        (
            "each network policy selects pods, and names ports that they have",
            lambda: all(rendered.fits(policy, release) for policy in rendered.policies(release, "NetworkPolicy")),
        ),
    ]


def _holds(resources: Manifest, nodes: int) -> bool:
    memory = rendered.bytes_of(resources["limits"]["memory"])
    node = Node(memory_gib=memory / rendered.GIB, cores=int(resources["requests"]["cpu"]))
    plan = plan_index(Hnsw(M=16, ef=64), Demand(vectors=10**6, dimension=512, qps=500), node)
    return plan.nodes <= nodes and 2 * plan.memory_of_replicas <= nodes * node.usable_memory


def fails(held: Callable[[], bool]) -> str | None:
    """Why a claim does not hold; nothing when it does. What a claim is about may be missing altogether."""
    try:
        return None if held() else "no"
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        return f"there is nothing to look at: {type(error).__name__}: {error}"


def checked(helm: str, chart: Path, *of_production: str) -> Iterator[tuple[str, str, str | None]]:
    """(values file, claim, why it fails), for both files; the arguments of Helm are laid over production's.

    Raises:
        Unusable: the chart is not rendered, or nothing can be said about what it makes.
    """
    for name, claims_of, extra in (("dev", dev, ()), ("production", production, of_production)):
        release = Release(helm, chart, f"--values={HERE / f'values-{name}.yaml'}", *extra)
        for claim, held in both(release, claims_of(release)):
            yield name, claim, fails(held)


def main() -> int:
    """Prints the claims; how many do not hold decides the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("chart", type=Path)
    parser.add_argument("--helm", default="helm", help="the helm binary (default: the one on the PATH)")
    parser.add_argument("--values", type=Path, help="a file of your own over production's")
    given = parser.parse_args()
    own = f"--values={given.values}" if given.values else f"--set={STAND_INS}"
    failed = 0
    try:
        for name, claim, why in checked(given.helm, given.chart, own):
            failed += why is not None
            reason = f" ({why})" if why not in {None, "no"} else ""
            sys.stdout.write(f"{name:10}  {'FAIL' if why else 'ok  '}  {claim}{reason}\n")
    except Unusable as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
