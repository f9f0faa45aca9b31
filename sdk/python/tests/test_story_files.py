"""Files of a seat: odd names, large and many, ended half way."""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import signal
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from acts import done
from cutter import Cutter

from clarateach import (
    AsyncClient,
    AsyncSeat,
    Client,
    ConflictError,
    ExhaustedError,
    FileMissingError,
    InvalidError,
    LocalFileError,
    Resources,
    Seat,
    TransferProgress,
    Workshop,
)
from clarateach._local import MARK

if TYPE_CHECKING:
    from conftest import Server

ODD = [
    "a b",
    "ä€😀",
    "100%",
    "%2e%2e",
    "a#b?c;d&e",
    "back\\slash",
    "'quote\"",
    "-dash",
    "new\nline",
    "...",
    " lead and trail ",
    "x" * 255,
    os.fsdecode(b"no\xfftext"),
]
LARGE = 24 << 20


@pytest.fixture(scope="session")
def large(seat: Seat) -> str:
    """A large file in the seat: its SHA-256."""
    made = seat.run(f"head -c {LARGE} /dev/urandom > large && sha256sum large", check=True)
    return made.stdout.split()[0]


def test_a_full_seat_keeps_the_old_file(client: Client) -> None:
    small = Resources(disk_mib=64)
    made = client.workshops.create("Small", 1, runtime="container", resources=small)
    with client.join(made.wait_running().code) as seat:
        seat.files.write("file", b"old")
        with pytest.raises(ExhaustedError) as full:
            seat.files.write("file", bytes(100 << 20))
        assert full.value.reason == "DISK_FULL"
        assert seat.files.read("file") == b"old"
    made.delete().wait_deleted()


