"""Variables and settings: each one set is one that the program reads, each one needed is set."""

import json
import re
from typing import Any

import pytest

from tests.helm.rendering import HelmFailed, Pod, Rendered, render
from vitrine.settings import CLIENT_VARIABLES, Settings, read_settings

OURS = ("gateway", "indexer")
# Read by others: the home of everything, an example of `extraEnv`, what the kubelet puts into arguments.
FOREIGN = {"HOME", "HTTPS_PROXY", "ROUND"}
OF_VOLUMES = ("gateway.media_root", "items.images_root", "auth.oidc_jwks_file", "canary.queries_file")
"""Settings that are paths, for what the operator mounts."""
IN_A_POD = {
    "gateway": {
        *("VITRINE_GATEWAY__HOST", "VITRINE_GATEWAY__PORT", "VITRINE_GATEWAY__DRAIN_S"),
        *("VITRINE_GATEWAY__DEFAULT_COLLECTION", "VITRINE_MODEL__REPOSITORY", "VITRINE_TRITON__URL"),
        *("VITRINE_MILVUS__URI", "VITRINE_TELEMETRY__METRICS_HOST", "VITRINE_TELEMETRY__METRICS_PORT"),
    },
    "indexer": {
        *("VITRINE_LOCAL__STATE_DIR", "VITRINE_MODEL__REPOSITORY", "VITRINE_TRITON__URL", "VITRINE_MILVUS__URI"),
        *("VITRINE_TELEMETRY__METRICS_HOST", "VITRINE_TELEMETRY__METRICS_PORT"),
    },
}
"""Settings whose defaults are of one machine: a pod with one of them would look for its engines in itself."""


def _known() -> set[str]:
    return {
        f"VITRINE_{section}__{field}".upper() for section, value in Settings() for field in type(value).model_fields
    }


