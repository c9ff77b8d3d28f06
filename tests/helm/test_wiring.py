"""Objects find each other: selectors, ports, probes, claims, targets."""

import pytest
from starlette.routing import Route

from tests.helm.rendering import NAMESPACE, Pod, Rendered, render
from vitrine.gateway import app as gateway
from vitrine.local.service import HUGE_PAGES
from vitrine.settings import AuthSettings, Settings
from vitrine.telemetry.metrics import GatewayMetrics

# Triton's own, of the KServe protocol; tests/integration/local/test_triton_as_rendered.py asks a real one.
TRITON_PATHS = {"/v2/health/live", "/v2/health/ready", "/metrics"}


def _gateway_paths() -> set[str]:
    app = gateway.create_app(Settings(auth=AuthSettings(mode="off")))
    return set(app.openapi()["paths"])


def _ports(pod: Pod) -> dict[str, int]:
    return {port["name"]: port["containerPort"] for one in pod.spec["containers"] for port in one.get("ports", [])}


def test_every_selector_matches_pods_of_the_release(rendered: Rendered) -> None:
    for service in rendered.of("Service"):
        assert rendered.selected(service["spec"]["selector"]), service["metadata"]["name"]
    for one in rendered.of("Deployment"):
        (pod,) = rendered.selected(one["spec"]["selector"]["matchLabels"])
        assert pod.owner is one
    for one in rendered.of("PodDisruptionBudget", "PodMonitor"):
        assert rendered.selected(one["spec"]["selector"]["matchLabels"]), one["metadata"]["name"]
    for pod in rendered.pods:
        for spread in pod.spec.get("topologySpreadConstraints", []):
            assert pod in rendered.selected(spread["labelSelector"]["matchLabels"])


def test_selectors_of_different_deployments_and_services_do_not_overlap(rendered: Rendered) -> None:
    for service in rendered.of("Service"):
        assert len({pod.component for pod in rendered.selected(service["spec"]["selector"])}) == 1


def test_every_service_port_names_a_port_of_its_pods(rendered: Rendered) -> None:
    for service in rendered.of("Service"):
        for pod in rendered.selected(service["spec"]["selector"]):
            for port in service["spec"]["ports"]:
                assert port["targetPort"] in _ports(pod)


def _indexes(pod: Pod) -> bool:
    arguments = pod.spec["containers"][0].get("args", [])
    return any(argument.startswith("--catalogue=") for argument in arguments)


def test_monitors_scrape_ports_that_are_there(rendered: Rendered) -> None:
    for one in rendered.of("PodMonitor"):
        (endpoint,) = one["spec"]["podMetricsEndpoints"]
        pods = rendered.selected(one["spec"]["selector"]["matchLabels"])
        # Of the indexer's pods those that index; the others have nothing to be scraped.
        indexing = [pod for pod in pods if pod.component != "indexer" or _indexes(pod)]
        assert indexing
        assert [pod for pod in pods if endpoint["port"] in _ports(pod)] == indexing


def test_metrics_are_on_a_port_of_their_own_that_no_service_has(rendered: Rendered) -> None:
    for component in ("gateway", "triton"):
        (pod,) = rendered.pods_of(component)
        assert "metrics" in _ports(pod)
    for service in rendered.of("Service"):
        assert "metrics" not in {port["targetPort"] for port in service["spec"]["ports"]}


def test_the_gateway_listens_where_its_pod_says(rendered: Rendered) -> None:
    (pod,) = rendered.pods_of("gateway")
    told = rendered.environment(pod.spec["containers"][0])
    listening = {"http": told["VITRINE_GATEWAY__PORT"], "metrics": told["VITRINE_TELEMETRY__METRICS_PORT"]}
    assert {name: str(port) for name, port in _ports(pod).items()} == listening
    assert {told["VITRINE_GATEWAY__HOST"], told["VITRINE_TELEMETRY__METRICS_HOST"]} == {"0.0.0.0"}  # noqa: S104


def test_every_probe_asks_a_path_that_the_program_has(rendered: Rendered) -> None:
    paths = {"gateway": _gateway_paths(), "triton": TRITON_PATHS}
    for component, known in paths.items():
        (pod,) = rendered.pods_of(component)
        (container,) = pod.spec["containers"]
        for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
            asked = container[kind]["httpGet"]
            assert asked["path"] in known
            assert asked["port"] in _ports(pod)


def test_liveness_of_the_gateway_depends_on_nothing(rendered: Rendered) -> None:
    (pod,) = rendered.pods_of("gateway")
    (container,) = pod.spec["containers"]
    assert container["livenessProbe"]["httpGet"]["path"] == "/livez"
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert container["readinessProbe"]["timeoutSeconds"] > Settings().gateway.readiness_timeout_s


def test_the_gateway_listens_where_its_service_sends(rendered: Rendered) -> None:
    (pod,) = rendered.pods_of("gateway")
    environment = rendered.environment(pod.spec["containers"][0])
    assert environment["VITRINE_GATEWAY__PORT"] == str(_ports(pod)["http"])
    assert environment["VITRINE_GATEWAY__HOST"] == "0.0.0.0"  # noqa: S104 - in a pod


