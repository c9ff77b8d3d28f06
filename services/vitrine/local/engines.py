"""The engines' own environment: where Triton and Milvus are, and whether they can run here."""

import json
import lzma
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from vitrine.local.errors import EnginesMissing, PlatformUnsupported, StateUnusable

MAKE_ENGINES = "run `make engines` to install them"
MINIMUM_GLIBC = (2, 35)  # of the wheel that carries tritonserver: its tag is manylinux_2_35_x86_64
_QUERY_TIMEOUT_S = 20.0
_DESCRIBE = """
import json, sys, sysconfig
of = sysconfig.get_config_var
print(json.dumps({
    "version": "%d.%d" % sys.version_info[:2],
    "site": sysconfig.get_path("purelib"),
    "library": of("INSTSONAME") or "",
    "library_folder": of("LIBDIR") or "",
}))
"""


@dataclass(frozen=True)
class Engines:
    """The files of an engines' environment.

    Args:
        prefix: the virtual environment.
        site: its site-packages.
        python: version of its Python, "3.11".
        python_library: the shared libpython beside that Python, or None when the loader must find one.
    """

    prefix: Path
    site: Path
    python: str
    python_library: Path | None

    @property
    def tritonserver(self) -> Path:
        """NVIDIA's server binary."""
        return self.site / "pytriton" / "tritonserver" / "bin" / "tritonserver"

    @property
    def triton_libraries(self) -> Path:
        """Shared libraries of the server binary."""
        return self.site / "nvidia_pytriton.libs"

    @property
    def python_backend(self) -> Path:
        """Folder of Triton's Python backend."""
        return self.site / "pytriton" / "tritonserver" / "backends" / "python"

    @property
    def python_stub(self) -> Path:
        """The program that runs Python models, built for exactly one Python version."""
        stubs = self.site / "pytriton" / "tritonserver" / "python_backend_stubs"
        return stubs / self.python / "triton_python_backend_stub"

    @property
    def milvus_archive(self) -> Path:
        """Folder of Milvus's binary and libraries, each compressed."""
        return self.site / "milvus" / "data" / "bin"

    @classmethod
    def locate(cls, engines_dir: Path) -> "Engines":
        """Finds the environment and checks that it is complete.

        Raises:
            PlatformUnsupported: not Linux on x86_64 with a recent enough glibc.
            EnginesMissing: not installed, or installed with a Python that Triton has no stub for.
        """
        require_platform()
        prefix = engines_dir.absolute()
        python = prefix / "bin" / "python"
        if not python.exists():
            raise EnginesMissing(f"There is no engines' environment at {prefix}; {MAKE_ENGINES}.")
        facts = _describe(python)
        library = Path(facts["library_folder"]) / facts["library"]
        engines = cls(
            prefix=prefix,
            site=Path(facts["site"]),
            python=facts["version"],
            python_library=library if ".so" in facts["library"] and library.is_file() else None,
        )
        engines._require_complete()
        return engines

    def _require_complete(self) -> None:
        for part in (self.tritonserver, self.triton_libraries, self.python_backend, self.milvus_archive):
            if not part.exists():
                raise EnginesMissing(f"The engines' environment {self.prefix} lacks {part.name}; {MAKE_ENGINES}.")
        for package in ("onnxruntime", "numpy"):
            if not (self.site / package).is_dir():
                raise EnginesMissing(f"The engines' environment {self.prefix} lacks {package}; {MAKE_ENGINES}.")
        if not self.python_stub.is_file():
            known = sorted(path.name for path in self.python_stub.parent.parent.glob("3.*"))
            raise EnginesMissing(
                f"The engines' environment {self.prefix} uses Python {self.python}, for which Triton has no stub "
                f"(it has {', '.join(known)}); make it with one of those."
            )

    def unpacked_milvus(self) -> Path:
        """Folder with Milvus's binary ready to run; unpacked once per environment (240 MB, some seconds).

        Raises:
            StateUnusable: no room, or no right to write there.
        """
        target = self.prefix / "unpacked" / f"milvus-{self._milvus_version()}"
        if target.is_dir():
            return target
        try:
            target.parent.mkdir(exist_ok=True)
            work = Path(tempfile.mkdtemp(prefix=".milvus-", dir=target.parent))
            try:
                for packed in sorted(self.milvus_archive.glob("*.lzma")):
                    unpacked = work / packed.stem
                    with lzma.open(packed) as source, unpacked.open("wb") as sink:
                        shutil.copyfileobj(source, sink, 1 << 20)
                    unpacked.chmod(0o755)
                work.chmod(0o755)
                work.rename(target)  # appears complete or not at all
            finally:
                shutil.rmtree(work, ignore_errors=True)
        except OSError as error:
            if not target.is_dir():  # another `up` may have been first
                raise StateUnusable(f"Milvus cannot be unpacked into {target}: {error.strerror}.") from error
        return target

    def _milvus_version(self) -> str:
        found = sorted(self.site.glob("milvus-*.dist-info"))
        return found[0].name.removesuffix(".dist-info").removeprefix("milvus-") if found else "unknown"


def require_platform() -> None:
    """Checks the machine against the engines' binaries.

    Raises:
        PlatformUnsupported: with what is needed and what was found.
    """
    needed = "The embedded stack needs Linux on x86_64 with glibc {}.{} or newer".format(*MINIMUM_GLIBC)
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise PlatformUnsupported(f"{needed}; this is {platform.system()} on {platform.machine()}.")
    name, version = platform.libc_ver()
    if name != "glibc" or tuple(int(part) for part in version.split(".")[:2]) < MINIMUM_GLIBC:
        raise PlatformUnsupported(
            f"{needed}; this machine has {name or 'another C library'} {version}.".replace(" .", ".")
        )


def _describe(python: Path) -> dict[str, str]:
    environment = {"PATH": os.defpath, "PYTHONNOUSERSITE": "1"}
    try:
        answer = subprocess.run(  # noqa: S603 - our own code, in the environment the settings name
            [python, "-I", "-c", _DESCRIBE],
            capture_output=True,
            check=True,
            text=True,
            timeout=_QUERY_TIMEOUT_S,
            env=environment,
        )
        facts: dict[str, str] = json.loads(answer.stdout)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise EnginesMissing(f"{python} does not run ({error}); {MAKE_ENGINES} again.") from error
    return facts