def digest(file: Path) -> str:
    """Of a local file."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.mark.parametrize("layer", ["threads", "asyncio"])
@pytest.mark.parametrize("name", ODD)
async def test_an_odd_name_is_a_name(seat: Seat, aseat: AsyncSeat, name: str, layer: str) -> None:
    path, content = f"odd/{name}", name.encode("utf-8", "surrogateescape")
    files: Any = seat.files if layer == "threads" else aseat.files
    await done(files.mkdir("odd"))
    await done(files.write(path, content))
    assert await done(files.read(path)) == content
    assert name in [entry.name for entry in await done(files.list("odd"))]
    assert (await done(files.stat(path))).path == path
    await done(files.move(path, "odd/plain"))
    assert not await done(files.exists(path))
    await done(files.move("odd/plain", path))
    await done(files.delete(path))
    assert await done(files.list("odd")) == []


def test_a_file_is_written_over_only_as_it_was_known(seat: Seat) -> None:
    first = seat.files.write("tagged", b"1", create=True)
    with pytest.raises(ConflictError):
        seat.files.write("tagged", b"2", create=True)
    second = seat.files.write("tagged", b"2", if_match=first)
    assert seat.files.etag("tagged") == second != first
    with pytest.raises(ConflictError):
        seat.files.write("tagged", b"3", if_match=first)
    assert seat.files.read("tagged") == b"2"
    with pytest.raises(FileMissingError) as none:
        seat.files.etag("no such file")
    assert none.value.reason == "NOT_FOUND"


def test_a_folder_comes_as_one_archive(seat: Seat) -> None:
    seat.files.mkdir("packed/inner")
    seat.files.write("packed/inner/file", b"kept")
    packed = b"".join(seat.files.archive("packed"))
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        (member,) = [one for one in archive if one.isfile()]
        content = archive.extractfile(member)
        assert content is not None
        assert content.read() == b"kept"


def test_a_large_folder_is_listed_as_it_is_needed(seat: Seat) -> None:
    names = [f"file-{number:04}" for number in range(1005)]
    seat.run("mkdir -p long; cd long; touch $(seq -f file-%04g 0 1004)", check=True)
    assert [entry.name for entry in seat.files.entries("long")] == names
    # A name that JSON cannot say: the rest is read by bytes, and nothing twice.
    seat.run("touch long/file-1002$(printf '\\377')", check=True)
    listed = [entry.name for entry in seat.files.entries("long")]
    assert listed == sorted([*names, "file-1002\udcff"])
    assert [entry.name for entry in seat.files.list("long")] == listed


def test_folders_are_made_moved_copied_and_deleted(seat: Seat) -> None:
    files = seat.files
    files.delete("tree", missing_ok=True)
    files.mkdir("tree/a/b")
    files.mkdir("tree/a/b")
    files.write("tree/a/b/f", "text")
    files.copy("tree/a", "tree/c")
    files.move("tree/a", "tree/d")
    assert [entry.name for entry in files.list("tree")] == ["c", "d"]
    assert files.read_text("tree/c/b/f") == files.read_text("tree/d/b/f") == "text"
    with pytest.raises(ConflictError):
        files.move("tree/c", "tree/d")
    files.move("tree/c", "tree/d", overwrite=True)
    with pytest.raises(ConflictError):
        files.mkdir("tree/d/b/f/g")
    with pytest.raises(ConflictError):
        files.write("tree/none/f", b"")
    with pytest.raises(ConflictError):
        files.list("tree/d/b/f")
    files.delete("tree")
    for act in (files.read, files.list, files.stat, files.delete):
        with pytest.raises(FileMissingError):
            act("tree")
    with pytest.raises(FileNotFoundError):
        files.read("tree/f")
    for wrong in ("", "/", ".", "..", "a/../../b"):
        with pytest.raises(InvalidError):
            files.delete(wrong)


def test_more_than_a_page_is_listed(seat: Seat) -> None:
    seat.run("mkdir -p many && cd many && seq 1 2100 | xargs touch", check=True)
    names = {entry.name for entry in seat.files.list("many")}
    assert names == {str(number) for number in range(1, 2101)}
    seat.files.delete("many")


def test_a_large_file_goes_both_ways(seat: Seat, large: str, tmp_path: Path) -> None:
    told: list[TransferProgress] = []
    result = seat.files.download("large", tmp_path / "here", on_progress=told.append)
    assert (result.files, result.bytes) == (1, LARGE)
    assert digest(tmp_path / "here") == large
    assert [p.bytes_done for p in told] == sorted(p.bytes_done for p in told)
    assert told[-1].bytes_done == LARGE
    seat.files.upload(tmp_path / "here", "back")
    assert seat.run("sha256sum back").output.split()[0] == large
    tail = b"".join(seat.files.stream("back", offset=LARGE - 10))
    assert tail == (tmp_path / "here").read_bytes()[-10:]


def test_a_folder_goes_both_ways(seat: Seat, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "empty").mkdir(parents=True)
    (source / "in" / "ner").mkdir(parents=True)
    for number in range(60):
        (source / "in" / f"f{number}").write_bytes(os.urandom(number * 977))
    (source / "in" / os.fsdecode(b"b\xff")).write_bytes(b"binary")
    (source / "big").write_bytes(os.urandom(300_000))
    (source / "link").symlink_to("big")
    sent = seat.files.upload(source, "folder")
    assert (sent.files, sent.skipped) == (62, ("link",))
    seat.run("cd folder && ln -s big there", check=True)
    got = seat.files.download("folder", tmp_path / "target")
    assert (got.files, got.skipped) == (62, ("folder/there",))
    assert got.bytes == sent.bytes
    for path in source.rglob("*"):
        twin = tmp_path / "target" / path.relative_to(source)
        if path.is_symlink():
            assert not twin.exists()
        elif path.is_file():
            assert twin.read_bytes() == path.read_bytes()
        else:
            assert twin.is_dir()


async def test_a_folder_goes_both_ways_in_asyncio(aseat: AsyncSeat, tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    for number in range(30):
        (tmp_path / "a" / "b" / str(number)).write_bytes(os.urandom(number * 9770))
    assert (await aseat.files.upload(tmp_path / "a", "afolder")).files == 30
    assert (await aseat.files.download("afolder", tmp_path / "z")).files == 30
    for number in range(30):
        names = (tmp_path / "a" / "b" / str(number), tmp_path / "z" / "b" / str(number))
        assert names[0].read_bytes() == names[1].read_bytes()
    with pytest.raises(FileMissingError):
        await aseat.files.download("no such", tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_download_goes_on_where_it_was_cut(
    cutter: Cutter, seat: Seat, workshop: Workshop, large: str, tmp_path: Path
) -> None:
    cuts = 0

    def cut(progress: TransferProgress) -> None:
        nonlocal cuts
        if progress.bytes_done > (cuts + 1) * LARGE // 4 and cuts < 2:
            cuts += 1
            cutter.cut()

    with Client(cutter.url) as client:
        again = client.join(workshop.code, reconnect_code=seat.reconnect_code, route="gateway")
        result = again.files.download("large", tmp_path / "here", on_progress=cut)
    assert cuts == 2
    assert result.bytes == LARGE
    assert digest(tmp_path / "here") == large
    assert os.listdir(tmp_path) == ["here"]


def test_an_upload_is_sent_again_when_it_was_cut(
    cutter: Cutter, seat: Seat, workshop: Workshop, large: str, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.write_bytes(os.urandom(LARGE))
    cuts = 0

    def cut(progress: TransferProgress) -> None:
        nonlocal cuts
        if progress.bytes_done > LARGE // 3 and not cuts:
            cuts += 1
            cutter.cut()

    with Client(cutter.url) as client:
        again = client.join(workshop.code, reconnect_code=seat.reconnect_code, route="gateway")
        again.files.upload(source, "sent again", on_progress=cut)
    assert cuts == 1
    assert seat.run("sha256sum 'sent again'").output.split()[0] == digest(source)


def interrupt() -> Callable[[TransferProgress], None]:
    """Ctrl-C, once, when some of it is there."""
    left = [signal.SIGINT]

    def tell(progress: TransferProgress) -> None:
        if progress.bytes_done > 100_000 and left:
            # To the thread that Python handles it in, as a terminal's would come to.
            signal.pthread_kill(threading.main_thread().ident or 0, left.pop())

    return tell


def parts(folder: Path) -> list[str]:
    """What was left half written."""
    return [path.name for path in folder.rglob(f"{MARK}*")]


def test_ctrl_c_leaves_no_half_file(seat: Seat, large: str, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        seat.files.download("large", tmp_path / "here", on_progress=interrupt())
    assert os.listdir(tmp_path) == []
    seat.run("mkdir -p several && for n in $(seq 9); do head -c 4M large > several/$n; done")
    with pytest.raises(KeyboardInterrupt):
        seat.files.download("several", tmp_path / "several", on_progress=interrupt())
    assert parts(tmp_path) == []
    for whole in (tmp_path / "several").iterdir():
        assert whole.stat().st_size == 4 << 20
    (tmp_path / "up").write_bytes(os.urandom(LARGE))
    with pytest.raises(KeyboardInterrupt):
        seat.files.upload(tmp_path / "up", "given up", on_progress=interrupt())
    assert not seat.files.exists("given up")


def test_ctrl_c_leaves_no_half_file_in_asyncio(
    server: Server, workshop: Workshop, seat: Seat, large: str, tmp_path: Path
) -> None:
    async def story() -> None:
        async with AsyncClient(server.url) as client:
            again = await client.join(workshop.code, reconnect_code=seat.reconnect_code)
            await again.files.download("large", tmp_path / "here", on_progress=interrupt())

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(story())
    assert os.listdir(tmp_path) == []


def test_an_error_among_many_ends_the_others(seat: Seat, large: str, tmp_path: Path) -> None:
    seat.run("mkdir -p mixed && cp large mixed/a && cp large mixed/b", check=True)
    target = tmp_path / "mixed"
    (target / "a").mkdir(parents=True)
    with pytest.raises(LocalFileError, match="is a folder"):
        seat.files.download("mixed", target)
    assert parts(target) == []
    with pytest.raises(LocalFileError):
        seat.files.upload(tmp_path / "none", "x")
    with pytest.raises(LocalFileError):
        seat.files.download("large", tmp_path / "no folder" / "x")
