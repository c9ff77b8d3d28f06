"""Our own objects in Milvus's namespace fit the pods of our chart. `helm/milvus/check.py` fits them to Milvus's."""

from typing import Final

import kubernetes_validate
import pytest
import yaml

from tests.helm.rendering import NEWEST, ROOT, Object, render

POLICIES: Final = {path.stem: path for path in sorted((ROOT / "helm" / "milvus" / "policies").glob("*.yaml"))}


def _read(name: str) -> Object:
    policy: Object = yaml.safe_load(POLICIES[name].read_text())
    return policy


def _lets_in(peer: Object, namespace: str, labels: dict[str, str]) -> bool:
    pods = peer["podSelector"]
    return (
        peer["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": namespace}
        and pods.get("matchLabels", {}).items() <= labels.items()
        and all(labels.get(rule["key"]) in rule["values"] for rule in pods.get("matchExpressions", []))
    )


@pytest.mark.parametrize("version", ["1.30", NEWEST])
@pytest.mark.parametrize("name", POLICIES)
def test_every_policy_is_valid(name: str, version: str) -> None:
    kubernetes_validate.validate(_read(name), version, strict=True)


@pytest.mark.parametrize("example", ["production-gpu", "everything"])
def test_gateway_and_indexer_reach_milvus_and_nobody_else_of_ours(example: str) -> None:
    (rule,) = _read("network-clients")["spec"]["ingress"]
    (peer,) = rule["from"]
    pods = render(example).pods
    let_in = {pod.component for pod in pods if _lets_in(peer, "vitrine", pod.metadata["labels"])}
    assert let_in == {"gateway", "indexer"}
    assert not any(_lets_in(peer, "another", pod.metadata["labels"]) for pod in pods)


def test_every_port_of_milvus_is_closed_to_those_that_no_policy_names() -> None:
    isolated = _read("network-isolated")["spec"]
    assert isolated["podSelector"] == {}
    assert isolated["policyTypes"] == ["Ingress"]
    assert isolated["ingress"] == [{"from": [{"podSelector": {}}]}]


@pytest.mark.parametrize(("example", "host"), [("dev", "milvus:19530"), ("production-gpu", "milvus.milvus:19530")])
def test_the_example_names_the_milvus_that_make_deploy_installs(example: str, host: str) -> None:
    (gateway,) = render(example).pods_of("gateway")
    address = render(example).environment(gateway.containers[0])["VITRINE_MILVUS__URI"]
    assert str(address).split("://")[1] == host
