"""The files of a seat's workspace."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from urllib.parse import quote, urlsplit

from .. import _listing
from .._models.files import FileEntry, TransferProgress, TransferResult
from .._paths import clean, encode, segments
from ..errors import ConflictError, FileMissingError, InvalidError
from .transfer import AsyncDownload, AsyncUpload
from .way import AsyncWay

Entries = list[FileEntry]
OnProgress = Callable[[TransferProgress], None]


class AsyncFiles:
    """Files of one seat: `seat.files`.

    Paths count from the workspace, with `/` between their parts; what leaves it is
    refused here, with `InvalidError` (`BAD_PATH`). All raise `FileMissingError`,
    `ConflictError` (a folder is missing, or something is in the way) and
    `ExhaustedError` (`DISK_FULL`; the old file is then as it was).
    """

    def __init__(self, way: AsyncWay) -> None:
        self._way = way

    async def list(self, path: str = "") -> Entries:
        """The entries of a folder, by name, however many there are.

        >>> await seat.files.mkdir("listed/inner")
        >>> [(entry.name, entry.is_dir) for entry in await seat.files.list("listed")]
        [('inner', True)]
        """
        found: Entries = []
        token: str | None = ""
        while token is not None:
            entries, token = await self._page(path, token)
            found += entries
        return found if _listing.is_whole(found) else await self._by_bytes(path, found)

    async def entries(self, path: str = "") -> AsyncIterator[FileEntry]:
        """The same, a thousand at a time as they are needed: for folders without end.

        >>> await seat.files.mkdir("listed/inner")
        >>> [entry.name async for entry in seat.files.entries("listed")]
        ['inner']
        """
        token: str | None = ""
        last = b""
        while token is not None:
            page, token = await self._page(path, token)
            if not _listing.is_whole(page):
                # By name, as the pages are: what was given already is passed over.
                whole = await self._by_bytes(path, page)
                page, token = [e for e in whole if os.fsencode(e.name) > last], None
            for entry in page:
                yield entry
                last = os.fsencode(entry.name)

    async def _page(self, path: str, token: str) -> tuple[Entries, str | None]:
        """Some entries, and how the next are asked for."""
        tail = f"{encode(path)}?page_token={quote(token, safe='')}"
        said = await self._way.send(
            "GET", "files", tail, headers={"accept": "application/json"}, file=True
        )
        if not said.headers.get("content-type", "").startswith("application/json"):
            raise ConflictError(f"{path!r} is a file, not a folder", reason="NOT_A_FOLDER")
        entries, after = _listing.page(said.content, clean(path))
        return entries, after or None

    async def _by_bytes(self, path: str, listed: Entries) -> Entries:
        """Again, by names as bytes; what was named whole keeps what was said of it."""
        headers = {"depth": "1", "content-type": "application/xml"}
        said = await self._way.send(
            "PROPFIND",
            "files",
            encode(path) + "/",
            headers=headers,
            content=_listing.PROPERTIES,
            file=True,
        )
        known = {entry.name: entry for entry in listed}
        described = _listing.properties(said.content, clean(path))
        return [known.get(entry.name, entry) for entry in described]

    async def stat(self, path: str) -> FileEntry:
        """What is at a path. Raises `FileMissingError`.

        >>> etag = await seat.files.write("five.txt", b"12345")
        >>> (await seat.files.stat("five.txt")).size
        5
        """
        parts = segments(path)
        if not parts:
            raise InvalidError("the workspace itself has no entry", reason="BAD_PATH")
        for entry in await self.list("/".join(parts[:-1])):
            if entry.name == parts[-1]:
                return entry
        raise FileMissingError(f"there is no {path!r} in the seat", reason="NOT_FOUND")

    async def exists(self, path: str) -> bool:
        """Whether something is at a path."""
        if not segments(path):
            return True
        try:
            await self.stat(path)
        except (FileMissingError, ConflictError):
            return False
        return True

    async def read(self, path: str) -> bytes:
        """A file's whole content.

        >>> etag = await seat.files.write("hello.txt", b"hi")
        >>> await seat.files.read("hello.txt")
        b'hi'
        """
        return (await self._way.send("GET", "files", _file(path), file=True)).content

    async def read_text(self, path: str) -> str:
        """A file's whole content as UTF-8; other bytes become U+FFFD."""
        return (await self.read(path)).decode(errors="replace")

    async def stream(self, path: str, *, offset: int = 0) -> AsyncIterator[bytes]:
        """A file's content from `offset` on, piece by piece, of any size."""
        headers = {"range": f"bytes={offset}-"} if offset else None
        async with (
            self._way.keeper.hold(),
            self._way.open("GET", "files", _file(path), headers=headers, file=True) as response,
        ):
            async for piece in response.aiter_raw():
                yield piece

    async def archive(self, path: str = "") -> AsyncIterator[bytes]:
        """A folder, or with `""` the whole workspace, as a tar archive, piece by piece.

        >>> await seat.files.mkdir("listed/inner")
        >>> b"inner" in b"".join([piece async for piece in seat.files.archive("listed")])
        True
        """
        tail = f"{encode(path)}?archive=tar"
        async with (
            self._way.keeper.hold(),
            self._way.open("GET", "files", tail, file=True) as response,
        ):
            async for piece in response.aiter_raw():
                yield piece

    async def etag(self, path: str) -> str:
        """What changes with every write of a file; for `if_match`.

        >>> before = await seat.files.write("tagged.txt", "a")
        >>> await seat.files.etag("tagged.txt") == before
        True
        """
        said = await self._way.send("HEAD", "files", _file(path), file=True)
        return str(said.headers.get("etag", ""))

    async def write(
        self,
        path: str,
        content: bytes | str,
        *,
        if_match: str | None = None,
        create: bool = False,
    ) -> str:
        """Makes or replaces a file: whole, or not at all. Its folder must be there.

        With `if_match` only the file that has this ETag, with `create` only where none
        is; otherwise `ConflictError`. Gives the new ETag.
        """
        data = content.encode() if isinstance(content, str) else content
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise InvalidError("a file's content is bytes or text", reason="INVALID")
        headers = {"if-match": if_match} if if_match is not None else {}
        if create:
            headers["if-none-match"] = "*"
        said = await self._way.send(
            "PUT",
            "files",
            _file(path),
            headers=headers,
            content=bytes(data),
            # Repeated, it might meet its own first success.
            repeatable=not headers,
            file=True,
        )
        return str(said.headers.get("etag", "")) or await self.etag(path)

    async def mkdir(self, path: str) -> None:
        """A folder, with those it lies in; one that is there already is fine."""
        parts = segments(path)
        if not parts:
            return
        try:
            await self._way.send("MKCOL", "files", encode(path), file=True)
        except (ConflictError, FileMissingError) as cause:
            if cause.reason == "BAD_METHOD" and (await self.stat(path)).is_dir:
                return  # it is there
            if cause.reason == "BAD_METHOD" or len(parts) == 1:
                raise
            await self.mkdir("/".join(parts[:-1]))
            await self._way.send("MKCOL", "files", encode(path), file=True)

    async def move(self, source: str, target: str, *, overwrite: bool = False) -> None:
        """Moves or renames. Raises `ConflictError` when something is there already."""
        await self._to("MOVE", source, target, overwrite=overwrite)

    async def copy(self, source: str, target: str, *, overwrite: bool = False) -> None:
        """Copies a file, or a folder with all in it."""
        await self._to("COPY", source, target, overwrite=overwrite)

    async def _to(self, act: str, source: str, target: str, *, overwrite: bool) -> None:
        session = await self._way.keeper.fresh()
        root = urlsplit((await self._way.ways(session)).files).path
        headers = {
            "destination": f"{root}/{_file(target)}",
            "overwrite": "T" if overwrite else "F",
        }
        await self._way.send(act, "files", _file(source), headers=headers, file=True)

    async def delete(self, path: str, *, missing_ok: bool = False) -> None:
        """A file, or a folder with all in it.

        >>> await seat.files.delete("not there", missing_ok=True)
        """
        try:
            await self._way.send("DELETE", "files", _file(path), file=True)
        except FileMissingError:
            if not missing_ok:
                raise

    async def upload(
        self, local: str | Path, remote: str = "", *, on_progress: OnProgress | None = None
    ) -> TransferResult:
        """A file to the path `remote`, or what is in a folder into the folder `remote`.

        Each file is there whole or not at all; links are not followed but named in
        `skipped`. Raises `LocalFileError` too.

        >>> result = await seat.files.upload(__file__, "uploaded.py")
        >>> result.files
        1
        """
        upload = AsyncUpload(self._way, Path(local), clean(remote), self.mkdir, on_progress)
        return await upload.run()

    async def download(
        self, remote: str, local: str | Path, *, on_progress: OnProgress | None = None
    ) -> TransferResult:
        """A file to the path `local`, or what is in a folder into the folder `local`.

        Each file appears only when it is complete, also when this is ended half way;
        what broke off goes on where it was. Raises `LocalFileError` too.
        """
        download = AsyncDownload(self._way, clean(remote), Path(local), self.list, on_progress)
        return await download.run()


def _file(path: str) -> str:
    """A path that must be below the workspace, as a URL has it."""
    encoded = encode(path)
    if not encoded:
        raise InvalidError("name a file: the workspace itself cannot be that", reason="BAD_PATH")
    return encoded
