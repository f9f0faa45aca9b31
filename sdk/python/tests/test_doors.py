"""What is refused before anything is asked of anybody."""

from __future__ import annotations

import base64
import json
import logging
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from clarateach import (
    AsyncClient,
    CertificateError,
    Client,
    InvalidError,
    LocalFileError,
    WorkshopStatus,
    _exec_wire,
    _paths,
    _retry,
    _secret,
    _socket,
    _trust,
    _wire,
)
from clarateach._address import Address


@pytest.mark.parametrize(
    ("url", "target", "secure"),
    [
        ("http://127.0.0.1:8080", "127.0.0.1:8080", False),
        ("http://localhost/", "localhost:80", False),
        ("http://[::1]:1", "[::1]:1", False),
        ("https://workshops.example.org", "workshops.example.org:443", True),
        ("https://10.0.0.1:8443", "10.0.0.1:8443", True),
    ],
)
def test_a_url_is_read_once(url: str, target: str, secure: bool) -> None:
    address = Address.parse(url)
    assert (address.target, address.secure) == (target, secure)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://192.0.2.1:8080", "PLAIN_HTTP"),
        ("http://workshops.example.org", "PLAIN_HTTP"),
        ("http://localhost.example.org", "PLAIN_HTTP"),
        ("", "BAD_URL"),
        ("127.0.0.1:8080", "BAD_URL"),
        ("ftp://127.0.0.1", "BAD_URL"),
        ("https://", "BAD_URL"),
        ("https://host:port", "BAD_URL"),
        ("https://host:99999", "BAD_URL"),
        ("https://user:word@host", "BAD_URL"),
        ("https://host/path", "BAD_URL"),
        ("https://host/?token=x", "BAD_URL"),
        ("https://[::1", "BAD_URL"),
    ],
)
@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_a_wrong_url_is_refused_at_once(
    kind: type[Client] | type[AsyncClient], url: str, reason: str
) -> None:
    with pytest.raises(InvalidError) as refused:
        kind(url, token="t")
    assert refused.value.reason == reason


def test_a_token_is_one_line_and_never_shows(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("s3cr3t\n")
    client = Client("http://127.0.0.1:1", token_file=file)
    assert "s3cr3t" not in repr(client) + repr(vars(client)) + repr(vars(client._rpc))
    for bad in ("", "  ", "two words", "two\nlines", "ü"):
        with pytest.raises(InvalidError, match="one line"):
            Client("http://127.0.0.1:1", bad)
    with pytest.raises(LocalFileError):
        Client("http://127.0.0.1:1", token_file=tmp_path / "none")
    with pytest.raises(InvalidError):
        Client("http://127.0.0.1:1", "a", token_file=file)


def test_a_ca_is_pem_or_refused(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    for text in ("", "no certificate"):
        file.write_text(text)
        with pytest.raises(CertificateError):
            Client("https://127.0.0.1:1", ca=file)
    with pytest.raises(LocalFileError):
        _trust.read_pem(tmp_path / "none")


def test_sockets_never_write_headers_down() -> None:
    logging.getLogger().setLevel(logging.DEBUG)
    try:
        assert not _socket.SETTINGS["logger"].isEnabledFor(logging.DEBUG)
    finally:
        logging.getLogger().setLevel(logging.WARNING)


def test_a_tokens_life_is_its_own() -> None:
    def token(**claims: object) -> _secret.Secret:
        said = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
        return _secret.Secret(f"e30.{said}.c2ln")

    assert _secret.life(token(iat=1000, exp=1900, seat=3)) == 900
    for bad in (token(iat=9, exp=1), token(exp=9), token(iat="x", exp=1), _secret.Secret("x")):
        assert _secret.life(bad) == _secret.SHORT_LIFE


def test_pauses_grow_to_a_cap_and_the_servers_word_wins() -> None:
    for attempt in range(100):
        assert 0 <= _retry.pause(attempt) <= min(_retry.CAP, 0.2 * 2**attempt)
    assert _retry.pause(0, 3) == 3
    assert _retry.pause(0, 3600) == _retry.CAP


@pytest.mark.parametrize("path", ["..", "a/../b", "a/..", "/../etc", "a\0b", "x" * 256, "\ud800"])
def test_a_path_that_leads_elsewhere_is_refused_here(path: str) -> None:
    with pytest.raises(InvalidError) as refused:
        _paths.encode(path)
    assert refused.value.reason == "BAD_PATH"


@pytest.mark.parametrize("name", ["..", ".", "", "a/b", "a\0b"])
def test_a_name_from_a_seat_leads_nowhere_else(name: str) -> None:
    with pytest.raises(InvalidError):
        _paths.local_name(name)


def test_a_path_keeps_every_byte() -> None:
    assert _paths.encode("/a b//./c%2e/") == "a%20b/c%252e"
    assert _paths.encode(os.fsdecode(b"\xff/\\")) == "%FF/%5C"
    assert _paths.encode("…") == "%E2%80%A6"
    assert _paths.encode("x" * 255) == "x" * 255


def test_a_command_is_an_order_or_refused() -> None:
    said = json.loads(
        _exec_wire.order(["ls", "-l"], cwd="src", env={"A": "1"}, stdin="hi", timeout=1.2)
    )
    assert said == {
        "argv": ["ls", "-l"],
        "cwd": "src",
        "env": {"A": "1"},
        "stdin": "aGk=",
        "timeout_seconds": 2,
    }
    plain = json.loads(_exec_wire.order("ls", cwd=None, env=None, stdin=None, timeout=None))
    assert plain["timeout_seconds"] == _exec_wire.LONGEST
    for command, timeout in (("", None), ([], None), ("ls", 0), ("ls", timedelta(days=2))):
        with pytest.raises(InvalidError):
            _exec_wire.order(command, cwd=None, env=None, stdin=None, timeout=timeout)
    with pytest.raises(InvalidError):
        _exec_wire.order([b"ls"], cwd=None, env=None, stdin=None, timeout=None)  # type: ignore[list-item]


def test_a_word_of_a_later_server_is_kept() -> None:
    later = _wire.seat_state(99)
    assert later.value == "99"
    assert WorkshopStatus("frozen") != WorkshopStatus.STOPPED
    with pytest.raises(InvalidError):
        _wire.runtime("docker")
    with pytest.raises(InvalidError):
        _wire.duration("4h")  # type: ignore[arg-type]


def test_a_length_of_time_is_one() -> None:
    for wrong in ("4h", None, float("nan"), float("inf"), [1]):
        with pytest.raises(InvalidError, match="timedelta"):
            _retry.seconds(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [3.5, object(), b"\xff", ["x"], "\ud800"])
def test_what_cannot_be_asked_for_is_an_error_of_ours(wrong: Any) -> None:
    with Client("http://127.0.0.1:1", "t") as client:
        for act in (
            lambda: client.workshops.create(wrong, 1, runtime="container"),
            lambda: client.workshops.create("x", wrong, runtime="container"),
            lambda: client.workshops.create("x", 1, runtime=wrong),
            lambda: client.workshops.create("x", 1, env={"A": wrong}),
            lambda: client.workshops.get(wrong),
            lambda: client.workshops.page(page_size=wrong),
            lambda: client.tokens.create(wrong),
            lambda: client.tokens.revoke(wrong),
            lambda: client.join(wrong),
            lambda: Client("http://127.0.0.1:1", wrong),
            lambda: Client(wrong),
            lambda: _exec_wire.order([wrong], cwd=wrong, env=wrong, stdin=wrong, timeout=wrong),
        ):
            with pytest.raises(InvalidError):
                act()
