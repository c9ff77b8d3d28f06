"""The options that the load test adds to Locust's own, and what they amount to."""

import argparse
import ipaddress
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from loadtest.arrivals import PROCESSES, Process
from loadtest.shapes import SHAPES, LoadRefused, Shape, Stage
from loadtest.thresholds import FOLDER, Thresholds, read_thresholds

KEY_VARIABLE: Final = "VITRINE_API_KEY"
MOST_IN_FLIGHT: Final = 10_000


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds them; those of the schedule are sent to workers by the master."""
    group = parser.add_argument_group("Load")
    group.add_argument("--shape", choices=sorted(SHAPES), default="smoke", help="Course of the rate (smoke).")
    group.add_argument("--rate", type=float, help="Requests a second that the shape is scaled to.")
    group.add_argument("--duration", type=float, help="Seconds that its stages take together.")
    group.add_argument("--arrivals", choices=PROCESSES, default="poisson", help="How requests come (poisson).")
    group.add_argument("--seed", type=int, default=7, help="Of everything random (7).")
    group.add_argument("--in-flight", type=int, help="Most requests under way at once, all workers together.")
    group.add_argument("--patience", type=float, default=3.0, help="Seconds after which an arrival is dropped (3).")
    group.add_argument("--timeout", type=float, default=10.0, help="Seconds an answer may take (10).")
    group.add_argument("--collection", default="products", help="Alias that is searched (products).")
    group.add_argument(
        "--write-collection", default="", help="Alias of an empty collection to write to; none: no writes."
    )
    group.add_argument(
        "--facets", default="product_type_name,colour_group_name", help="Fields to count and filter by, with commas."
    )
    group.add_argument("--group-by", default="product_code", help="Field whose groups are asked for.")
    group.add_argument("--thresholds", default="", help="TOML file; those of the shape when left out.")
    group.add_argument("--output", default="loadtest-report", help="Folder of the report (loadtest-report).")
    group.add_argument("--allow-remote", action="store_true", help="Load a host that is not this machine.")


@dataclass(frozen=True)
class Plan:
    """A checked set of options."""

    shape: Shape
    stages: tuple[Stage, ...]
    process: Process
    seed: int
    in_flight: int
    patience_s: float
    timeout_s: float
    collection: str
    scratch: str | None
    facets: tuple[str, ...]
    group_by: str | None
    thresholds_file: Path
    output: Path

    @classmethod
    def of(cls, options: argparse.Namespace) -> "Plan":
        """What the options ask for.

        Raises:
            LoadRefused: one of them is out of bounds or names what there is not.
        """
        shape = SHAPES[options.shape]
        stages = shape.stages(options.rate, options.duration)
        in_flight = shape.in_flight if options.in_flight is None else options.in_flight
        if not 0 < in_flight <= MOST_IN_FLIGHT:
            raise LoadRefused(f"--in-flight is at least 1 and at most {MOST_IN_FLIGHT:,}, not {in_flight}.")
        if not (0 < options.patience <= 60 and 0 < options.timeout <= 60):
            raise LoadRefused("--patience and --timeout are above 0 and at most 60 s.")
        if options.write_collection == options.collection:
            raise LoadRefused("--write-collection must not be the collection that is searched.")
        return cls(
            shape=shape,
            stages=stages,
            process=options.arrivals,
            seed=options.seed,
            in_flight=in_flight,
            patience_s=options.patience,
            timeout_s=options.timeout,
            collection=options.collection,
            scratch=options.write_collection or None,
            facets=tuple(filter(None, options.facets.split(","))),
            group_by=options.group_by or None,
            thresholds_file=Path(options.thresholds or FOLDER / f"{shape.name}.toml"),
            output=Path(options.output),
        )

    def thresholds(self) -> Thresholds:
        """Those of the file, which only the process that judges needs to have.

        Raises:
            LoadRefused: it cannot be read, or does not fit the shape.
        """
        return read_thresholds(self.thresholds_file, tuple(stage.name for stage in self.stages if stage.measured))

    @property
    def seconds(self) -> float:
        """All stages together, the warm-up too."""
        return sum(stage.seconds for stage in self.stages)

    def told(self, host: str, workers: int) -> dict[str, Any]:
        """What the run was, for its summary."""
        return {
            "shape": self.shape.name,
            "host": host,
            "arrivals": self.process,
            "seed": self.seed,
            "in_flight": self.in_flight,
            "patience_s": self.patience_s,
            "timeout_s": self.timeout_s,
            "workers": workers,
            "writes": self.scratch is not None,
        }


def require_host(host: str | None, *, allow_remote: bool) -> str:
    """The address to load, without a slash at its end.

    Raises:
        LoadRefused: there is none, or it is not this machine and nobody said that it may be another.
    """
    parts = urlsplit(host or "")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise LoadRefused(f"--host names the gateway, such as http://127.0.0.1:8080, not {host!r}.")
    if not allow_remote and not _is_loopback(parts.hostname):
        raise LoadRefused(f"{parts.hostname} is not this machine. To load it all the same, say --allow-remote.")
    return str(host).rstrip("/")


def _is_loopback(name: str) -> bool:
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def credentials() -> dict[str, str]:
    """The header that carries the API key of the environment; nothing where none is set."""
    key = os.environ.get(KEY_VARIABLE)
    return {"Authorization": f"Bearer {key}"} if key else {}
