"""How our WebSockets are set, in both layers."""

from __future__ import annotations

import logging
from typing import Any

from ._about import USER_AGENT

# At DEBUG the library writes every header down, the token's too: it never gets there.
_quiet = logging.getLogger("clarateach.socket")
_quiet.setLevel(logging.INFO)

SETTINGS: dict[str, Any] = {
    # A frame of terminal data is small and often sealed already.
    "compression": None,
    # A worker is dialled at the address that was given, past any proxy.
    "proxy": None,
    # Also keeps sockets open across proxies that cut idle ones after a minute.
    "ping_interval": 20,
    "ping_timeout": 40,
    "close_timeout": 2,
    "max_size": 1 << 20,
    "user_agent_header": USER_AGENT,
    "logger": _quiet,
}
