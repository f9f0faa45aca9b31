"""What the package costs, each beside a peer in the same run: figures, no verdicts.

Usage: beside.py [unary] [upload] [terminals]     all of them without a name

A live server is said by `CLARATEACH_URL` and `CLARATEACH_TOKEN_FILE`; `upload` wants
`rclone` beside.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import grpc

from clarateach import AsyncClient, AsyncTerminal, Client, Seat, Workshop
from clarateach._generated import workshop_pb2 as pb
from clarateach._generated import workshop_pb2_grpc as stubs

ROUNDS, CALLS = 15, 200
FILES, UPLOADS = 1000, 5
TERMINALS, SECONDS = 100, 60


@contextmanager
def a_class(client: Client, seats: int) -> Iterator[Workshop]:
    """A workshop for as long as it is measured."""
    workshop = client.workshops.create("Figures", seats, runtime="container").wait_running()
    try:
        yield workshop
    finally:
        workshop.delete().wait_deleted()


def beside(what: str, unit: str, ours: list[float], peer: list[float]) -> None:
    """One line: medians, spread and the ratio."""
    a, b = statistics.median(ours), statistics.median(peer)
    ratio = a / b
    print(
        f"{what}: ours {a:.3f} ({min(ours):.3f}-{max(ours):.3f}) {unit}, "
        f"peer {b:.3f} ({min(peer):.3f}-{max(peer):.3f}) {unit}, ratio {ratio:.3f}"
    )


def timed(act: Callable[[], object]) -> float:
    """Seconds it takes."""
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def unary(client: Client) -> None:
    """GetWorkshop, beside the generated stub on a channel with the same options."""
    from clarateach._sync.rpc import OPTIONS

    token = ("authorization", f"Bearer {Path(os.environ['CLARATEACH_TOKEN_FILE']).read_text()}")
    token = (token[0], token[1].strip())
    target = os.environ["CLARATEACH_URL"].removeprefix("http://")
    with a_class(client, 5) as workshop, grpc.insecure_channel(target, options=OPTIONS) as channel:
        stub = stubs.WorkshopServiceStub(channel)
        request = pb.GetWorkshopRequest(id=workshop.id)
        ours, peer = [], []

        def by_stub() -> None:
            for _ in range(CALLS):
                stub.GetWorkshop(request, timeout=30, metadata=(token,))

        def by_us() -> None:
            for _ in range(CALLS):
                client.workshops.get(workshop.id)

        for act in (by_stub, by_us):
            act()
        for _ in range(ROUNDS):
            peer.append(timed(by_stub) / CALLS * 1e3)
            ours.append(timed(by_us) / CALLS * 1e3)
    beside("unary call, beside the raw stub", "ms", ours, peer)


def rclone(seat: Seat, source: Path, target: str, work: Path) -> None:
    """The same upload by rclone, straight to the worker."""
    session = seat._keeper.fresh()
    (work / "ca.pem").write_text(session.ca)
    environment = {
        **os.environ,
        "RCLONE_WEBDAV_URL": session.direct.files,
        "RCLONE_WEBDAV_VENDOR": "other",
        "RCLONE_WEBDAV_BEARER_TOKEN": session.token.text,
    }
    command = ["rclone", "copy", "--ca-cert", str(work / "ca.pem"), "--config", "/dev/null"]
    subprocess.run([*command, str(source), f":webdav:{target}"], check=True, env=environment)


def upload(client: Client) -> None:
    """A folder of small files, beside rclone with its own settings.

    By those it waits 10 ms between two calls, and makes about three a file.
    """
    with a_class(client, 1) as workshop, tempfile.TemporaryDirectory() as made:
        work = Path(made)
        for number in range(FILES):
            folder = work / "source" / str(number % 10)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{number}.txt").write_bytes(os.urandom(1024))
        ours, peer = [], []
        with client.join(workshop.code) as seat:
            for turn in range(UPLOADS):
                by_rclone = partial(rclone, seat, work / "source", f"r{turn}", work)
                peer.append(FILES / timed(by_rclone))
                by_us = partial(seat.files.upload, work / "source", f"u{turn}")
                ours.append(FILES / timed(by_us))
    beside(f"upload of {FILES} files, beside rclone", "files/s", ours, peer)


async def echoes(terminal: AsyncTerminal, lost: list[str]) -> None:
    """One line a second, each awaited."""
    for turn in range(SECONDS):
        began = time.monotonic()
        await terminal.write(f"echo a{turn}''b\n")
        try:
            await terminal.read_until(f"a{turn}b", timeout=20)
        except Exception as error:
            lost.append(f"{terminal}: {error!r}")
        await asyncio.sleep(max(0.0, 1 - (time.monotonic() - began)))


async def lag(into: list[float]) -> None:
    """How late the loop is, every ten milliseconds."""
    while True:
        began = time.perf_counter()
        await asyncio.sleep(0.01)
        into.append((time.perf_counter() - began - 0.01) * 1e3)


async def terminals(workshop: Workshop) -> None:
    """Many terminals in one loop."""
    late: list[float] = []
    lost: list[str] = []
    async with AsyncClient(os.environ["CLARATEACH_URL"]) as client:
        seats = [await client.join(workshop.code) for _ in range(workshop.seats)]
        each = TERMINALS // workshop.seats
        opened = [seat.terminal(f"t{n}") for seat in seats for n in range(each)]
        await asyncio.gather(*(terminal.write("\n") for terminal in opened))
        watcher = asyncio.ensure_future(lag(late))
        await asyncio.gather(*(echoes(terminal, lost) for terminal in opened))
        watcher.cancel()
        await asyncio.gather(*(terminal.aclose() for terminal in opened))
    late.sort()
    p99, most = late[len(late) * 99 // 100], late[-1]
    print(
        f"{len(opened)} terminals, one echo a second for {SECONDS} s: {len(lost)} lost; "
        f"loop lag p50 {statistics.median(late):.2f} ms, p99 {p99:.2f} ms, max {most:.2f} ms"
    )
    for one in lost[:5]:
        print("  lost", one)


def main(names: list[str]) -> None:
    """Those that are named, or all."""
    print(f"load {os.getloadavg()}, {os.cpu_count()} processors, Python {sys.version.split()[0]}")
    with Client.from_environment() as client:
        if not names or "unary" in names:
            unary(client)
        if not names or "upload" in names:
            upload(client)
        if not names or "terminals" in names:
            with a_class(client, 20) as workshop:
                asyncio.run(terminals(workshop))


if __name__ == "__main__":
    main(sys.argv[1:])
