"""The checkpoint of a run and its model repositories, made once and kept."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from loadtest.bench.http_connection import BenchError
from loadtest.bench.serving.sizes import PRECISIONS, Size
from vitrine.embedding.contract import IMAGE_MODEL, TEXT_MODEL, ModelContract
from vitrine.errors import ModelInvalid
from vitrine.models.triton_config import Serving, image_config, text_config

_TIMEOUT_S: Final = 1_800.0
_WRITE_CHECKPOINT: Final = (
    "import sys; from pathlib import Path; from vitrine.models.random_clip import write_random_clip; "
    "write_random_clip(Path(sys.argv[1]), size=sys.argv[2])"
)


class Models:
    """What lies below one folder.

    Args:
        folder: made where it is missing.
        python: of the environment with torch (`make export-env`).
    """

    def __init__(self, folder: Path, python: Path) -> None:
        self._folder = folder.absolute()
        self._python = python.absolute()

    @property
    def checkpoint(self) -> Path:
        """A CLIP of the transformers format, with random weights."""
        return self._folder / "checkpoint"

    def repository(self, precision: str) -> Path:
        """Triton's model repository of a precision."""
        return self._folder / precision

    def build(self, size: Size) -> dict[str, ModelContract]:
        """Makes what is missing or cannot be read; contracts by precision.

        Raises:
            BenchError: the environment with torch is missing, or what it made cannot be used.
        """
        if not (self.checkpoint / "model.safetensors").is_file():
            print(f"Writing a {size.checkpoint} checkpoint with random weights", flush=True)
            self._run("-c", _WRITE_CHECKPOINT, str(self.checkpoint), size.checkpoint)
        return {precision: self._exported(precision) for precision in PRECISIONS}

    def _exported(self, precision: str) -> ModelContract:
        repository = self.repository(precision)
        try:
            contract = ModelContract.load(repository)
        except ModelInvalid:
            print(f"Exporting the checkpoint in {precision}", flush=True)
            shutil.rmtree(repository, ignore_errors=True)
        else:
            # Weights are kept; how Triton runs them is as an export of today would have it.
            (repository / TEXT_MODEL / "config.pbtxt").write_text(text_config(contract, Serving()), encoding="utf-8")
            (repository / IMAGE_MODEL / "config.pbtxt").write_text(image_config(contract, Serving()), encoding="utf-8")
            return contract
        # Named alike wherever the bench's folder is: the name is part of the fingerprint.
        arguments = ("--output", str(repository), "--precision", precision, "--name", "bench/random-clip")
        self._run("-m", "vitrine.cli.app", "model", "export", str(self.checkpoint), *arguments)
        return ModelContract.load(repository)

    def _run(self, *arguments: str) -> None:
        _require_export_environment(self._python)
        self._folder.mkdir(parents=True, exist_ok=True)
        _checked([str(self._python), *arguments], self._folder)


def _require_export_environment(python: Path) -> None:
    if not python.is_file():
        raise BenchError(f"There is no {python}: `make export-env` makes the environment with torch.")


def _checked(command: Sequence[str], folder: Path) -> None:
    ended = subprocess.run(  # noqa: S603 - our own code in the environment with torch
        command,
        cwd=folder,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    if ended.returncode != 0:
        raise BenchError(f"{' '.join(command[:4])} ended with status {ended.returncode}:\n{ended.stderr[-2000:]}")