def _read(rendered: Rendered, pod: Pod, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings as the program in that pod reads them."""
    for name, value in rendered.environment(pod.spec["containers"][0]).items():
        monkeypatch.setenv(name, value if isinstance(value, str) else "s" * 32)
    return read_settings()


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in _known():
        monkeypatch.delenv(name, raising=False)


def test_every_variable_is_a_setting(rendered: Rendered) -> None:
    for component in OURS:
        for pod in rendered.pods_of(component):
            names = rendered.environment(pod.spec["containers"][0]).keys()
            assert names - FOREIGN <= _known()


def test_every_setting_that_a_pod_needs_is_set(rendered: Rendered) -> None:
    for component in OURS:
        for pod in rendered.pods_of(component):
            assert rendered.environment(pod.spec["containers"][0]).keys() >= IN_A_POD[component]


def test_settings_with_an_address_or_a_path_of_one_machine_are_all_thought_of() -> None:
    """A new setting with such a default must be set in pods, or be listed here as of no meaning there."""
    nowhere = {"VITRINE_LOCAL__ENGINES_DIR", "VITRINE_LOCAL__MONITORING_DIR"}
    found = {
        f"VITRINE_{section}__{field}".upper()
        for section, value in Settings()
        for field, default in value
        if re.search(r"127\.0\.0\.1|localhost", str(default)) or (type(default).__name__.endswith("Path"))
    }
    assert found - nowhere <= IN_A_POD["gateway"] | IN_A_POD["indexer"]


def test_the_program_takes_the_environment_of_its_pod(rendered: Rendered, monkeypatch: pytest.MonkeyPatch) -> None:
    for component in OURS:
        for pod in rendered.pods_of(component):
            with monkeypatch.context() as patch:
                settings = _read(rendered, pod, patch)
            assert str(settings.model.repository) == "/models"


def test_a_gateway_can_tell_its_callers_or_says_that_it_does_not(
    rendered: Rendered, monkeypatch: pytest.MonkeyPatch
) -> None:
    (pod,) = rendered.pods_of("gateway")
    auth = _read(rendered, pod, monkeypatch).auth
    assert auth.keys_file or auth.oidc_issuer or auth.mode == "off"
    if auth.keys_file:
        mounts = {mount["mountPath"]: mount["name"] for mount in pod.spec["containers"][0]["volumeMounts"]}
        name = mounts[str(auth.keys_file.parent)]
        (volume,) = [volume for volume in pod.spec["volumes"] if volume["name"] == name]
        assert [item["path"] for item in volume["secret"]["items"]] == [auth.keys_file.name]


def test_the_authority_of_milvus_is_a_file_of_its_secret_and_the_only_one() -> None:
    for component in OURS:
        for pod in render("everything").pods_of(component):
            (container,) = pod.spec["containers"]
            path = render("everything").environment(container)["VITRINE_MILVUS__CA_FILE"]
            (mount,) = [one for one in container["volumeMounts"] if one["name"] == "milvus-ca"]
            (volume,) = [one for one in pod.spec["volumes"] if one["name"] == "milvus-ca"]
            assert volume["secret"]["secretName"] == "shop-milvus-ca"
            assert [f"{mount['mountPath']}/{item['path']}" for item in volume["secret"]["items"]] == [path]


def test_an_authority_for_a_milvus_without_tls_is_refused() -> None:
    with pytest.raises(HelmFailed, match=r"milvus\.caSecret wants a milvus\.uri that begins with https://"):
        render("everything", "--set=milvus.uri=http://milvus:19530")


@pytest.mark.parametrize("setting", OF_VOLUMES)
@pytest.mark.parametrize(("mounted", "path"), [("/data", "/data/shop"), ("/data/", "/data"), ("/d.json", "/d.json")])
def test_a_path_of_a_mounted_volume_reaches_the_program(
    setting: str, mounted: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounts = json.dumps([{"name": "data", "mountPath": mounted}])
    rendered = render("minimal", f"--set=settings.{setting}={path}", f"--set-json=gateway.extraVolumeMounts={mounts}")
    (pod,) = rendered.pods_of("gateway")
    section, name = setting.split(".")
    assert str(getattr(getattr(_read(rendered, pod, monkeypatch), section), name)) == path


@pytest.mark.parametrize("setting", OF_VOLUMES)
@pytest.mark.parametrize("mounts", ["[]", '[{"name":"data","mountPath":"/dat"}]'])
def test_a_path_where_nothing_is_mounted_is_refused(setting: str, mounts: str) -> None:
    with pytest.raises(HelmFailed, match=f"settings.{setting} is /data/shop, where nothing is mounted"):
        render("minimal", f"--set=settings.{setting}=/data/shop", f"--set-json=gateway.extraVolumeMounts={mounts}")


def test_replicas_share_the_key_of_cursors(rendered: Rendered) -> None:
    (pod,) = rendered.pods_of("gateway")
    if pod.owner["spec"].get("replicas") != 1:
        assert "VITRINE_SEARCH__CURSOR_KEY" in rendered.environment(pod.spec["containers"][0])


def test_settings_arrive_as_they_were_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """Large numbers, lists and words, which Helm and YAML each have ways to spoil."""
    (pod,) = render("everything").pods_of("gateway")
    settings = _read(render("everything"), pod, monkeypatch)
    assert settings.gateway.max_body_bytes == 67_108_864
    assert settings.remote_images.hosts == ("*.cdn.example",)
    assert settings.remote_images.ports == (443, 8443)
    assert settings.auth.mode == "on"
    assert settings.milvus.token.get_secret_value() == "s" * 32


def test_every_setting_can_be_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each one that the chart does not set itself, with its default: the program reads it back."""
    given: dict[str, dict[str, Any]] = {}
    excluded = {"local", "model"}
    own = IN_A_POD["gateway"] | {"VITRINE_MILVUS__TOKEN", "VITRINE_SEARCH__CURSOR_KEY", "VITRINE_AUTH__KEYS_FILE"}
    own |= {"VITRINE_MILVUS__CA_FILE"}
    of_volumes = {f"VITRINE_{setting.upper()}".replace(".", "__") for setting in OF_VOLUMES}
    for section, values in Settings().model_dump(mode="json").items():
        for field, value in values.items():
            if section not in excluded and f"VITRINE_{section}__{field}".upper() not in own | of_volumes:
                given.setdefault(section, {})[field] = value
    rendered = render("minimal", f"--set-json=settings={json.dumps(given)}")
    (pod,) = rendered.pods_of("gateway")
    names = rendered.environment(pod.spec["containers"][0]).keys()
    for section, values in given.items():
        if section != "indexer":
            assert {f"VITRINE_{section}__{field}".upper() for field in values} <= names
    default = Settings().model_dump()
    for section, values in _read(rendered, pod, monkeypatch).model_dump().items():
        for field in given.get(section, {}):
            assert values[field] == default[section][field]


@pytest.mark.parametrize(
    "setting",
    [
        "gateway.max_inflight=3",
        "gatway.max_in_flight=3",
        "gateway.max_in_flight=0",
        "gateway.max_in_flight=many",
        "gateway.host=127.0.0.1",
        "telemetry.metrics_port=8080",
        "milvus.token=root:Milvus",
        "search.cursor_key=secret",
    ],
)
def test_a_wrong_setting_is_refused_before_anything_is_installed(setting: str) -> None:
    with pytest.raises(HelmFailed, match="values don't meet the specifications of the schema"):
        render("minimal", f"--set=settings.{setting}")


def test_the_test_pod_sets_what_the_client_reads(rendered: Rendered) -> None:
    (pod,) = rendered.pods_of("test")
    names = {name for name in rendered.environment(pod.spec["containers"][0]) if name.startswith("VITRINE_")}
    assert names <= CLIENT_VARIABLES
    compile(pod.spec["containers"][0]["command"][2], "helm test", "exec")
