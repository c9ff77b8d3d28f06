"""Where the files of a collection's runs lie: ledgers, rejections, and the reports of shards."""

from dataclasses import dataclass
from pathlib import Path

from vitrine.indexer.shards.sharding import WHOLE, Shard
from vitrine.settings import Settings


@dataclass(frozen=True, slots=True)
class LedgerFolder:
    """One folder for all collections of a state folder, or one on a volume that shards share."""

    path: Path

    @classmethod
    def of(cls, settings: Settings, given: Path | None = None) -> "LedgerFolder":
        """The folder given, else the one in the state folder."""
        return cls(given or settings.local.state_dir / "ledger")

    @classmethod
    def locate(cls, settings: Settings, given: Path | None, collection: str) -> tuple["LedgerFolder", list[Path]]:
        """The folder and the ledgers of a collection, where a file or a folder was given or neither."""
        if given is not None and not given.is_dir():
            return cls(given.parent), [given]
        folder = cls.of(settings, given)
        return folder, folder.ledgers(collection)

    def ledger(self, collection: str, shard: Shard = WHOLE) -> Path:
        """SQLite file of one collection, or of one shard of its catalogue."""
        return self.path / f"{collection}{shard.suffix}.sqlite"

    def lock(self, name: str, shard: Shard = WHOLE) -> Path:
        """What keeps two runs of one name apart on one machine."""
        return self.path / f"{name}{shard.suffix}.lock"

    def report(self, alias: str, shard: Shard) -> Path:
        """JSON file in which a shard says how far it is."""
        return self.path / f"{alias}{shard.suffix}.json"

    def newest_shards(self, alias: str) -> int | None:
        """Into how many shards the catalogue was split the last time; None when no shard ever reported."""
        reports = sorted(self.path.glob(f"{alias}.shard-*-of-*.json"), key=lambda path: path.stat().st_mtime)
        return int(reports[-1].stem.rsplit("-", 1)[1]) if reports else None

    def ledgers(self, collection: str) -> list[Path]:
        """A collection's ledgers: that of undivided runs, or those of shards, whichever was written last."""
        divisions: dict[int, list[Path]] = {}
        for path, shard in self.all_ledgers(collection):
            divisions.setdefault(shard.count, []).append(path)
        return max(divisions.values(), key=lambda paths: max(map(_written, paths)), default=[])

    def all_ledgers(self, collection: str) -> list[tuple[Path, Shard]]:
        """Ledgers of every division that a collection's catalogue ever had."""
        whole = self.ledger(collection)
        found = [(whole, WHOLE)] if whole.exists() else []
        for path in sorted(self.path.glob(f"{collection}.shard-*-of-*.sqlite")):
            number, count = path.stem.rsplit(".shard-", 1)[1].split("-of-")
            if number.isdigit() and count.isdigit():
                found.append((path, Shard(int(number), int(count))))
        return found


def _written(path: Path) -> float:
    """When a ledger was written last; seconds since 1970."""
    log = path.with_name(path.name + "-wal")
    return max(one.stat().st_mtime for one in (path, log) if one.exists())
