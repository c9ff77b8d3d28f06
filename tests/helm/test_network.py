"""The NetworkPolicies allow the flows that docs/architecture.md draws, and no others."""

import re
from collections.abc import Mapping
from typing import Any, Final

import pytest

from tests.helm.rendering import NAMESPACE, ROOT, Object, Rendered, render

# Who a peer is, by its own label; the chart's components by theirs.
NAMES: Final[Mapping[str, str]] = {"prometheus": "prometheus", "milvus": "milvus"}
# Beside the picture: what every pod, or an operator's own rule, adds. `helm test` and the load test are callers like
# any other, and the latter's workers tell its master what they saw.
SUPPORT: Final = {("test", "gateway"), ("loadtest", "gateway"), ("loadtest", "loadtest")}
PORTS: Final[Mapping[str, set[int]]] = {
    "gateway": {8080, 9090},
    "indexer": {9090},
    "triton": {8000, 8002},
    "milvus": {19530, 9091},
    "loadtest": {5557},
}
METRICS: Final[Mapping[str, int]] = {"gateway": 9090, "indexer": 9090, "triton": 8002, "milvus": 9091}
Flow = tuple[str, str]


def documented() -> set[Flow]:
    """The arrows of the picture between processes."""
    picture = (ROOT / "docs" / "architecture.md").read_text().split("```mermaid")[1].split("```")[0]
    flows = set()
    for start, ends in re.findall(
        r"^\s*(\w+)(?:[(\[].*?[)\]])?\s+(?:--|-\.)\s.*\s(?:-->|\.->)\s*(.+)$", picture, re.MULTILINE
    ):
        for end in ends.split("&"):
            flows.add((start, re.split(r"[\[(]", end.strip())[0]))
    # The operator starts the Job through Kubernetes, not over the network of its pods.
    return flows - {("operator", "indexer")}


def _who(peer: Object) -> str:
    labels: dict[str, Any] = peer.get("podSelector", {}).get("matchLabels", {})
    if "app.kubernetes.io/component" in labels:
        return str(labels["app.kubernetes.io/component"])
    if labels.get("k8s-app") == "kube-dns":
        return "dns"
    return NAMES.get(labels.get("app.kubernetes.io/name", ""), "shopper" if "ipBlock" not in peer else "outside")


def _policies(rendered: Rendered) -> dict[str, Object]:
    return {one["metadata"]["name"].removeprefix("demo-"): one["spec"] for one in rendered.of("NetworkPolicy")}


def _incoming(rendered: Rendered) -> set[tuple[str, str, int]]:
    found = set()
    for spec in _policies(rendered).values():
        end = _who(spec)
        for rule in spec.get("ingress", []):
            for peer in rule["from"]:
                for port in rule.get("ports", [{"port": 0}]):
                    found.add((_who(peer), end, port["port"]))
    return found


def _outgoing(rendered: Rendered) -> set[tuple[str, str, int]]:
    found = set()
    for spec in _policies(rendered).values():
        for rule in spec.get("egress", []):
            for peer in rule["to"]:
                for port in rule["ports"]:
                    found.add((_who(spec), _who(peer), port["port"]))
    return found


def test_the_picture_has_the_flows_that_this_test_can_read() -> None:
    assert documented() == {
        *(("shopper", "gateway"), ("gateway", "triton"), ("indexer", "triton"), ("gateway", "milvus")),
        *(("indexer", "milvus"), ("prometheus", "gateway"), ("prometheus", "triton"), ("prometheus", "milvus")),
        ("prometheus", "indexer"),
    }


def test_what_may_come_in_is_what_the_picture_draws() -> None:
    rendered = render("dev")
    flows = {(start, end) for start, end, _ in _incoming(rendered)}
    # Milvus's own components talk among themselves.
    assert flows - SUPPORT - {("milvus", "milvus")} == documented()


def test_what_may_go_out_is_what_the_picture_draws() -> None:
    flows = {(start, end) for start, end, _ in _outgoing(render("dev")) if end != "dns"}
    assert flows - SUPPORT == {flow for flow in documented() if flow[0] in {"gateway", "indexer", "triton"}}


def test_no_flow_has_a_port_that_nobody_listens_on(rendered: Rendered) -> None:
    for start, end, port in _incoming(rendered):
        assert (start, end, port) == ("milvus", "milvus", 0) or port in PORTS[end]
        if end in METRICS:
            assert (port == METRICS[end]) is (start == "prometheus"), (start, end, port)


