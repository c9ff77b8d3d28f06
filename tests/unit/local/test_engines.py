import platform
import subprocess
import sys
from pathlib import Path

import pytest

from vitrine.local.engines import Engines, require_platform
from vitrine.local.errors import EnginesMissing, PlatformUnsupported

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the engines exist for Linux only")


def bare_environment(prefix: Path) -> Path:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", prefix], check=True, timeout=60)
    return next((prefix / "lib").glob("python3*")) / "site-packages"


def test_no_environment_names_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(EnginesMissing, match=r"no engines' environment at .*none; run `make engines`"):
        Engines.locate(tmp_path / "none")


def test_an_empty_environment_says_what_it_lacks(tmp_path: Path) -> None:
    bare_environment(tmp_path / "engines")
    with pytest.raises(EnginesMissing, match="lacks tritonserver; run `make engines`"):
        Engines.locate(tmp_path / "engines")


def test_a_python_without_a_stub_is_named_with_those_that_have_one(tmp_path: Path) -> None:
    site = bare_environment(tmp_path / "engines")
    for folder in (
        "nvidia_pytriton.libs",
        "pytriton/tritonserver/bin/tritonserver",
        "pytriton/tritonserver/backends/python",
        "pytriton/tritonserver/python_backend_stubs/3.8",
        "milvus/data/bin",
        "onnxruntime",
        "numpy",
    ):
        (site / folder).mkdir(parents=True)
    version = "{}.{}".format(*sys.version_info[:2])
    with pytest.raises(EnginesMissing, match=rf"uses Python {version}, for which Triton has no stub \(it has 3\.8\)"):
        Engines.locate(tmp_path / "engines")


def test_a_python_that_does_not_run_is_reported(tmp_path: Path) -> None:
    python = tmp_path / "engines" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\nexit 3\n", encoding="utf-8")
    python.chmod(0o755)
    with pytest.raises(EnginesMissing, match="does not run"):
        Engines.locate(tmp_path / "engines")


@pytest.mark.parametrize(
    ("system", "machine", "libc", "found"),
    [
        ("linux", "aarch64", ("glibc", "2.39"), "on aarch64"),
        ("darwin", "x86_64", ("", ""), "on x86_64"),
        ("linux", "x86_64", ("glibc", "2.31"), "glibc 2.31"),
        ("linux", "x86_64", ("", ""), "another C library"),
    ],
)
def test_an_unsupported_platform_is_told_what_is_needed(
    monkeypatch: pytest.MonkeyPatch, system: str, machine: str, libc: tuple[str, str], found: str
) -> None:
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(platform, "libc_ver", lambda: libc)
    with pytest.raises(PlatformUnsupported, match=f"needs Linux on x86_64 with glibc 2.35 or newer; .*{found}"):
        require_platform()
