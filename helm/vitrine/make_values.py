"""Writes what follows from values.yaml: values.schema.json, and the table in README.md.

`settings` comes from `vitrine.settings` itself: a setting that the program would refuse is refused by `helm install`.

    python helm/vitrine/make_values.py [FOLDER]      FOLDER: where to write; by default beside this file
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

from vitrine.settings import Settings

CHART: Final = Path(__file__).resolve().parent
BEGIN, END = "<!-- values: made by make_values.py -->", "<!-- end of values -->"
REFERENCE: Final = "../../docs/configuration.md"

OWN_SETTINGS: Final = frozenset(
    {
        # Of other values of the chart.
        *("gateway.host", "gateway.port", "gateway.drain_s", "gateway.default_collection"),
        *("model.repository", "triton.url", "milvus.uri", "milvus.ca_file"),
        *("telemetry.metrics_host", "telemetry.metrics_port"),
        # Secrets: they come from Secrets.
        *("milvus.token", "search.cursor_key"),
        # A path in a Secret's volume.
        "auth.keys_file",
    }
)
"""Settings that are the chart's affair, or that no pod of it could honour."""
OWN_SECTIONS: Final = frozenset({"local", "model"})

Schema = dict[str, Any]
_AMOUNTS: Final[Schema] = {"type": "object", "additionalProperties": {"type": ["string", "number"]}}
_RESOURCES: Final[Schema] = {
    "type": "object",
    "properties": {"requests": _AMOUNTS, "limits": _AMOUNTS},
    "required": ["requests", "limits"],
    "additionalProperties": False,
}
_LABELS: Final[Schema] = {"type": "object", "additionalProperties": {"type": "string"}}
# Labels beside those that the chart sets; the same key twice would be no YAML.
_MORE_LABELS: Final[Schema] = {
    **_LABELS,
    "propertyNames": {
        "not": {"pattern": "^(app\\.kubernetes\\.io/(name|instance|component|version|managed-by)|helm\\.sh/chart)$"}
    },
}
_COUNT: Final[Schema] = {"type": "integer", "minimum": 1}
_STRINGS: Final[Schema] = {"type": "array", "items": {"type": "string"}}
_OBJECTS: Final[Schema] = {"type": "array", "items": {"type": "object"}}
_BY_KEY: Final[dict[str, Schema]] = {
    "extraVolumeMounts": {
        "type": "array",
        "items": {
            "type": "object",
            "properties": {key: {"type": "string", "minLength": 1} for key in ("name", "mountPath")},
            "required": ["name", "mountPath"],
        },
    },
    **dict.fromkeys(("annotations", "podAnnotations", "nodeSelector"), _LABELS),
    **dict.fromkeys(("commonLabels", "podLabels", "labels"), _MORE_LABELS),
    **dict.fromkeys(("cidrs", "command", "gatewayArgs", "extraArgs", "hostnames", "disabled"), _STRINGS),
    **dict.fromkeys(("tolerations", "parentRefs", "clients", "prometheus", "dns"), _OBJECTS),
    **dict.fromkeys(
        ("gatewayEgress", "indexerEgress", "tritonEgress", "storageEgress", "extraEnv", "extraVolumes"), _OBJECTS
    ),
    # Kubernetes refuses less: an autoscaler below one pod, a sleep of no time (before 1.32).
    **dict.fromkeys(("minReplicas", "maxReplicas", "cpuPercent", "preStopSeconds"), _COUNT),
    "resources": _RESOURCES,
    "digest": {"type": "string", "pattern": "^(sha256:[0-9a-f]{64})?$"},
    "pullPolicy": {"enum": ["Always", "IfNotPresent", "Never"]},
    "spread": {"enum": ["ScheduleAnyway", "DoNotSchedule"]},
}
_BY_PATH: Final[dict[str, Schema]] = {
    # The name of a Service begins with a letter.
    "fullnameOverride": {"type": "string", "pattern": "^([a-z]([-a-z0-9]*[a-z0-9])?)?$"},
    "imagePullSecrets": {
        "type": "array",
        "items": {
            "anyOf": [
                {"type": "string"},
                {
                    "type": "object",
                    "properties": {"name": {"type": "string"}},
                    "required": ["name"],
                    "additionalProperties": False,
                },
            ]
        },
    },
    "milvus.podLabels": _LABELS,
    "milvus.uri": {"type": "string", "pattern": "^(https?://.+:[0-9]+)?$"},
    "models.source": {"enum": ["pvc", "image", "objectStorage"]},
    "gateway.service.type": {"enum": ["ClusterIP", "NodePort", "LoadBalancer"]},
    "triton.autoscaling.type": {"enum": ["none", "keda", "hpa"]},
    "externalSecrets.storeRef.kind": {"enum": ["SecretStore", "ClusterSecretStore"]},
    "externalSecrets.secrets": {
        "type": "object",
        "additionalProperties": {"type": "object", "additionalProperties": {"type": "object"}},
    },
    "indexer.shards": {"type": "integer", "minimum": 1},
    "loadtest.shape": {"enum": ["smoke", "average", "step", "spike", "soak"]},
    "loadtest.workers": {"type": "integer", "minimum": 0, "maximum": 64},
    **{path: {"type": "number", "minimum": 0} for path in ("loadtest.rate", "loadtest.duration")},
}