def test_both_ends_of_a_flow_agree(rendered: Rendered) -> None:
    incoming, outgoing = _incoming(rendered), _outgoing(rendered)
    inside = {"gateway", "triton", "milvus", "loadtest"}
    assert {flow for flow in outgoing if flow[1] in inside} <= incoming
    ours = {"gateway", "indexer", "test", "loadtest"}
    present = {pod.component for pod in rendered.pods}
    assert {flow for flow in incoming if flow[0] in ours & present} <= outgoing


def test_every_pod_of_the_release_is_denied_by_default(rendered: Rendered) -> None:
    spec = _policies(rendered).get("default-deny") or _policies(rendered)["shop-search-default-deny"]
    assert set(spec["policyTypes"]) == {"Ingress", "Egress"}
    assert "ingress" not in spec
    assert "egress" not in spec
    assert rendered.selected(spec["podSelector"]["matchLabels"]) == rendered.pods


def test_every_component_has_a_policy_of_its_own(rendered: Rendered) -> None:
    guarded = {_who(spec) for spec in _policies(rendered).values()}
    assert {pod.component for pod in rendered.pods} <= guarded


def test_every_policy_selects_pods(rendered: Rendered) -> None:
    for name, spec in _policies(rendered).items():
        if not name.endswith("milvus"):
            labels = spec["podSelector"]["matchLabels"]
            optional = labels.get("app.kubernetes.io/component") == "indexer"
            assert rendered.selected(labels) or optional, name


def test_milvus_in_another_namespace_is_guarded_there_and_told_from_where_callers_come() -> None:
    rendered = render("everything")
    (one,) = [policy for policy in rendered.of("NetworkPolicy") if policy["metadata"]["name"].endswith("milvus")]
    assert one["metadata"]["namespace"] == "vector"
    for peer in one["spec"]["ingress"][0]["from"]:
        assert peer["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": NAMESPACE}
    for component in ("gateway", "indexer"):
        spec = _policies(rendered)[f"shop-search-{component}"]
        (peer,) = [peer for rule in spec["egress"] for peer in rule["to"] if _who(peer) == "milvus"]
        assert peer["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "vector"}


def test_only_the_copying_container_and_a_collector_let_triton_out(rendered: Rendered) -> None:
    out = {end for start, end, _ in _outgoing(rendered) if start == "triton"}
    (triton,) = rendered.pods_of("triton")
    copies = bool(triton.spec.get("initContainers"))
    traces = any(argument.startswith("--trace-config") for argument in triton.spec["containers"][0]["args"])
    # The example with a copying container also has a collector.
    assert out == ({"outside"} if copies else set()) | ({"dns", "shopper"} if copies or traces else set())


def test_a_collector_makes_the_only_way_out_of_a_triton_that_copies_nothing() -> None:
    rule = '[{"to":[{"ipBlock":{"cidr":"203.0.113.0/24"}}],"ports":[{"protocol":"TCP","port":4318}]}]'
    for component in ("triton", "indexer", "gateway"):
        rendered = render("dev", f"--set-json=networkPolicy.{component}Egress={rule}")
        added = _outgoing(rendered) - _outgoing(render("dev"))
        assert (component, "outside", 4318) in added
        assert {flow[0] for flow in added} == {component}


@pytest.mark.parametrize("peers", ["clients", "prometheus", "dns"])
def test_an_empty_list_of_peers_lets_nobody_in_and_not_everybody(peers: str) -> None:
    """Kubernetes reads a rule without peers as a rule for all."""
    for example in ("minimal", "everything"):
        rendered = render(example, f"--set-json=networkPolicy.{peers}=[]")
        for spec in _policies(rendered).values():
            for rule in spec.get("ingress", []):
                assert rule["from"]
            for rule in spec.get("egress", []):
                assert rule["to"]
        fewer = _incoming(rendered) | _outgoing(rendered)
        assert fewer < _incoming(render(example)) | _outgoing(render(example))


def test_a_milvus_outside_the_cluster_is_reached_by_address_and_guarded_by_others() -> None:
    rendered = render("minimal", "--set=milvus.uri=https://cloud.example:443", "--set=milvus.cidrs={203.0.113.0/24}")
    assert "milvus" not in _policies(rendered)
    assert ("gateway", "outside", 443) in _outgoing(rendered)


@pytest.mark.parametrize("example", ["dev"])
def test_policies_can_be_left_to_others(example: str) -> None:
    assert not render(example, "--set=networkPolicy.enabled=false").of("NetworkPolicy")
