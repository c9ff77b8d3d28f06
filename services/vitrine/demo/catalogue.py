"""Writes the demo shop to disk in the H&M catalogue's layout: articles.csv and images/<three digits>/<article id>.jpg.

A folder that is being written says so in `demo-catalogue.json` from the first moment on, and articles.csv comes last.
So an interrupted run is recognised and continued, and a folder with anything else in it is never touched.
"""

import csv
import io
import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import BinaryIO

from vitrine.demo.articles import COLUMNS, article_row
from vitrine.demo.design import Product, sample_products
from vitrine.demo.drawing import draw
from vitrine.errors import CatalogueInvalid, StackError

DRAWING_VERSION = 1  # raise it with every change to a picture, so that folders drawn before are drawn again
MARKER = "demo-catalogue.json"
ARTICLES = "articles.csv"

_JPEG_QUALITY = 88
_BATCH = 24  # pictures a worker draws before it reports: about half a second
_BATCH_SECONDS = 120  # far over a batch's half second, even on a machine that is busy otherwise
_MAX_WORKERS = 64


@dataclass(frozen=True, slots=True)
class CatalogueSummary:
    """What a call of write_catalogue did: articles in the catalogue, pictures drawn now, their bytes, and the time."""

    folder: Path
    articles: int
    drawn: int
    image_bytes: int
    seconds: float


@dataclass(frozen=True, slots=True)
class _Recipe:
    count: int
    seed: int
    version: int = DRAWING_VERSION


def image_path(article_id: str) -> Path:
    """Where the picture of an article lies below the catalogue's folder."""
    return Path("images", article_id[:3], f"{article_id}.jpg")


def write_catalogue(
    folder: Path, *, count: int, seed: int, workers: int, on_progress: Callable[[int, int], None]
) -> CatalogueSummary:
    """Draws the shop of (count, seed) into a folder, in `workers` processes; calls on_progress(done, total) as it goes.

    A complete catalogue of the same count, seed and drawing version is left as it is, an interrupted one is continued,
    another demo catalogue is replaced. Every file appears under its name only when it is whole.

    Raises:
        CatalogueInvalid: the folder holds files that are no demo catalogue, or cannot be written.
        StackError: a drawing process died or fell silent.
        ValueError: count or workers out of range.
    """
    if not 1 <= workers <= _MAX_WORKERS:
        raise ValueError(f"workers must be between 1 and {_MAX_WORKERS}, not {workers}")
    started = time.monotonic()
    products = sample_products(count, seed)
    try:
        _claim(folder, _Recipe(count, seed))
        left = [product for product in products if not (folder / image_path(product.article_id)).is_file()]
        finished = not left and (folder / ARTICLES).is_file()
        done = count - len(left)
        on_progress(done, count)
        for drawn in _drawn_batches(folder, left, workers):
            done += drawn
            on_progress(done, count)
        if not finished:
            _write_articles(folder, products)
        size = sum((folder / image_path(product.article_id)).stat().st_size for product in products)
    except OSError as error:
        raise CatalogueInvalid(f"The demo catalogue cannot be written to {folder}: {error}.") from error
    return CatalogueSummary(folder, count, len(left), size, time.monotonic() - started)


def _claim(folder: Path, recipe: _Recipe) -> None:
    """Makes the folder ours for this recipe; what another recipe left there is removed."""
    folder.mkdir(parents=True, exist_ok=True)
    marker = folder / MARKER
    if not marker.is_file():
        if any(folder.iterdir()):
            raise CatalogueInvalid(f"{folder} already holds files that are no demo catalogue; choose an empty folder.")
    elif _read_marker(marker) == asdict(recipe):
        for part in folder.rglob(".*.part"):  # left by a process that was killed while writing
            part.unlink(missing_ok=True)
        return
    else:
        (folder / ARTICLES).unlink(missing_ok=True)
        shutil.rmtree(folder / "images", ignore_errors=True)
    with _whole_file(marker) as file:
        file.write(json.dumps(asdict(recipe)).encode())


def _read_marker(marker: Path) -> object:
    try:
        return json.loads(marker.read_text(encoding="utf-8"))
    except ValueError:
        return None  # a marker nobody can read is that of another recipe: its pictures are drawn again


@contextmanager
def _whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file that gets its name when it is complete, and leaves nothing behind when writing it fails."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            yield file
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _drawn_batches(folder: Path, products: Sequence[Product], workers: int) -> Iterator[int]:
    """Draws the products and yields, batch by batch in any order, how many are on disk."""
    batches = [products[start : start + _BATCH] for start in range(0, len(products), _BATCH)]
    if workers == 1 or len(batches) <= 1:
        for batch in batches:
            yield _draw_batch(folder, batch)
        return
    # Spawned, not forked: the caller may run threads (progress bars, gRPC), which do not survive a fork.
    executor = ProcessPoolExecutor(
        min(workers, len(batches)), mp_context=get_context("spawn"), initializer=_leave_interrupts_to_parent
    )
    try:
        pending: set[Future[int]] = {executor.submit(_draw_batch, folder, batch) for batch in batches}
        while pending:
            done, pending = wait(pending, timeout=_BATCH_SECONDS, return_when=FIRST_COMPLETED)
            if not done:
                raise StackError(f"No picture was drawn for {_BATCH_SECONDS} seconds.", left=len(pending) * _BATCH)
            for future in done:
                yield future.result()
    except BrokenProcessPool as error:
        raise StackError("A drawing process ended before its pictures were done.") from error
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def _leave_interrupts_to_parent() -> None:
    """Ctrl-C reaches every process of a terminal; the parent alone acts on it, after the batches at work are whole."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _draw_batch(folder: Path, products: Sequence[Product]) -> int:
    for product in products:
        path = folder / image_path(product.article_id)
        path.parent.mkdir(parents=True, exist_ok=True)
        with _whole_file(path) as file:
            draw(product).save(file, "JPEG", quality=_JPEG_QUALITY)
    return len(products)


def _write_articles(folder: Path, products: Sequence[Product]) -> None:
    table = io.StringIO(newline="")
    writer = csv.DictWriter(table, COLUMNS)
    writer.writeheader()
    writer.writerows(article_row(product) for product in products)
    with _whole_file(folder / ARTICLES) as file:
        file.write(table.getvalue().encode())
