"""The images' build without a container engine: what the Dockerfile copies is enough for a whole package."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "services" / "Dockerfile"


def _copied() -> list[tuple[str, PurePosixPath]]:
    """(source, destination) of each COPY from the context."""
    lines = DOCKERFILE.read_text().splitlines()
    copies = (line.split()[1:] for line in lines if line.startswith("COPY ") and "--from=" not in line)
    return [(source, PurePosixPath(to)) for *sources, to in copies for source in sources]


def _admitted() -> list[str]:
    """What .dockerignore lets into the context; it refuses everything first."""
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*"
    return [line[1:] for line in lines if line.startswith("!")]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel that the build stage makes, from the files that it has."""
    build = tmp_path_factory.mktemp("build")
    for source, to in _copied():
        if to.is_relative_to("/build/src") and source in _admitted():
            target = build.joinpath(*to.parts[3:])
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                target.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / source, target)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", build / "wheels", build], check=True)
    (made,) = (build / "wheels").iterdir()
    return zipfile.ZipFile(made)


def test_everything_that_is_copied_reaches_the_builder() -> None:
    assert {source for source, _ in _copied()} == set(_admitted())


def test_the_wheel_holds_every_file_of_the_package(wheel: zipfile.ZipFile) -> None:
    command = ["git", "ls-files", "services/vitrine"]
    tracked = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()
    assert {name.removeprefix("services/") for name in tracked} <= set(wheel.namelist())


def test_the_images_commands_are_in_the_wheel(wheel: zipfile.ZipFile) -> None:
    assert {"vitrine/gateway/__main__.py", "vitrine/indexer/__main__.py"} <= set(wheel.namelist())
    (scripts,) = (name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    assert b"vitrine = vitrine.cli.app:main" in wheel.read(scripts)
