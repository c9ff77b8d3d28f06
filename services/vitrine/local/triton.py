"""Triton as a local process: NVIDIA's server binary with our `onnxruntime` backend beside it."""

import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

from vitrine.local.engines import Engines
from vitrine.local.errors import EnginesMissing, StateUnusable
from vitrine.local.service import HUGE_PAGES, LOOPBACK, Launch, Port, answers_ok
from vitrine.settings import LocalSettings

BACKEND_SOURCE: Final = Path(__file__).parent / "onnxruntime_backend" / "model.py"
SHARED_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - where Linux keeps POSIX shared memory, not a temporary file
# Per model instance; Triton grows the region by as much when a batch does not fit. A batch of 32 pictures is 4.6 MiB.
SHARED_MEMORY_BYTES: Final = 8 << 20
LONGEST_DRAIN_S: Final = 10
_MISSING_LIBRARY: Final = 127  # the loader's exit status
_STUB_TIMEOUT_S: Final = 10.0


class TritonService:
    """Serves one model repository on loopback.

    Args:
        settings: ports and time limits.
        engines: where the server is.
        repository: the model repository.
        folder: this service's part of the state folder.
        otlp_endpoint: where its own spans go, over OTLP/HTTP; empty: nowhere.
    """

    name = "triton"
    complaint = re.compile(r"Z E .*(?<!initialized\.\")$|^error:")  # "... has not been initialized.": no GPU, no matter

    def __init__(
        self, settings: LocalSettings, engines: Engines, repository: Path, folder: Path, *, otlp_endpoint: str = ""
    ) -> None:
        self._settings = settings
        self._engines = engines
        self._repository = repository.absolute()
        self._folder = folder.absolute()
        self._otlp_endpoint = otlp_endpoint

    @property
    def address(self) -> str:
        """Of Triton's HTTP port."""
        return f"http://{LOOPBACK}:{self._settings.triton_http_port}"

    @property
    def ports(self) -> tuple[Port, ...]:
        """HTTP, gRPC and metrics."""
        settings = self._settings
        return (
            Port(settings.triton_http_port, "VITRINE_LOCAL__TRITON_HTTP_PORT", "Triton's HTTP"),
            Port(settings.triton_grpc_port, "VITRINE_LOCAL__TRITON_GRPC_PORT", "Triton's gRPC"),
            Port(settings.triton_metrics_port, "VITRINE_LOCAL__TRITON_METRICS_PORT", "Triton's metrics"),
        )

    @property
    def shared_memory_prefix(self) -> str:
        """What the names of this stack's regions under /dev/shm begin with; another state folder has another."""
        digest = hashlib.sha256(os.fsencode(self._folder)).hexdigest()
        return f"vitrine_{digest[:12]}_"

    def prepare(self) -> Launch:
        """Assembles the backend folder.

        Raises:
            EnginesMissing: Triton's Python stub cannot run.
            StateUnusable: the folder cannot be written.
        """
        try:
            self._assemble()
        except OSError as error:
            raise StateUnusable(f"Triton's backends cannot be written to {self._folder}: {error.strerror}.") from error
        self._require_stub()
        self.clean_up()
        return Launch(self._command(), self._environment(), self._folder)

    def is_ready(self) -> bool:
        """Server up and every model loaded."""
        return answers_ok(self._settings.triton_http_port, "/v2/health/ready")

    def clean_up(self) -> None:
        """Removes shared memory regions, which survive a killed Triton."""
        for region in SHARED_MEMORY.glob(f"{self.shared_memory_prefix}*"):
            region.unlink(missing_ok=True)

    @property
    def _backends(self) -> Path:
        return self._folder / "backends"

    @property
    def _models(self) -> Path:
        """A link to the model repository, wherever that is."""
        return self._folder / "models"

    @property
    def _libraries(self) -> Path:
        return self._folder / "lib"

    def _assemble(self) -> None:
        """Copies, since Triton refuses symbolic links that leave the backend folder."""
        shutil.rmtree(self._backends, ignore_errors=True)
        python = self._backends / "python"
        onnxruntime = self._backends / "onnxruntime"
        for folder in (python, onnxruntime, self._libraries):
            folder.mkdir(parents=True, exist_ok=True)
        for file in self._engines.python_backend.iterdir():
            if file.is_file():
                shutil.copy(file, python)
        shutil.copy(self._engines.python_stub, python)
        (python / self._engines.python_stub.name).chmod(0o755)
        shutil.copy(BACKEND_SOURCE, onnxruntime)
        if (library := self._engines.python_library) is not None:
            # Alone in a folder: the others beside it (libssl, libstdc++) are not for Triton.
            link = self._libraries / library.name
            link.unlink(missing_ok=True)
            link.symlink_to(library)
        self._models.unlink(missing_ok=True)
        self._models.symlink_to(self._repository)

    def _require_stub(self) -> None:
        stub = self._backends / "python" / self._engines.python_stub.name
        try:
            answer = subprocess.run(  # noqa: S603 - copied from the engines
                [stub], capture_output=True, env=self._environment(), text=True, timeout=_STUB_TIMEOUT_S, check=False
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise EnginesMissing(f"Triton's Python stub does not run: {error}.") from error
        if answer.returncode == _MISSING_LIBRARY:
            raise EnginesMissing(
                f"Triton's Python stub lacks a shared library ({answer.stderr.strip()}); install the system's "
                f"libpython{self._engines.python} package, or make the engines with a Python that has its own."
            )

    def _environment(self) -> dict[str, str]:
        """The stub finds its packages through VIRTUAL_ENV and the `python3` that comes first on PATH."""
        engines = self._engines
        return {
            "PATH": f"{engines.prefix / 'bin'}:{os.defpath}",
            "VIRTUAL_ENV": str(engines.prefix),
            "LD_LIBRARY_PATH": f"{engines.triton_libraries}:{self._libraries}",
            "PYTHONNOUSERSITE": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            **HUGE_PAGES,
        }

    def _command(self) -> tuple[str, ...]:
        settings = self._settings
        drain_s = max(1, min(LONGEST_DRAIN_S, int(settings.stop_timeout_s / 2)))
        return (
            str(self._engines.tritonserver),
            # Relative to the working directory: Triton starts a model's process by a shell that splits paths at blanks.
            f"--model-repository={self._models.name}",
            f"--backend-directory={self._backends.name}",
            "--model-control-mode=none",
            "--strict-readiness=true",
            "--exit-on-error=true",
            f"--exit-timeout-secs={drain_s}",
            f"--http-address={LOOPBACK}",
            f"--http-port={settings.triton_http_port}",
            f"--grpc-address={LOOPBACK}",
            f"--grpc-port={settings.triton_grpc_port}",
            f"--metrics-address={LOOPBACK}",
            f"--metrics-port={settings.triton_metrics_port}",
            "--allow-gpu-metrics=false",
            "--log-format=ISO8601",
            f"--backend-config=python,shm-region-prefix-name={self.shared_memory_prefix}",
            f"--backend-config=python,shm-default-byte-size={SHARED_MEMORY_BYTES}",
            f"--backend-config=python,shm-growth-byte-size={SHARED_MEMORY_BYTES}",
            *self._tracing(),
        )

    def _tracing(self) -> tuple[str, ...]:
        """Spans of what comes with a trace's context, and of nothing else: the gateway sends it when it samples."""
        if not self._otlp_endpoint:
            return ()
        return (
            "--trace-config=mode=opentelemetry",
            "--trace-config=level=TIMESTAMPS",
            "--trace-config=rate=0",
            f"--trace-config=opentelemetry,url={self._otlp_endpoint}",
            "--trace-config=opentelemetry,resource=service.name=vitrine-triton",
        )
