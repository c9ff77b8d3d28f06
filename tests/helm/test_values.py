"""What values do, which are refused, and that what is generated is up to date."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.helm.rendering import CHART, ROOT, HelmFailed, Pod, render
from vitrine.settings import Settings

DIGEST = "sha256:" + "0f" * 32


@pytest.mark.parametrize(
    "typo",
    [
        "gatway.replicas=3",
        "gateway.replica=3",
        "gateway.image.repo=x",
        "gateway.image.digest=sha256:short",
        "gateway.resources.limit.cpu=1",
        "triton.gpus.count=1",
        "triton.autoscaling.type=Keda",
        "models.source=s3",
        "milvus.uri=milvus:19530",
        "milvus.uri=http://milvus",
        "indexer.shards=0",
        "networkPolicy.enable=true",
        "gateway.preStopSeconds=0",
        "triton.autoscaling.minReplicas=0",
        "loadtest.shape=stress",
        "loadtest.workers=65",
        "loadtest.rate=-1",
        "fullnameOverride=Shop_Search",
        r"commonLabels.app\.kubernetes\.io/name=other",
        r"gateway.podLabels.app\.kubernetes\.io/component=other",
        r"monitoring.labels.helm\.sh/chart=other",
    ],
)
def test_a_typo_is_refused(typo: str) -> None:
    with pytest.raises(HelmFailed, match="values don't meet the specifications of the schema"):
        render("minimal", f"--set={typo}")


def test_the_route_waits_longer_than_any_request_may_take() -> None:
    for example in ("production-gpu", "everything"):
        rendered = render(example)
        (route,) = rendered.of("HTTPRoute")
        (gateway,) = rendered.pods_of("gateway")
        longest = rendered.environment(gateway.spec["containers"][0]).get("VITRINE_GATEWAY__MAX_TIMEOUT_MS")
        allowed = int(str(longest or Settings().gateway.max_timeout_ms))
        for rule in route["spec"]["rules"]:
            assert int(rule["timeouts"]["request"].removesuffix("s")) * 1000 > allowed


def test_a_version_that_yaml_takes_for_a_number_is_refused() -> None:
    """26.10 would become 26.1."""
    with pytest.raises(HelmFailed, match="got number, want string"):
        render("minimal", '--set-json=triton.image={"tag":26.10}')


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("auth.existingSecret=", "Set auth.existingSecret or settings.auth.oidc_issuer"),
        ("cursor.existingSecret=", "Set cursor.existingSecret"),
        ("gateway.image.repository=", "gateway.image.repository is required"),
        ("milvus.uri=", "milvus.uri is required"),
        ("models.pvc.existingClaim=", "models.pvc.existingClaim is required"),
        ("models.source=image", "models.image.reference is required"),
        ("models.source=objectStorage", "models.objectStorage.image is required"),
        ("indexer.enabled=true", "indexer.image.repository is required"),
        ("triton.maxUnavailable=0", "cannot both be 0"),
        ("triton.autoscaling.type=keda", "triton.autoscaling.prometheusUrl is required"),
        ("ingress.enabled=true", "ingress.host is required"),
        ("gateway.autoscaling.minReplicas=11", "gateway.autoscaling: minReplicas is above maxReplicas"),
        ("httpRoute.enabled=true", "httpRoute.parentRefs is required"),
        ("loadtest.enabled=true", "loadtest.image.repository is required"),
    ],
)
def test_what_is_missing_is_said_in_a_sentence(change: str, says: str) -> None:
    with pytest.raises(HelmFailed, match=says):
        render("minimal", f"--set={change}")


def test_image_volumes_are_refused_where_kubernetes_has_none() -> None:
    with pytest.raises(HelmFailed, match=r"models\.source=image needs Kubernetes 1\.33"):
        render("production-gpu", kubernetes="1.32")


def test_an_image_volume_without_a_digest_is_refused() -> None:
    with pytest.raises(HelmFailed, match="must end in a digest"):
        render("production-gpu", "--set=models.image.reference=registry.example/models:1")


def _models(pod: Pod) -> dict[str, object]:
    (volume,) = [volume for volume in pod.spec["volumes"] if volume["name"] == "models"]
    return {key: value for key, value in volume.items() if key != "name"}


@pytest.mark.parametrize("example", ["minimal", "dev", "production-gpu", "everything"])
def test_all_who_need_the_model_have_the_same_one_in_the_same_place(example: str) -> None:
    pods = [pod for pod in render(example).pods if pod.component not in {"test", "loadtest"}]
    assert len({str(_models(pod)) for pod in pods}) == 1
    for pod in pods:
        (mount,) = [mount for mount in pod.spec["containers"][0]["volumeMounts"] if mount["name"] == "models"]
        assert mount["mountPath"] == "/models"
        assert mount["readOnly"] is True
    uris = {
        one["value"]
        for pod in pods
        for container in pod.spec.get("initContainers", [])
        for one in container["env"]
        if one["name"] == "MODELS_URI"
    }
    assert len(uris) == (1 if example == "everything" else 0)


def test_the_three_sources_of_models() -> None:
    (claim,) = render("minimal", "--set=models.pvc.subPath=v3").pods_of("triton")
    assert _models(claim) == {"persistentVolumeClaim": {"claimName": "vitrine-models", "readOnly": True}}
    assert claim.spec["containers"][0]["volumeMounts"][0]["subPath"] == "v3"
    (image,) = render("production-gpu").pods_of("triton")
    volume = _models(image)["image"]
    assert isinstance(volume, dict)
    assert "@sha256:" in volume["reference"]
    (storage,) = render("everything").pods_of("triton")
    assert "emptyDir" in _models(storage)
    (copying,) = storage.spec["initContainers"]
    assert copying["volumeMounts"][0] == {"name": "models", "mountPath": "/models"}


def test_the_gateway_does_not_copy_the_weights() -> None:
    (gateway,), (triton,) = (render("everything").pods_of(name) for name in ("gateway", "triton"))
    assert "*.onnx" in gateway.spec["initContainers"][0]["command"]
    assert "*.onnx" not in triton.spec["initContainers"][0]["command"]


def test_a_digest_wins_over_a_tag() -> None:
    (pod,) = render("minimal", f"--set=gateway.image.digest={DIGEST}").pods_of("gateway")
    assert pod.spec["containers"][0]["image"] == f"registry.example/vitrine-gateway@{DIGEST}"


def test_schema_and_readme_are_up_to_date(tmp_path: Path) -> None:
    subprocess.run([sys.executable, str(CHART / "make_values.py"), str(tmp_path)], check=True, timeout=30)
    for name in ("values.schema.json", "README.md"):
        assert (CHART / name).read_text() == (tmp_path / name).read_text(), "Run python helm/vitrine/make_values.py"


def test_every_value_is_described() -> None:
    readme = (CHART / "README.md").read_text()

    def leaves(value: object, path: str = "") -> list[str]:
        if isinstance(value, dict) and value and f"| `{path}` |" not in readme:
            return [leaf for key, child in value.items() for leaf in leaves(child, f"{path}.{key}".strip("."))]
        return [path]

    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert [path for path in leaves(values) if f"| `{path}` |" not in readme] == []


def test_the_chart_has_the_version_of_the_program() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert f'version = "{chart["appVersion"]}"' in (ROOT / "pyproject.toml").read_text()


def test_one_resource_per_file() -> None:
    text = (CHART / "templates").rglob("*.yaml")
    kinds = {path.relative_to(CHART): path.read_text().count("\nkind: ") for path in text}
    assert {str(path) for path, count in kinds.items() if count > 1} == set()
