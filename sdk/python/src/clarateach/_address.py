"""Where the control plane is: one URL, read once and strictly."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from .errors import InvalidError


@dataclass(frozen=True)
class Address:
    """Scheme, host and port of a control plane."""

    host: str
    port: int
    secure: bool

    @classmethod
    def parse(cls, url: str) -> Address:
        """From `http://127.0.0.1:8080` or `https://workshops.example.org`.

        Raises `InvalidError`: `BAD_URL`, or `PLAIN_HTTP` where tokens would cross a
        network in clear.
        """
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except (ValueError, TypeError, AttributeError) as cause:
            raise InvalidError(f"{url!r} is no URL: {cause}", reason="BAD_URL") from cause
        if parts.scheme not in ("http", "https") or not host:
            raise InvalidError(
                f"{url!r} must begin with https://HOST, or http:// on this machine",
                reason="BAD_URL",
            )
        if parts.username is not None or parts.password is not None:
            raise InvalidError(
                "a URL must hold no password: give the token by itself", reason="BAD_URL"
            )
        if parts.path not in ("", "/") or parts.query or parts.fragment:
            raise InvalidError(
                f"{url!r} must end after the host and port: no path", reason="BAD_URL"
            )
        secure = parts.scheme == "https"
        if not secure and not is_loopback(host):
            raise InvalidError(
                f"http://{host} leaves this machine, and tokens would cross the network in "
                "clear: use https://",
                reason="PLAIN_HTTP",
            )
        return cls(host, port if port is not None else (443 if secure else 80), secure)

    @property
    def url(self) -> str:
        """As one gives it to a client."""
        return f"{'https' if self.secure else 'http'}://{self.target}"

    @property
    def target(self) -> str:
        """As gRPC and people write it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def is_loopback(host: str) -> bool:
    """Whether what is said to `host` stays on this machine.

    >>> [is_loopback(host) for host in ("localhost", "127.9.9.9", "::1", "10.0.0.1", "localhost.x")]
    [True, True, True, False, False]
    """
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
