"""The gateway's pod with the values for a laptop: it gets ready, searches, and may do no more than it must."""

from pathlib import Path

import httpx
import pytest

from tests.pods.conftest import Start, rendered_here
from tests.pods.quantities import mebibytes
from tests.pods.running import PodRunning

pytestmark = pytest.mark.pods

_URL = "http://127.0.0.1:8080"


def test_a_search_finds_products_of_the_catalogue(gateway: PodRunning, catalogue: Path) -> None:
    answer = httpx.post(f"{_URL}/v1/collections/products/search", json={"query": "red dress", "limit": 5}, timeout=10)
    assert answer.status_code == 200, gateway.log()
    ids = [hit["id"] for hit in answer.json()["hits"]]
    assert len(ids) == 5
    assert all((catalogue / "images" / found[:3] / f"{found}.jpg").is_file() for found in ids)


def test_every_probe_is_answered_as_it_is_rendered(gateway: PodRunning) -> None:
    assert set(gateway.launch.probes) == {"startupProbe", "livenessProbe", "readinessProbe"}
    assert all(gateway.answers(name) for name in gateway.launch.probes)


def test_metrics_are_at_the_port_that_is_rendered(gateway: PodRunning) -> None:
    del gateway
    (pod,) = rendered_here("dev").pods_of("gateway")
    ports = {port["name"]: port["containerPort"] for port in pod.spec["containers"][0]["ports"]}
    answer = httpx.get(f"http://127.0.0.1:{ports['metrics']}/metrics", timeout=10)
    assert "vitrine_http_in_flight" in answer.text


def test_the_chart_s_own_test_finds_something(start: Start, gateway: PodRunning) -> None:
    rendered = rendered_here("dev")
    (pod,) = rendered.pods_of("test")
    running = start(rendered, pod)
    assert running.wait_ended(pod.spec["activeDeadlineSeconds"]) == 0, running.log()
    hits = running.log().splitlines()
    assert len(hits) == 3
    assert all(0 < float(line.split()[0]) <= 1 for line in hits)


def test_it_runs_as_the_images_user_and_the_volumes_group(gateway: PodRunning) -> None:
    assert gateway.run_inside("id", "-u").stdout.strip() == "65532"
    assert gateway.run_inside("id", "-G").stdout.split() == ["65532"]


def test_it_has_no_capability_and_can_gain_none(gateway: PodRunning) -> None:
    lines = gateway.run_inside("cat", "/proc/1/status").stdout.splitlines()
    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    capabilities = {name: int(value, 16) for name, value in status.items() if name.startswith("Cap")}
    assert set(capabilities) == {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"}
    assert not any(capabilities.values())
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"  # a filter


@pytest.mark.parametrize("path", ["/", "/etc", "/run", "/var/lib", "/opt/vitrine", "/models"])
def test_nothing_can_be_written_outside_its_volumes(gateway: PodRunning, path: str) -> None:
    touched = gateway.run_inside("touch", f"{path}/x")
    assert touched.returncode != 0
    assert "Read-only file system" in touched.stderr


def test_its_temporary_folder_can_be_written(gateway: PodRunning) -> None:
    assert gateway.run_inside("sh", "-c", "touch $HOME/x").returncode == 0


def test_its_memory_is_limited_as_rendered(gateway: PodRunning) -> None:
    (pod,) = rendered_here("dev").pods_of("gateway")
    wanted = mebibytes(pod.spec["containers"][0]["resources"]["limits"]["memory"]) * 1024**2
    limits = "cat /sys/fs/cgroup/memory.max 2>/dev/null || cat /sys/fs/cgroup/memory/memory.limit_in_bytes"
    assert int(gateway.run_inside("sh", "-c", limits).stdout) == wanted
