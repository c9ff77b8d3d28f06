"""Services that are small Python programs: the supervision of real processes without the engines."""

import re
import sys
from pathlib import Path

from vitrine.local.service import Launch, Port

READY = "open('ready', 'w').close()\n"
WAIT = "import signal\nwhile True: signal.pause()\n"
STUBBORN = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"


class ScriptedService:
    """Runs a script in a folder of its own; ready while a file named `ready` lies there."""

    def __init__(self, name: str, folder: Path, script: str = READY + WAIT, ports: tuple[Port, ...] = ()) -> None:
        self.name = name
        self.address = f"nowhere/{name}"
        self.ports = ports
        self.folder = folder / name
        self.script = script
        self.clean_ups = 0
        self.complaint = re.compile("complaint")

    def prepare(self) -> Launch:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "ready").unlink(missing_ok=True)
        return Launch((sys.executable, "-S", "-c", self.script), {"PATH": "/usr/bin:/bin"}, self.folder)

    def is_ready(self) -> bool:
        return (self.folder / "ready").exists()

    def clean_up(self) -> None:
        self.clean_ups += 1