def settings_schema() -> Schema:
    """Every setting that may be given, as JSON schema: the program's own types and bounds."""
    whole = Settings.model_json_schema()
    sections = {}
    for name, reference in whole["properties"].items():
        if name in OWN_SECTIONS:
            continue
        section = whole["$defs"][reference["$ref"].rpartition("/")[2]]
        fields = {
            field: {key: value for key, value in schema.items() if key not in {"default", "title"}}
            for field, schema in section["properties"].items()
            if f"{name}.{field}" not in OWN_SETTINGS
        }
        sections[name] = {"type": "object", "properties": fields, "additionalProperties": False}
    return {"type": "object", "properties": sections, "additionalProperties": False}


def schema_of(value: Any, path: str = "") -> Schema:
    """What may stand in the place of a default: the same names, the same types."""
    if path == "settings":
        return settings_schema()
    special = _BY_PATH.get(path) or _BY_KEY.get(path.rpartition(".")[2])
    if special is not None:
        return special
    if isinstance(value, dict):
        if not value:
            return {"type": "object"}
        children = {key: schema_of(child, f"{path}.{key}" if path else key) for key, child in value.items()}
        return {"type": "object", "properties": children, "additionalProperties": False}
    if isinstance(value, bool):
        return {"type": "boolean"}
    if isinstance(value, int):
        return {"type": "integer", "minimum": 0}
    return {"type": "string"}


def described(lines: list[str]) -> Iterator[tuple[str, str]]:
    """(path, description) of every value that has a comment with `--` above it."""
    path: list[tuple[int, str]] = []
    text: list[str] = []
    for line in lines:
        stripped = line.strip()
        if stripped.startswith("# -- "):
            text = [stripped[5:]]
        elif stripped.startswith("# ") and text:
            text.append(stripped[2:])
        elif stripped and not stripped.startswith("#") and not stripped.startswith("- "):
            indent = len(line) - len(line.lstrip())
            path = [part for part in path if part[0] < indent]
            path.append((indent, stripped.partition(":")[0]))
            if text:
                yield ".".join(key for _, key in path), " ".join(text)
            text = []


def table(source: str) -> str:
    """The values as a table in Markdown."""
    values = yaml.safe_load(source)
    rows = ["| value | default | meaning |", "| --- | --- | --- |"]
    for path, text in described(source.splitlines()):
        default = values
        for key in path.split("."):
            default = default[key]
        shown = "" if default == "" else f"`{json.dumps(default)}`".replace("|", "\\|")
        rows.append(f"| `{path}` | {shown} | {text} |")
    return "\n".join(rows)


def main() -> None:
    """Writes both files."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else CHART
    source = (CHART / "values.yaml").read_text()
    schema = schema_of(yaml.safe_load(source))
    # Set by Helm when this chart is part of another one.
    schema["properties"]["global"] = {"type": "object"}
    schema = {"$schema": "http://json-schema.org/draft-07/schema#", "title": "Values of Vitrine", **schema}
    (folder / "values.schema.json").write_text(json.dumps(schema, indent=2) + "\n")
    readme = (CHART / "README.md").read_text()
    before, _, rest = readme.partition(BEGIN)
    after = rest.partition(END)[2]
    (folder / "README.md").write_text(f"{before}{BEGIN}\n\n{table(source)}\n\n{END}{after}")


if __name__ == "__main__":
    main()
