"""The gateway's pod with the values for production: keys, tokens and cursors from Secrets, the model from an image."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from tests.helm.rendering import Rendered
from tests.pods.conftest import Start, rendered_here
from tests.pods.provided import Provided
from tests.pods.running import PodRunning, podman
from vitrine.cli.key_file import KeyFile
from vitrine.gateway.auth.keys import ApiKey, digest_of, new_key
from vitrine.gateway.auth.principal import Scope

pytestmark = pytest.mark.pods

_URL = "http://127.0.0.1:8080"
_KEY = new_key("shop")


@pytest.fixture(scope="module")
def rendered() -> Rendered:
    """minimal.yaml with a token for Milvus and the models' image by its digest."""
    (gateway,) = rendered_here("dev").pods_of("gateway")
    repository, tag = gateway.spec["containers"][0]["image"].split(":")
    digest = podman("image", "inspect", "--format={{.Digest}}", f"localhost/vitrine-models:{tag}")
    return rendered_here(
        "minimal",
        f"--set=gateway.image.repository={repository}",
        "--set=milvus.existingSecret=vitrine-milvus",
        f"--set=models.source=image,models.image.reference=localhost/vitrine-models@{digest}",
    )


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """As docs/kubernetes.md makes them."""
    path = tmp_path_factory.mktemp("keys") / "keys.json"
    search = frozenset({Scope.SEARCH})
    key = ApiKey(id="shop", sha256=digest_of(_KEY).hex(), scopes=search, collections=frozenset({"products"}))
    KeyFile(path).add(key)
    return {
        "vitrine-api-keys": {"keys.json": path.read_text()},
        "vitrine-cursor": {"cursor-key": "c" * 64},
        "vitrine-milvus": {"token": "root:password"},
    }


# First: its ports are free as long as the pod that the others share has not started.
def test_a_pod_whose_keys_cannot_be_used_ends_with_status_2(
    start: Start, rendered: Rendered, provided: Provided, secrets: dict[str, dict[str, str]]
) -> None:
    (pod,) = rendered.pods_of("gateway")
    running = start(rendered, pod, replace(provided, secrets={**secrets, "vitrine-api-keys": {"keys.json": ""}}))
    assert running.wait_ended(60) == 2
    assert "VITRINE_AUTH__KEYS_FILE" in running.log()


@pytest.fixture(scope="module")
def gateway(
    start: Start,
    rendered: Rendered,
    provided: Provided,
    secrets: dict[str, dict[str, str]],
    indexing_pod: PodRunning,
) -> Iterator[PodRunning]:
    """Ready by its own probes."""
    del indexing_pod
    (pod,) = rendered.pods_of("gateway")
    running = start(rendered, pod, replace(provided, secrets=secrets))
    running.wait_ready()
    yield running
    running.remove()


def test_who_has_a_key_of_the_secret_is_answered(gateway: PodRunning) -> None:
    asked = {"q": "red dress", "limit": 3}
    answer = httpx.get(
        f"{_URL}/v1/collections/products/search", params=asked, headers={"Authorization": f"Bearer {_KEY}"}, timeout=10
    )
    assert answer.status_code == 200, gateway.log()
    assert len(answer.json()["hits"]) == 3


def test_who_has_none_is_not(gateway: PodRunning) -> None:
    del gateway
    assert httpx.get(f"{_URL}/v1/collections/products/search", params={"q": "red dress"}).status_code == 401


def test_the_file_of_keys_is_read_by_its_group_alone(gateway: PodRunning) -> None:
    path = "/etc/vitrine/auth/keys.json"
    assert gateway.run_inside("stat", "--format=%a %u %g", path).stdout.strip() == "440 0 65532"
    assert "open to every user" not in gateway.log()


def test_the_model_comes_from_the_image(gateway: PodRunning, model_repository: Path) -> None:
    contract = gateway.run_inside("cat", "/models/contract.json").stdout
    assert contract == (model_repository / "contract.json").read_text()
    assert gateway.run_inside("touch", "/models/x").returncode != 0
