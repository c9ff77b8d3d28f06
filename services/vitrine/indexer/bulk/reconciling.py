"""What the collection holds, compared with what the files hold."""

import asyncio
from pathlib import Path

import pyarrow.parquet as pq

from vitrine.domain import Deadline
from vitrine.errors import DeadlineExceeded
from vitrine.indexer.bulk.manifest import Manifest
from vitrine.indexer.target import IndexIncomplete
from vitrine.vectorstore.admin import CollectionAdmin, Progress
from vitrine.vectorstore.collection import ID

# Query nodes of a loaded collection take imported segments some 10 s after their job has ended.
VISIBLE_WITHIN_S = 120.0
_POLL_S = 0.5
_SHOWN = 5


async def wait_for_rows(admin: CollectionAdmin, name: str, rows: int, on_progress: Progress) -> int:
    """Waits until a strong count gives exactly `rows`.

    Raises:
        IndexIncomplete: it gives more, or still fewer after a while.
    """
    until = Deadline.after(VISIBLE_WITHIN_S)
    counted = 0
    try:
        while (counted := await admin.count(name)) < rows:
            on_progress("counting", counted / rows)
            await asyncio.sleep(min(_POLL_S, until.remaining()))
    except DeadlineExceeded as error:
        raise _differs(name, counted, rows) from error
    on_progress("counting", 1.0)
    if counted > rows:
        raise _differs(name, counted, rows)
    return counted


async def compare_ids(admin: CollectionAdmin, name: str, folder: Path, manifest: Manifest) -> None:
    """Lists every id of the collection and of the files; both in memory, about 100 bytes for each id.

    Raises:
        IndexIncomplete: naming some that are in one and not in the other.
        BulkFilesInvalid, OSError: the files cannot be read here.
    """
    missing = await asyncio.to_thread(_ids_in, folder, manifest)
    foreign: list[str] = []
    async for item_id in admin.ids(name):
        if item_id in missing:
            missing.remove(item_id)
        else:
            foreign.append(item_id)
    if missing or foreign:
        examples = ", ".join(sorted(missing)[:_SHOWN] + foreign[:_SHOWN])
        raise IndexIncomplete(
            f"{name} lacks {len(missing)} ids of the files and holds {len(foreign)} others, such as {examples}.",
            missing=len(missing),
            foreign=len(foreign),
        )


def _ids_in(folder: Path, manifest: Manifest) -> set[str]:
    ids: set[str] = set()
    for file in manifest.files:
        ids.update(pq.read_table(folder / file.name, columns=[ID])[ID].to_pylist())
    return ids


def _differs(name: str, counted: int, rows: int) -> IndexIncomplete:
    return IndexIncomplete(
        f"{name} holds {counted} rows, the files {rows}. Drop it and import again; it is not published.",
        rows=counted,
        expected=rows,
    )
