"""Errors have one root, and say what to do."""

from __future__ import annotations

import json
import pickle
from typing import Any

import grpc
import pytest
from google.protobuf import any_pb2
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2

import clarateach
from clarateach import _refusals, errors


def test_every_error_has_the_one_root() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    found = [kind for kind in kinds if issubclass(kind, Exception)]
    assert len(found) > 15
    for kind in found:
        assert issubclass(kind, errors.ClarateachError)
        assert kind.__name__ in clarateach.__all__


@pytest.mark.parametrize(
    ("ours", "builtin"),
    [
        (errors.AuthError, PermissionError),
        (errors.DeadlineError, TimeoutError),
        (errors.FileMissingError, FileNotFoundError),
        (errors.InvalidError, ValueError),
        (errors.UnavailableError, ConnectionError),
        (errors.LocalFileError, OSError),
    ],
)
def test_errors_are_what_python_calls_the_same(
    ours: type[errors.ClarateachError], builtin: type[Exception]
) -> None:
    error = ours("said", reason="REASON", retry_after=2)
    assert isinstance(error, builtin)
    assert (str(error), error.reason, error.retry_after) == ("said", "REASON", 2)


class Failed(grpc.RpcError):
    """A call that failed, as both of grpc's kinds look."""

    def __init__(self, code: grpc.StatusCode, said: str, raw: bytes | None = None) -> None:
        super().__init__()
        self._code, self._said, self._raw = code, said, raw

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return self._said

    def trailing_metadata(self) -> Any:
        return [] if self._raw is None else [("grpc-status-details-bin", self._raw)]


def test_details_of_the_server_become_reason_wait_and_fields() -> None:
    violation = error_details_pb2.BadRequest.FieldViolation(field="seats", description="too many")
    details = [
        error_details_pb2.ErrorInfo(reason="SEATS_EXHAUSTED", domain="clarateach"),
        error_details_pb2.RetryInfo(retry_delay=Duration(seconds=10)),
        error_details_pb2.BadRequest(field_violations=[violation]),
    ]
    status = status_pb2.Status()
    for detail in details:
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    failed = Failed(grpc.StatusCode.RESOURCE_EXHAUSTED, "full", status.SerializeToString())
    error = _refusals.of_rpc(failed, "h:1")
    assert isinstance(error, errors.ExhaustedError)
    assert (error.reason, error.retry_after, str(error)) == ("SEATS_EXHAUSTED", 10, "full")
    assert error.fields[0] == errors.FieldViolation("seats", "too many")


@pytest.mark.parametrize(
    ("code", "said", "kind", "reason"),
    [
        ("UNAVAILABLE", "Connection refused", errors.UnavailableError, "UNREACHABLE"),
        ("UNAVAILABLE", "Ssl handshake failed", errors.CertificateError, "CERTIFICATE"),
        ("DEADLINE_EXCEEDED", "", errors.DeadlineError, "DEADLINE"),
        ("UNKNOWN", "http 404", errors.ServerError, "NOT_CLARATEACH"),
        ("UNIMPLEMENTED", "", errors.ServerError, "NOT_CLARATEACH"),
    ],
)
@pytest.mark.parametrize("raw", [None, b"\xff no message"])
def test_without_details_it_is_said_who_did_not_answer(
    code: str, said: str, kind: type[errors.ClarateachError], reason: str, raw: bytes | None
) -> None:
    error = _refusals.of_rpc(Failed(getattr(grpc.StatusCode, code), said, raw), "h:1")
    assert type(error) is kind
    assert error.reason == reason
    assert "h:1" in str(error)


def test_refusals_of_a_worker_are_told_as_they_came() -> None:
    said = {"reason": "DRAINING", "message": "wait", "fields": [], "retry_after_seconds": 1}
    error = _refusals.of_answer(503, json.dumps({"error": said}).encode())
    assert isinstance(error, errors.UnavailableError)
    assert (error.reason, error.retry_after) == ("DRAINING", 1)
    for body in (b"", b"<html>", b"[]", b"null", b'{"error": 3}', b'{"error": {}}'):
        stranger = _refusals.of_answer(404, body, file=True)
        assert isinstance(stranger, errors.FileMissingError)
        assert stranger.reason == ("HTTP_404" if body else "NOT_FOUND")  # HEAD has none


def test_an_error_crosses_processes() -> None:
    error = errors.ExhaustedError("full", reason="SEATS_EXHAUSTED", retry_after=3)
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.reason, again.retry_after) == ("full", "SEATS_EXHAUSTED", 3)
    failed = pickle.loads(pickle.dumps(errors.WorkshopFailedError("seat 3", "failed", "no disk")))
    assert (failed.reason, failed.state) == ("SEAT_FAILED", "failed")
    missing = pickle.loads(pickle.dumps(errors.FileMissingError("none", reason="NOT_FOUND")))
    assert (str(missing), missing.reason) == ("none", "NOT_FOUND")
