"""What tests share: a live server, when there is one to be told stories with.

`CLARATEACH_URL` and `CLARATEACH_TOKEN_FILE` say where it is and who we are there;
without them the stories are skipped, and units run alone.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from cutter import Cutter

from clarateach import AsyncClient, AsyncSeat, Client, Seat, Workshop

# A run in the background of a shell inherits that Ctrl-C is ignored; here it must not be.
signal.signal(signal.SIGINT, signal.default_int_handler)


PATIENCE = 60.0


@dataclass(frozen=True)
class Server:
    """A control plane with the container runtime."""

    url: str
    token_file: str

    @property
    def token(self) -> str:
        """The admin's."""
        return Path(self.token_file).read_text().strip()

    @property
    def data(self) -> Path:
        """Its data directory, on this machine."""
        return Path(self.token_file).parent

    def restart(self) -> None:
        """Ends it as an operator would; who started it starts it again. Needs to know its id."""
        file = os.environ.get("CLARATEACH_SERVER_PID_FILE")
        if not file:
            pytest.skip("needs a server that is started again: CLARATEACH_SERVER_PID_FILE")
        before = Path(file).read_text()
        Path(f"{file}.again").touch()
        os.kill(int(before), signal.SIGTERM)
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            with suppress(httpx.TransportError):
                answer = httpx.get(f"{self.url}/api/health", trust_env=False)
                if answer.is_success and Path(file).read_text() != before:
                    return
            time.sleep(0.05)
        pytest.fail("the server did not come back")


@pytest.fixture(scope="session")
def server() -> Server:
    """The live server of this run."""
    url, file = os.environ.get("CLARATEACH_URL"), os.environ.get("CLARATEACH_TOKEN_FILE")
    if not url or not file:
        pytest.skip("needs a server: CLARATEACH_URL and CLARATEACH_TOKEN_FILE")
    return Server(url, file)


@pytest.fixture(scope="session")
def client(server: Server) -> Iterator[Client]:
    """An instructor."""
    with Client(server.url, token_file=server.token_file) as instructor:
        yield instructor


@pytest.fixture(scope="session")
def workshop(client: Client) -> Iterator[Workshop]:
    """A class that runs, with room for every story that joins it."""
    made = client.workshops.create("A class", 8, runtime="container", instructions="# Hello")
    try:
        yield made.wait_running()
    finally:
        made.delete()
        made.wait_deleted()


@pytest.fixture(scope="session")
def seat(client: Client, workshop: Workshop) -> Seat:
    """A learner who is in no other's way."""
    return client.join(workshop.code, name="a learner").wait_ready()


@pytest.fixture
async def aclient(server: Server) -> AsyncIterator[AsyncClient]:
    """An instructor, in asyncio."""
    async with AsyncClient(server.url, token_file=server.token_file) as instructor:
        yield instructor


@pytest.fixture
async def aseat(aclient: AsyncClient, workshop: Workshop, seat: Seat) -> AsyncIterator[AsyncSeat]:
    """The same learner from another program, by the reconnect code."""
    again = aclient.join(workshop.code, reconnect_code=seat.reconnect_code)
    async with await again as joined:
        yield joined


@pytest.fixture
def cutter(server: Server) -> Iterator[Cutter]:
    """What stands between client and server, and cuts."""
    with Cutter(server.url) as between:
        yield between