def test_the_address_of_triton_is_its_headless_service(rendered: Rendered) -> None:
    for pod in [*rendered.pods_of("gateway"), *rendered.pods_of("indexer")]:
        url = rendered.environment(pod.spec["containers"][0])["VITRINE_TRITON__URL"]
        assert isinstance(url, str)
        host, _, port = url.removeprefix("http://").partition(":")
        service = rendered.named("Service", host.partition(".")[0])
        assert service["spec"]["clusterIP"] == "None"
        # Of a headless Service the client meets the pod's own port.
        (triton,) = rendered.selected(service["spec"]["selector"])
        assert int(port) == _ports(triton)["http"]


def test_a_drain_is_never_blocked(rendered: Rendered) -> None:
    budgets = rendered.of("PodDisruptionBudget")
    assert {one["spec"]["selector"]["matchLabels"]["app.kubernetes.io/component"] for one in budgets} == {
        "gateway",
        "triton",
    }
    for one in budgets:
        assert "minAvailable" not in one["spec"]
        assert one["spec"]["maxUnavailable"] >= 1
        assert one["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


def test_autoscalers_scale_deployments_that_leave_it_to_them(rendered: Rendered) -> None:
    scaled = set()
    for one in rendered.of("HorizontalPodAutoscaler", "ScaledObject"):
        target = one["spec"]["scaleTargetRef"]
        deployment = rendered.named(target["kind"], target["name"])
        assert deployment["apiVersion"] == target["apiVersion"]
        # With a number here every upgrade would set the pods back to it.
        assert "replicas" not in deployment["spec"]
        assert target["name"] not in scaled, "Two autoscalers would fight over one Deployment."
        scaled.add(target["name"])
        for metric in one["spec"].get("metrics", []):
            if metric["type"] == "ContainerResource":
                named = {c["name"]: c for c in deployment["spec"]["template"]["spec"]["containers"]}
                assert "cpu" in named[metric["containerResource"]["container"]]["resources"]["requests"]
    for deployment in rendered.of("Deployment"):
        assert ("replicas" in deployment["spec"]) is (deployment["metadata"]["name"] not in scaled)


@pytest.mark.parametrize("example", ["production-gpu", "everything"])
def test_gateways_follow_a_metric_that_they_have_and_cpu_without_it(example: str) -> None:
    (one,) = [
        hpa for hpa in render(example).of("HorizontalPodAutoscaler") if hpa["metadata"]["name"].endswith("gateway")
    ]
    wanted, fallback = one["spec"]["metrics"]
    metrics = GatewayMetrics(version="0", routes=(), codes=(), dependencies=())
    assert wanted["pods"]["metric"]["name"] in {family.name for family in metrics.registry.collect()}
    assert fallback["containerResource"]["name"] == "cpu"


def test_triton_follows_its_queue_over_its_work() -> None:
    (one,) = render("production-gpu").of("ScaledObject")
    (trigger,) = one["spec"]["triggers"]
    queued, _, computed = trigger["metadata"]["query"].partition(" / ")
    own = f'{{namespace="{NAMESPACE}",pod=~"{one["metadata"]["name"]}-[a-z0-9]+-[a-z0-9]+"}}'
    assert queued == f"sum(rate(nv_inference_queue_duration_us{own}[2m]))"
    assert computed == f"clamp_min(sum(rate(nv_inference_compute_infer_duration_us{own}[2m])), 1)"
    # Of a sum over all pods: the default would divide the ratio by their number.
    assert trigger["metricType"] == "Value"
    assert float(trigger["metadata"]["threshold"]) > 0
    # Prometheus that lost its targets has no answer, and no answer is not an empty queue.
    assert trigger["metadata"]["ignoreNullValues"] == "false"
    assert "authenticationRef" not in trigger
    (other,) = render("production-gpu", "--set=triton.autoscaling.triggerAuthentication=prometheus").of("ScaledObject")
    assert other["spec"]["triggers"][0]["authenticationRef"] == {"name": "prometheus"}


def test_tainted_nodes_do_not_count_where_pods_are_spread(rendered: Rendered) -> None:
    """A GPU node that no gateway can use would count as one with none, and keep the others at one each."""
    spread = [(pod, rule) for pod in rendered.pods for rule in pod.spec.get("topologySpreadConstraints", [])]
    assert {pod.component for pod, _ in spread} == {"gateway", "triton"}
    assert {rule["topologyKey"] for _, rule in spread} == {"kubernetes.io/hostname", "topology.kubernetes.io/zone"}
    for _, rule in spread:
        assert rule["nodeTaintsPolicy"] == "Honor"


def test_a_rollout_can_always_go_on(rendered: Rendered) -> None:
    for one in rendered.of("Deployment"):
        strategy = one["spec"]["strategy"]
        if strategy["type"] == "RollingUpdate":
            assert strategy["rollingUpdate"]["maxSurge"] + strategy["rollingUpdate"]["maxUnavailable"] > 0
        else:
            # The toolbox, whose claim may be of one node.
            assert strategy == {"type": "Recreate"}
            assert one["metadata"]["name"].endswith("-toolbox")


def test_gpu_pods_need_no_spare_gpu_to_roll() -> None:
    (triton,) = render("production-gpu").pods_of("triton")
    assert triton.spec["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert triton.owner["spec"]["strategy"]["rollingUpdate"]["maxSurge"] == 0


def test_the_grace_period_covers_the_notice_and_the_drain(rendered: Rendered) -> None:
    (gateway,) = rendered.pods_of("gateway")
    (container,) = gateway.spec["containers"]
    drain = int(str(rendered.environment(container)["VITRINE_GATEWAY__DRAIN_S"]))
    sleep = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert gateway.spec["terminationGracePeriodSeconds"] >= sleep + 1 + drain + 5
    (triton,) = rendered.pods_of("triton")
    (server,) = triton.spec["containers"]
    (timeout,) = [arg.partition("=")[2] for arg in server["args"] if arg.startswith("--exit-timeout-secs=")]
    sleep = server["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert triton.spec["terminationGracePeriodSeconds"] >= sleep + int(timeout) + 5


def test_every_mount_has_its_volume_and_every_volume_its_mount(rendered: Rendered) -> None:
    for pod in rendered.pods:
        volumes = {volume["name"] for volume in pod.spec.get("volumes", [])}
        mounted = {mount["name"] for container in pod.containers for mount in container.get("volumeMounts", [])}
        assert volumes == mounted


def test_what_pods_refer_to_is_made_by_the_chart_or_named_by_a_value(rendered: Rendered) -> None:
    accounts = {one["metadata"]["name"] for one in rendered.of("ServiceAccount")}
    for pod in rendered.pods:
        assert pod.spec.get("serviceAccountName", "default") in {*accounts, "default"}
        for container in pod.containers:
            rendered.environment(container)  # fails for a ConfigMap that is not there
    claims = {one["metadata"]["name"] for one in rendered.of("PersistentVolumeClaim")}
    for pod in rendered.pods_of("indexer"):
        (state,) = [volume for volume in pod.spec["volumes"] if volume["name"] == "state"]
        assert state["persistentVolumeClaim"]["claimName"] in claims


def test_a_changed_setting_makes_new_pods() -> None:
    one = render("everything")
    other = render("everything", "--set=settings.gateway.max_in_flight=3", "--set=settings.images.decode_threads=3")
    for component in ("gateway", "indexer"):
        sums = [
            [pod.metadata["annotations"]["checksum/config"] for pod in both.pods_of(component)] for both in (one, other)
        ]
        assert not set(sums[0]) & set(sums[1])


@pytest.mark.parametrize("example", ["production-gpu", "everything"])
def test_outsiders_reach_all_but_what_machines_ask(example: str) -> None:
    # From the routers: what FastAPI keeps of them in `app.routes` is its own affair.
    routers = gateway._routers(Settings())
    paths = {route.path for router in routers for route in router.routes if isinstance(route, Route)}
    assert {"/", "/app.js", "/docs", "/v1/limits"} < paths
    machines = {"/livez", "/readyz", "/metrics"}
    assert machines < paths
    for exact, prefixes in _public(render(example)):
        for path in paths:
            told = path in exact or any(path == prefix or path.startswith(f"{prefix}/") for prefix in prefixes)
            assert told is (path not in machines), path


def _public(rendered: Rendered) -> list[tuple[set[str], set[str]]]:
    """(exact paths, prefixes) of each way in."""
    ways = []
    for one in rendered.of("Ingress"):
        paths = [path for rule in one["spec"]["rules"] for path in rule["http"]["paths"]]
        pairs = [(path["pathType"], path["path"]) for path in paths]
        ways.append(pairs)
        for path in paths:
            service = rendered.named("Service", path["backend"]["service"]["name"])
            assert path["backend"]["service"]["port"]["name"] in {port["name"] for port in service["spec"]["ports"]}
    for one in rendered.of("HTTPRoute"):
        ways.append([(m["path"]["type"], m["path"]["value"]) for rule in one["spec"]["rules"] for m in rule["matches"]])
        for rule in one["spec"]["rules"]:
            assert len(rule["matches"]) <= 8
            for backend in rule["backendRefs"]:
                service = rendered.named("Service", backend["name"])
                assert backend["port"] in {port["port"] for port in service["spec"]["ports"]}
    assert ways
    return [
        (
            {path for kind, path in way if kind == "Exact"},
            {path for kind, path in way if kind in {"Prefix", "PathPrefix"}},
        )
        for way in ways
    ]


def test_triton_asks_for_pages_of_2_mib_as_the_local_stack_does(rendered: Rendered) -> None:
    (pod,) = rendered.pods_of("triton")
    name, value = next(iter(HUGE_PAGES.items()))
    assert rendered.environment(pod.spec["containers"][0])[name] == value
