"""Makes what the pods run from: a base image where none is named, and the product's images by `make images`.

    python -m tests.pods.prepare [--base IMAGE]

Needs root, podman and, for the base, debootstrap. The base and the layers of the images stay in podman's storage, so
the next time takes seconds.
"""

import argparse
import platform
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
STAND_IN: Final = "localhost/vitrine-stand-in-base"
"""Stands in for python:3.x-slim where nothing can be pulled: Debian's own Python with its venv module."""

_PACKAGES: Final = ("python3", "python3-venv", "ca-certificates")
_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_REACH: Final = ("index-url", "extra-index-url", "trusted-host", "proxy", "timeout", "default-timeout")
"""Settings of pip by which it reaches an index."""
_LOCAL: Final = ("file:", "/")
"""What begins so is a folder of this machine, which no build can see."""
_CERT: Final = "/etc/pip-authority.crt"
_BASE_TIMEOUT_S: Final = 600
_BUILD_TIMEOUT_S: Final = 1_200


def prepare(base: str) -> None:
    """Builds the images on `base`, or on the stand-in when it is empty.

    Raises:
        subprocess.CalledProcessError: a tool failed; it has said why.
        subprocess.TimeoutExpired: a tool took far longer than it should.
    """
    if not base:
        base = _stand_in()
    with _pip_arguments() as pip, _timed("make images"):
        arguments = ["--network=host", "--isolation=chroot", *pip]
        command = ["make", "--no-print-directory", "images", f"BASE={base}", "BUILDER=podman", "REGISTRY="]
        _run([*command, f"BUILD_ARGS={shlex.join(arguments)}"], _BUILD_TIMEOUT_S)
    # What the tags named before; the layers that the next build can use are no such images.
    untagged = ["--filter", "dangling=true", "--filter", "label=org.opencontainers.image.vendor=Vitrine"]
    _run(["podman", "image", "prune", "--force", *untagged], _BASE_TIMEOUT_S)


def _stand_in() -> str:
    """The base's name; it is of the release of Debian that runs here, and made when it is missing."""
    suite = platform.freedesktop_os_release()["VERSION_CODENAME"]
    name = f"{STAND_IN}:{suite}"
    if subprocess.run(["podman", "image", "exists", name], check=False, timeout=60).returncode:
        _make_stand_in(suite, name)
    return name


def _make_stand_in(suite: str, name: str) -> None:
    with _timed(f"debootstrap of {name}"), tempfile.TemporaryDirectory(prefix="vitrine-base-") as folder:
        packages = f"--include={','.join(_PACKAGES)}"
        _run(["debootstrap", "--variant=minbase", packages, suite, folder, _mirror(suite)], _BASE_TIMEOUT_S, quiet=True)
        archive = Path(folder).with_suffix(".tar")
        try:
            left_out = ["--exclude=./var/cache/apt/*", "--exclude=./var/lib/apt/lists/*"]
            _run(["tar", "--create", f"--file={archive}", f"--directory={folder}", *left_out, "."], _BASE_TIMEOUT_S)
            change = f"--change=ENV PATH={_PATH}"
            _run(["podman", "import", "--quiet", change, str(archive), name], _BASE_TIMEOUT_S, quiet=True)
        finally:
            archive.unlink(missing_ok=True)


def _mirror(suite: str) -> str:
    """Where this machine gets Debian's packages from."""
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", f"Codename: {suite}"]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.split()[0]


@contextmanager
def _pip_arguments() -> Iterator[list[str]]:
    """Options of the builder by which pip inside reaches the index that pip of this environment reaches."""
    settings = _pip_settings()
    arguments: list[str] = []
    lines = ["[global]"]
    for name in _REACH:
        words = [word for word in settings.get(name, "").split() if not word.startswith(_LOCAL)]
        if words:
            lines.append(f"{name} = {' '.join(words)}")
    if certificate := settings.get("cert"):
        arguments += ["--volume", f"{certificate}:{_CERT}:ro"]
        lines.append(f"cert = {_CERT}")
    with tempfile.NamedTemporaryFile("w", prefix="pip-", suffix=".conf") as file:  # it may hold a password: 0600
        file.write("\n".join(lines) + "\n")
        file.flush()
        yield [*arguments, "--secret", f"id=pip,src={file.name}"]


def _pip_settings() -> dict[str, str]:
    """As `pip config list` tells them; an environment variable wins over a file, as it does for pip."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    found: dict[str, str] = {}
    for line in sorted(listed.splitlines(), key=lambda line: line.startswith(":env:")):
        key, _, value = line.partition("=")
        _, _, name = key.rpartition(".")
        found[name] = " ".join(shlex.split(value))
    return found


@contextmanager
def _timed(what: str) -> Iterator[None]:
    print(f"{what} ...", flush=True)
    began = time.monotonic()
    yield
    print(f"{what}: {time.monotonic() - began:.0f} s", flush=True)


def _run(command: Sequence[str], timeout_s: float, *, quiet: bool = False) -> None:
    """Runs a tool; what a quiet one printed is shown when it fails."""
    output = subprocess.PIPE if quiet else None
    try:
        subprocess.run(
            command, cwd=ROOT, check=True, timeout=timeout_s, stdout=output, stderr=subprocess.STDOUT if quiet else None
        )
    except subprocess.CalledProcessError as error:
        if error.stdout:
            sys.stderr.write(error.stdout.decode(errors="replace"))
        raise


def main() -> None:
    """Exit status: 0 when the images are there, 1 when a tool failed."""
    parser = argparse.ArgumentParser(description="Make the images that the pods run from.")
    parser.add_argument("--base", default="", help="image to build on; by default a stand-in that is made here")
    try:
        prepare(parser.parse_args().base)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired, OSError) as error:
        sys.exit(f"The images could not be made: {error}")


if __name__ == "__main__":
    main()
