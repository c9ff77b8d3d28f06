"""Pictures below a folder, and nothing but pictures below that folder."""

import os
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from vitrine.domain import Deadline
from vitrine.errors import (
    DeadlineExceeded,
    ImageMissing,
    ImageTooLarge,
    ImageUnreadable,
    InvalidInput,
    VitrineError,
)
from vitrine.gateway.items.folder import ImageFolder, open_folder

LIMIT = 1_000


def soon() -> Deadline:
    return Deadline.after(10)


def open_handles() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.jpg").write_bytes(b"secret")
    root = tmp_path / "pictures"
    (root / "images").mkdir(parents=True)
    (root / "images" / "a b.jpg").write_bytes(b"picture")
    (root / "out.jpg").symlink_to(outside / "secret.jpg")
    (root / "near.jpg").symlink_to(root / "images" / "a b.jpg")
    (root / "way").symlink_to(outside)
    (root / "round").symlink_to(root / "round")
    (root / "folder.jpg").mkdir()
    os.mkfifo(root / "pipe.jpg")
    return root


@pytest.fixture
def folder(root: Path) -> Iterator[ImageFolder]:
    with open_folder(root, LIMIT) as folder:
        yield folder


async def test_a_picture_is_read(folder: ImageFolder) -> None:
    assert await folder.read("images/a b.jpg", soon()) == b"picture"


async def test_the_folder_itself_may_be_a_link(root: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(root)
    with open_folder(tmp_path / "link", LIMIT) as folder:
        assert await folder.read("images/a b.jpg", soon()) == b"picture"


@pytest.mark.parametrize(
    "path",
    [
        *("nothing.jpg", "images", "images/nothing/x.jpg", "images/a b.jpg/x", "folder.jpg"),
        *("out.jpg", "near.jpg", "way/secret.jpg", "round", "round/x", "pipe.jpg", "x" * 300),
    ],
)
async def test_what_is_no_file_of_the_folder_is_missing(folder: ImageFolder, path: str) -> None:
    with pytest.raises(ImageMissing) as caught:
        await folder.read(path, soon())
    assert "secret" not in caught.value.message.replace(path, "")


@pytest.mark.parametrize("path", ["../outside/secret.jpg", "/etc/passwd", "images/../../outside/secret.jpg", ".", ""])
async def test_paths_out_of_the_folder_are_refused_before_anything_is_opened(path: str) -> None:
    with open_folder(Path("/no/such/folder"), LIMIT) as folder:
        with pytest.raises(InvalidInput) as caught:
            await folder.read(path, soon())
        assert caught.value.code == "invalid_input"


async def test_a_socket_and_a_device_are_missing(folder: ImageFolder, root: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        # Its path may be longer than the 107 bytes that a socket's name can have.
        here = Path.cwd()
        os.chdir(root)
        try:
            listening.bind("socket.jpg")
        finally:
            os.chdir(here)
        with pytest.raises(ImageMissing):
            await folder.read("socket.jpg", soon())
    with open_folder(Path("/dev"), LIMIT) as devices, pytest.raises(ImageMissing):
        await devices.read("zero", soon())


async def test_a_large_file_is_refused_before_it_is_read(folder: ImageFolder, root: Path) -> None:
    with (root / "huge.jpg").open("wb") as file:
        file.truncate(2**40)  # sparse
    with pytest.raises(ImageTooLarge) as caught:
        await folder.read("huge.jpg", soon())
    assert caught.value.details == {"limit_bytes": LIMIT}


@pytest.mark.parametrize(("size", "fits"), [(LIMIT, True), (LIMIT + 1, False), (0, True)])
async def test_the_limit_is_exact(folder: ImageFolder, root: Path, size: int, fits: bool) -> None:
    (root / "edge.jpg").write_bytes(b"x" * size)
    if fits:
        assert len(await folder.read("edge.jpg", soon())) == size
    else:
        with pytest.raises(ImageTooLarge):
            await folder.read("edge.jpg", soon())


async def test_a_file_that_grows_while_it_is_read_stays_bounded() -> None:
    """/proc files say that they are empty, whatever they hold: the size told is not what bounds the reading."""
    with open_folder(Path("/proc/self"), 10) as living, pytest.raises(ImageTooLarge):
        await living.read("maps", soon())


async def test_what_the_system_does_not_let_us_read_is_unreadable() -> None:
    """A process' memory begins with a page that nobody may read, not even root."""
    with open_folder(Path("/proc/self"), LIMIT) as living, pytest.raises(ImageUnreadable) as caught:
        await living.read("mem", soon())
    assert caught.value.details == {"field": "image_path"}


async def test_a_folder_that_is_not_there_is_unreadable_and_may_come_later(tmp_path: Path) -> None:
    with open_folder(tmp_path / "later", LIMIT) as folder:
        with pytest.raises(ImageUnreadable):
            await folder.read("a.jpg", soon())
        (tmp_path / "later").mkdir()
        (tmp_path / "later" / "a.jpg").write_bytes(b"here")
        assert await folder.read("a.jpg", soon()) == b"here"


async def test_without_a_folder_nothing_is_read() -> None:
    with open_folder(None, LIMIT) as folder, pytest.raises(InvalidInput, match="images_root"):
        await folder.read("a.jpg", soon())


async def test_a_file_system_that_hangs_costs_no_more_than_the_deadline(root: Path) -> None:
    release = threading.Event()
    with ThreadPoolExecutor(1) as threads:
        threads.submit(release.wait)
        folder = ImageFolder(root, LIMIT, threads)
        try:
            with pytest.raises(DeadlineExceeded):
                await folder.read("images/a b.jpg", Deadline.after(0.05))
        finally:
            release.set()


async def test_no_handle_is_left_open(folder: ImageFolder) -> None:
    before = open_handles()
    for path in ("images/a b.jpg", "way/secret.jpg", "pipe.jpg", "images/nothing/x", "folder.jpg") * 5:
        try:
            await folder.read(path, soon())
        except VitrineError:
            continue
    assert open_handles() <= before
