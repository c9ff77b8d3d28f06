"""What a run took place on."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

import psutil

CORES: Final = len(os.sched_getaffinity(0))
_PACKAGES: Final = ("numpy", "pymilvus", "tritonclient", "uvloop")
_ENGINES: Final = ("nvidia-pytriton", "milvus", "onnxruntime")
_RECIPE: Final = ("torch", "sentence-transformers", "transformers")
_TIMEOUT_S: Final = 30.0


def described(engines: Path, recipe_python: Path) -> dict[str, str]:
    """Date, processor, versions; all for people."""
    memory = psutil.virtual_memory().total / 1024**3
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": f"{_processor()}, {CORES} cores, {memory:.0f} GiB",
        "system": f"Linux {platform.release()}, Python {platform.python_version()}",
        "revision": _output(["git", "rev-parse", "--short", "HEAD"]),
        "here": ", ".join(f"{name} {version(name)}" for name in _PACKAGES),
        "engines": _versions(engines / "bin" / "python", _ENGINES),
        "recipe": _versions(recipe_python, _RECIPE),
        "load average at the start": f"{os.getloadavg()[0]:.2f}",
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _versions(python: Path, packages: tuple[str, ...]) -> str:
    """Of packages in another environment."""
    code = "import sys, importlib.metadata as m; print(', '.join(f'{name} {m.version(name)}' for name in sys.argv[1:]))"
    return _output([str(python), "-c", code, *packages])


def _output(command: list[str]) -> str:
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=True)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return "not known"
    return ended.stdout.strip()
