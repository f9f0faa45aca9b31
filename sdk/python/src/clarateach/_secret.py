"""Secrets that do not show themselves, and what a seat token says of its life."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path

from .errors import InvalidError, LocalFileError

# When a token's own claims cannot be read: well below the server's maximum.
SHORT_LIFE = 90.0


@dataclass(frozen=True, repr=False, slots=True)
class Secret:
    """A token or code: nothing that prints, formats or logs it sees it.

    >>> str(Secret("s3cr3t")), f"{Secret('s3cr3t')!r}"
    ('Secret(…)', 'Secret(…)')
    """

    text: str

    def __repr__(self) -> str:
        return "Secret(…)"

    @property
    def bearer(self) -> str:
        """As the authorization header has it."""
        return f"Bearer {self.text}"

    @classmethod
    def token(cls, text: str) -> Secret:
        """An API token, without the line end of its file. Raises `InvalidError`."""
        text = text.strip() if isinstance(text, str) else ""
        if not text or not text.isascii() or not text.isprintable() or " " in text:
            raise InvalidError(
                "the token must be one line of printable ASCII: take it as the server gave it",
                reason="BAD_TOKEN",
            )
        return cls(text)

    @classmethod
    def read(cls, file: str | Path) -> Secret:
        """The token in a file. Raises `LocalFileError` or `InvalidError`."""
        try:
            return cls.token(Path(file).read_text())
        except (OSError, UnicodeDecodeError) as cause:
            raise LocalFileError(
                f"cannot read the token file {file}: {cause}", reason="LOCAL_FILE"
            ) from cause


def life(token: Secret) -> float:
    """Seconds a seat token lives from its issue, by its own claims.

    They are not checked: that is the worker's work, and only a timer hangs on them.
    A clock that is wrong by an hour does not matter, for no clock is asked.
    """
    try:
        claims = token.text.split(".")[1]
        padded = claims + "=" * (-len(claims) % 4)
        times = json.loads(base64.urlsafe_b64decode(padded))
        left = float(times["exp"]) - float(times["iat"])
    except (IndexError, KeyError, TypeError, ValueError):
        return SHORT_LIFE
    return left if left > 0 else SHORT_LIFE
