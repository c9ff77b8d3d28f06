"""What a release finds in its namespace, and the volumes of a pod as folders of this machine."""

import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.helm.rendering import Object, Rendered
from tests.pods.known import NotTranslated, known


@dataclass(frozen=True)
class Provided:
    """What nobody renders: it is there before the chart is installed.

    Args:
        work: folder for what pods write; whoever made it removes it.
        claims: PersistentVolumeClaims, by name, as folders. Those that the chart makes come by `with_claims_of`.
        secrets: Secrets by name, each a value by key.
        services: names of Services of other releases, such as Milvus's.
    """

    work: Path
    claims: Mapping[str, Path]
    secrets: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    services: tuple[str, ...] = ()

    def secret(self, name: str, key: str) -> str:
        """One value.

        Raises:
            NotTranslated: there is no such Secret or key; a kubelet would not start the pod.
        """
        try:
            return self.secrets[name][key]
        except KeyError:
            raise NotTranslated(f"no Secret {name} with {key}") from None

    def with_claims_of(self, rendered: Rendered) -> "Provided":
        """The same with an empty folder for each claim that the release makes itself."""
        names = [claim["metadata"]["name"] for claim in rendered.of("PersistentVolumeClaim")]
        return replace(self, claims={**self.claims, **{name: self._new_folder(name) for name in names}})

    def mounts(self, spec: Object, container: Object) -> Iterator[str]:
        """One option of `podman run` for each of the container's mounts; empty folders and files are made for it.

        Raises:
            NotTranslated: a kind of volume, or a field of one, that is not known here.
        """
        volumes = {volume["name"]: volume for volume in spec.get("volumes", [])}
        group = spec["securityContext"]["fsGroup"]
        for mount in container.get("volumeMounts", []):
            known("volumeMount", mount, {"name", "mountPath", "readOnly", "subPath"})
            volume = volumes[mount["name"]]
            if "image" in volume:
                known("image volume", volume["image"], {"reference", "pullPolicy"})
                yield f"--mount=type=image,source={volume['image']['reference']},destination={mount['mountPath']}"
                continue
            folder, read_only = self._folder(volume, group)
            source = folder / mount["subPath"] if "subPath" in mount else folder
            bound = f"--mount=type=bind,source={source},destination={mount['mountPath']}"
            yield f"{bound},readonly" if read_only or mount.get("readOnly") else bound

    def _folder(self, volume: Object, group: int) -> tuple[Path, bool]:
        """The folder, and whether it is mounted read-only whatever the mount says."""
        (kind,) = set(volume) - {"name"}
        source = volume[kind]
        match kind:
            case "emptyDir":
                known(kind, source, {"sizeLimit"})
                folder = self._new_folder(volume["name"])
                _hand_to(folder, group, 0o2777)
                return folder, False
            case "persistentVolumeClaim":
                known(kind, source, {"claimName", "readOnly"})
                return self._claim(source["claimName"], group, read_only=source.get("readOnly", False))
            case "secret":
                known(kind, source, {"secretName", "defaultMode", "items"})
                return self._secret_folder(source, group), True
            case _:
                raise NotTranslated(f"a volume of kind {kind}")

    def _new_folder(self, name: str) -> Path:
        folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.work))
        folder.chmod(0o755)
        return folder

    def _claim(self, name: str, group: int, *, read_only: bool) -> tuple[Path, bool]:
        if name not in self.claims:
            raise NotTranslated(f"no claim {name}")
        folder = self.claims[name]
        if not read_only and folder.stat().st_gid != group:  # fsGroupChangePolicy: OnRootMismatch
            for root, _, names in os.walk(folder):
                for one in names:
                    path = Path(root, one)
                    _hand_to(path, group, path.stat().st_mode | 0o660)
                _hand_to(Path(root), group, Path(root).stat().st_mode | 0o2770)
        return folder, read_only

    def _secret_folder(self, source: Object, group: int) -> Path:
        name = source["secretName"]
        items = source.get("items") or [{"key": key, "path": key} for key in self.secrets.get(name, {})]
        folder = self._new_folder(name)
        _hand_to(folder, group, 0o2755)
        for item in items:
            known("item of a Secret", item, {"key", "path"})
            path = folder / item["path"]
            path.write_text(self.secret(name, item["key"]))
            _hand_to(path, group, source["defaultMode"])
        return folder


def _hand_to(path: Path, group: int, mode: int) -> None:
    os.chown(path, -1, group)
    path.chmod(mode)
