"""A Milvus of a benchmark's own, which can be started anew, and the memory that it takes."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vitrine.local.engines import Engines
from vitrine.local.milvus import MilvusService
from vitrine.local.ports import choose_free
from vitrine.local.process import Child, last_lines
from vitrine.settings import LocalSettings

START_TIMEOUT_S = 180.0
STOP_TIMEOUT_S = 30.0
_POLL_S = 0.1
_SETTLING_S = 10


class LocalMilvus:
    """A server on free ports of loopback; it does not run until `start`.

    Args:
        engines_dir: the engines' environment.
        folder: for its data and log.
    """

    def __init__(self, engines_dir: Path, folder: Path) -> None:
        port, metrics, etcd = choose_free(3)
        settings = LocalSettings(
            state_dir=folder, engines_dir=engines_dir, milvus_port=port, milvus_metrics_port=metrics, etcd_port=etcd
        )
        self._service = MilvusService(settings, Engines.locate(engines_dir), folder / "milvus")
        self._log = folder / "milvus.log"
        self._child: Child | None = None

    @property
    def uri(self) -> str:
        """Where it answers."""
        return self._service.address

    @property
    def pid(self) -> int:
        """Of its process.

        Raises:
            SystemExit: it does not run.
        """
        if self._child is None:
            raise SystemExit("Milvus does not run.")
        return self._child.pid

    def start(self) -> None:
        """Returns when it is ready.

        Raises:
            SystemExit: it does not become ready; with the end of its log.
        """
        child = Child(self._service.prepare(), self._log, run="bench")
        self._child = child
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._service.is_ready():
            if child.exit_status() is not None or time.monotonic() > deadline:
                raise SystemExit("\n".join(["Milvus did not become ready:", *last_lines(self._log, 15)]))
            time.sleep(_POLL_S)

    def stop(self) -> None:
        """Ends it; nothing happens when it does not run."""
        if self._child is None:
            return
        self._child.terminate()
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while self._child.exit_status() is None and time.monotonic() < deadline:
            time.sleep(_POLL_S)
        self._child.kill()
        self._child = None
        self._service.clean_up()

    def memory(self) -> int:
        """Bytes of its memory that are no mapped file: what the machine must have for it."""
        return self._resident("RssAnon")

    def settled_memory(self, seconds: int = _SETTLING_S) -> int:
        """The least of it over some seconds: after a start or a load it gives back what it needed for that alone."""
        least = self.memory()
        for _ in range(seconds):
            time.sleep(1)
            least = min(least, self.memory())
        return least

    def mapped(self) -> int:
        """Bytes of files that it has mapped and read: the machine can take these back, and reads them again."""
        return self._resident("RssFile")

    def _resident(self, name: str) -> int:
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith(f"{name}:"))


@contextmanager
def local_milvus(engines_dir: Path) -> Iterator[LocalMilvus]:
    """A server that runs until the end of the block; its data are gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="vitrine-bench-") as folder:
        milvus = LocalMilvus(engines_dir.absolute(), Path(folder))
        try:
            milvus.start()
            yield milvus
        finally:
            milvus.stop()
