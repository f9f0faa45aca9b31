"""Whom a connection believes: a worker by its workshop's CA alone, the control
plane by this machine's certificates or by a file.
"""

from __future__ import annotations

import ssl
from pathlib import Path

from .errors import CertificateError, LocalFileError


def pinned(pem: str) -> ssl.SSLContext:
    """TLS that believes this CA and nothing else, and checks the address.

    Raises `CertificateError` when it is no certificate.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # trusts nobody yet, checks the name
    try:
        # Nothing at all would load silently.
        context.load_verify_locations(cadata=pem)
    except (ssl.SSLError, ValueError) as cause:
        raise CertificateError(
            "the certificate to trust cannot be read: it must be PEM", reason="BAD_CA"
        ) from cause
    if not context.cert_store_stats()["x509"]:
        raise CertificateError("there is no certificate where one should be", reason="BAD_CA")
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


def control_plane(ca: str | None) -> ssl.SSLContext:
    """TLS to the control plane: by `ca` (PEM), or by this machine's certificates."""
    if ca is not None:
        return pinned(ca)
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


def roots(ca: str | None) -> bytes | None:
    """The same for gRPC, which has no context: None means its own bundle."""
    if ca is not None:
        pinned(ca)
        return ca.encode()
    bundle = ssl.get_default_verify_paths().cafile
    try:
        return Path(bundle).read_bytes() if bundle else None
    except OSError:
        return None


def read_pem(file: str | Path) -> str:
    """A PEM file's text. Raises `LocalFileError`."""
    try:
        return Path(file).read_text()
    except (OSError, ValueError) as cause:
        raise LocalFileError(f"cannot read {file}: {cause}", reason="LOCAL_FILE") from cause
