"""A control plane that is spoken to over TLS, with a certificate of its own."""

from __future__ import annotations

import os

import pytest

from clarateach import AsyncClient, CertificateError, Client, UnavailableError

pytestmark = pytest.mark.skipif(
    not os.environ.get("CLARATEACH_URL", "").startswith("https:"),
    reason="needs a server with TLS: scripts/test-sdk-python.sh starts one",
)


async def test_a_class_over_tls_whichever_way() -> None:
    with Client.from_environment() as client:
        made = client.workshops.create("TLS", 1, runtime="container").wait_running()
        first = client.join(made.code, route="direct")
        for route in ("direct", "gateway"):
            seat = client.join(made.code, reconnect_code=first.reconnect_code, route=route)
            assert seat.run("echo here").output == "here\n"
            with seat.terminal() as terminal:
                terminal.write("echo th''ere\n")
                terminal.read_until("there")
            seat.files.write("file", b"1")
    async with AsyncClient.from_environment() as aclient:
        joined = await aclient.join(made.code, reconnect_code=first.reconnect_code, route="gateway")
        assert await joined.files.read("file") == b"1"
        async with joined.terminal() as terminal:
            await terminal.write("echo ag''ain\n")
            await terminal.read_until("again")
        await (await aclient.workshops.get(made.id)).delete()


async def test_who_is_not_known_is_not_spoken_to() -> None:
    url = os.environ["CLARATEACH_URL"]
    with Client(url, "t") as client, pytest.raises(CertificateError):
        client.workshops.page()
    async with AsyncClient(url, "t") as aclient:
        with pytest.raises(CertificateError):
            await aclient.join("AAAAA-AAAAA")


def test_plain_http_to_tls_says_what_to_do() -> None:
    plain = os.environ["CLARATEACH_URL"].replace("https:", "http:")
    with Client(plain, "t") as client, pytest.raises(UnavailableError, match="https://"):
        client.workshops.page()
