"""Who we are, for the other side's logs."""

from __future__ import annotations

from importlib.metadata import version

VERSION = version("clarateach")
USER_AGENT = f"clarateach-python/{VERSION}"
