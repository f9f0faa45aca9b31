"""Files here are whole or not there, and listings are read strictly."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from clarateach import CommandResult, ConnectionLostError, LocalFileError, ServerError
from clarateach._exec_wire import Answer
from clarateach._listing import is_whole, page, properties
from clarateach._local import AtomicFile, Tree


def test_a_file_appears_when_it_is_complete(tmp_path: Path) -> None:
    target = tmp_path / ("x" * 255)
    target.write_bytes(b"old")
    part = AtomicFile(target)
    part.open()
    part.write(b"wrong")
    part.restart()
    part.write(b"new")
    assert target.read_bytes() == b"old"
    part.commit()
    part.discard()
    assert target.read_bytes() == b"new"
    assert os.listdir(tmp_path) == [target.name]


def test_what_is_given_up_leaves_nothing(tmp_path: Path) -> None:
    part = AtomicFile(tmp_path / "file")
    part.open()
    part.write(b"half")
    part.discard()
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_an_error_of_ours(tmp_path: Path) -> None:
    part = AtomicFile(tmp_path / "file")
    part.open()
    part._file.close()
    part._file = open("/dev/full", "wb", buffering=0)  # noqa: SIM115 - closed by discard
    with pytest.raises(LocalFileError, match="No space left"):
        part.write(b"x")
    part.discard()
    assert os.listdir(tmp_path) == []


def test_a_folder_that_is_missing_is_an_error_of_ours(tmp_path: Path) -> None:
    with pytest.raises(LocalFileError):
        AtomicFile(tmp_path / "none" / "file").open()
    with pytest.raises(LocalFileError):
        Tree.walk(tmp_path / "none")


def test_links_are_named_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "b" / "c").mkdir(parents=True)
    (tmp_path / "b" / "f").write_bytes(b"12")
    (tmp_path / "loop").symlink_to(tmp_path)
    tree = Tree.walk(tmp_path)
    assert tree.folders == ["b", "b/c"]
    assert [(file.remote, file.size) for file in tree.files] == [("b/f", 2)]
    assert tree.skipped == ["loop"]


def entry(name: str) -> dict[str, object]:
    """As a worker lists it."""
    modified = "2026-11-28T10:00:00.123Z"
    return {
        "name": name,
        "type": "file",
        "size": 2,
        "modified": modified,
        "etag": '"e"',
        "mode": "0644",
    }


def test_a_listing_is_read_or_refused() -> None:
    body = json.dumps({"path": "/", "entries": [entry("a")], "next_page_token": "t"}).encode()
    entries, token = page(body, "src")
    assert (entries[0].path, entries[0].mode, token) == ("src/a", 0o644, "t")
    assert entries[0].modified is not None
    assert entries[0].modified.microsecond == 123000
    for bad in (b"", b"[]", b"{}", b'{"entries":[{}],"next_page_token":""}'):
        with pytest.raises(ServerError):
            page(bad, "")


def test_names_that_are_no_text_come_by_properties() -> None:
    body = json.dumps({"entries": [entry("a\ufffd")], "next_page_token": ""}).encode()
    assert not is_whole(page(body, "")[0])
    answer = (
        b'<D:multistatus xmlns:D="DAV:"><D:response><D:href>/p/files/src/</D:href></D:response>'
        b"<D:response><D:href>/p/files/src/a%FF</D:href><D:propstat><D:prop>"
        b"<D:getcontentlength>3</D:getcontentlength></D:prop></D:propstat></D:response>"
        b"</D:multistatus>"
    )
    (found,) = properties(answer, "src")
    assert (found.name, found.size) == (os.fsdecode(b"a\xff"), 3)
    for bad in (b"", b"<a", b'<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>'):
        with pytest.raises(ServerError):
            properties(bad, "")


def test_a_commands_answer_is_read_line_by_line() -> None:
    answer = Answer()
    assert answer.take('{"stdout":"YQ=="}') == ("stdout", b"a")
    assert answer.take('{"stderr":"YgD/"}') == ("stderr", b"b\0\xff")
    assert answer.take('{"of_a_later_version":1}') is None
    with pytest.raises(ConnectionLostError):
        answer.result()
    assert answer.take('{"signal":"SIGKILL","timed_out":true}') is None
    result = answer.result()
    assert result == CommandResult(None, "SIGKILL", True, tuple(answer.pieces))
    assert result.output == "ab\0\ufffd"
    with pytest.raises(ConnectionLostError):
        answer.take("{")
