"""What other libraries raise, as errors of ours: nothing of theirs gets past here
except as a cause.
"""

from __future__ import annotations

import json
import ssl
from typing import Any

import grpc
from google.rpc import error_details_pb2, status_pb2

from . import errors
from .errors import ClarateachError, FieldViolation

_BY_CODE: dict[grpc.StatusCode, type[ClarateachError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: errors.InvalidError,
    grpc.StatusCode.OUT_OF_RANGE: errors.InvalidError,
    grpc.StatusCode.UNAUTHENTICATED: errors.AuthError,
    grpc.StatusCode.PERMISSION_DENIED: errors.AuthError,
    grpc.StatusCode.NOT_FOUND: errors.NotFoundError,
    grpc.StatusCode.ALREADY_EXISTS: errors.ConflictError,
    grpc.StatusCode.ABORTED: errors.ConflictError,
    grpc.StatusCode.FAILED_PRECONDITION: errors.ConflictError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: errors.ExhaustedError,
    grpc.StatusCode.UNAVAILABLE: errors.UnavailableError,
    grpc.StatusCode.DEADLINE_EXCEEDED: errors.DeadlineError,
    grpc.StatusCode.UNIMPLEMENTED: errors.UnsupportedError,
}

_BY_STATUS: dict[int, type[ClarateachError]] = {
    400: errors.InvalidError,
    401: errors.AuthError,
    403: errors.AuthError,
    404: errors.NotFoundError,
    405: errors.ConflictError,
    408: errors.UnavailableError,
    409: errors.ConflictError,
    412: errors.ConflictError,
    413: errors.InvalidError,
    414: errors.InvalidError,
    416: errors.InvalidError,
    423: errors.ConflictError,
    426: errors.InvalidError,
    429: errors.ExhaustedError,
    501: errors.UnsupportedError,
    502: errors.UnavailableError,
    503: errors.UnavailableError,
    504: errors.UnavailableError,
    507: errors.ExhaustedError,
}


def of_rpc(cause: grpc.RpcError, where: str) -> ClarateachError:
    """A failed call to the control plane at `where` (HOST:PORT)."""
    # The stubs of grpc know these only on calls; every error it raises is one.
    failed: Any = cause
    code, said = failed.code(), failed.details() or ""
    details = _details(failed.trailing_metadata() or ())
    if details is None:
        return _without_details(code, said, where)
    kind = _BY_CODE.get(code, errors.ServerError)
    reason, retry_after, fields = details
    return kind(said, reason=reason, retry_after=retry_after, fields=fields)


def _without_details(code: grpc.StatusCode, said: str, where: str) -> ClarateachError:
    """Said by the library or by a stranger: our server always gives a reason."""
    if code is grpc.StatusCode.UNAVAILABLE:
        lower = said.lower()
        if "ssl" in lower or "certificate" in lower or "handshake" in lower:
            return errors.CertificateError(
                f"{where} does not speak TLS as it should: check https:// against http://, the "
                f"`ca` file and this machine's clock ({said})",
                reason="CERTIFICATE",
            )
        return unreachable(where, said)
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return errors.DeadlineError(
            f"{where} did not answer in time: try again, or give a longer timeout",
            reason="DEADLINE",
        )
    if code in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED):
        return errors.AuthError(said, reason="REFUSED")
    if code is grpc.StatusCode.CANCELLED:
        return errors.ConnectionLostError(f"the call to {where} was ended", reason="CANCELLED")
    return errors.ServerError(
        f"what answers at {where} is no ClaraTeach server, or one that failed: check the URL "
        f"({code.name}: {said})",
        reason="NOT_CLARATEACH",
    )


def _details(
    trailer: Any,
) -> tuple[str, float | None, list[FieldViolation]] | None:
    raw = dict(trailer).get("grpc-status-details-bin")
    if raw is None:
        return None
    try:
        status = status_pb2.Status.FromString(raw)
        reason, retry_after, fields = "UNKNOWN", None, []
        for detail in status.details:
            info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
            bad = error_details_pb2.BadRequest()
            if detail.Unpack(info):
                reason = info.reason
            elif detail.Unpack(retry):
                retry_after = retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9
            elif detail.Unpack(bad):
                fields = [FieldViolation(v.field, v.description) for v in bad.field_violations]
    except Exception:
        return None
    return reason, retry_after, fields


def of_answer(status: int, body: bytes, *, file: bool = False) -> ClarateachError:
    """An HTTP answer that is a refusal; `file` when it is about a file."""
    kind = _BY_STATUS.get(status, errors.ServerError)
    if file and status == 404:
        kind = errors.FileMissingError
    try:
        said = json.loads(body)["error"]
        wait = float(said.get("retry_after_seconds") or 0)
        return kind(str(said["message"]), reason=str(said["reason"]), retry_after=wait or None)
    except (ValueError, KeyError, TypeError, AttributeError):
        if kind is errors.FileMissingError and not body:  # a HEAD has no body to say so
            return kind("there is no such file in the seat", reason="NOT_FOUND")
        return kind(
            f"refused with HTTP status {status} by something that is no ClaraTeach worker",
            reason=f"HTTP_{status}",
        )


def of_transport(cause: BaseException, where: str) -> ClarateachError:
    """A connection to a worker or gateway at `where` that failed."""
    seen: BaseException | None = cause
    while seen is not None:
        if isinstance(seen, ssl.SSLError) and "CERTIFICATE" in str(seen).upper():
            return errors.CertificateError(
                f"{where} is not who it should be by the workshop's CA: check this machine's "
                f"clock, and that nothing stands between ({seen})",
                reason="CERTIFICATE",
            )
        seen = seen.__cause__ or seen.__context__
    return unreachable(where, str(cause) or type(cause).__name__)


def unreachable(where: str, said: str) -> errors.UnavailableError:
    """Nobody answers at `where`."""
    if "Socket closed" in said:
        said = "it closes the connection at once: does it want https://?"
    return errors.UnavailableError(
        f"{where} cannot be reached: is the server running, and the address right? ({said})",
        reason="UNREACHABLE",
    )
