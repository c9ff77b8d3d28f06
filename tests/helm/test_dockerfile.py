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


def test_the_load_test_brings_all_of_its_modules_and_none_of_the_benchmarks() -> None:
    command = ["git", "ls-files", "loadtest"]
    tracked = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()
    (to,) = (to for source, to in _copied() if source == "loadtest")
    assert str(to) == "/opt/loadtest/loadtest"
    refused = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("loadtest/")]
    assert refused == ["loadtest/bench"]
    files = [ROOT / path for path in tracked if path.endswith(".py") and not path.startswith("loadtest/bench/")]
    for path in files:
        assert "loadtest.bench" not in path.read_text(), path


def test_what_sends_load_has_the_versions_that_are_tested() -> None:
    pins = [_pins(name) for name in ("loadtest", "runtime", "dev")]
    assert pins[0]["locust"]
    for name, versions in pins[0].items():
        assert versions in (pins[1].get(name), pins[2].get(name)), name


def _pins(name: str) -> dict[str, set[str]]:
    """Of each package its versions, which may differ between Pythons."""
    found: dict[str, set[str]] = {}
    for line in (ROOT / "requirements" / f"{name}.txt").read_text().splitlines():
        package, equal, rest = line.partition("==")
        if equal and not line.startswith((" ", "#")):
            found.setdefault(package, set()).add(rest.split()[0])
    return found
