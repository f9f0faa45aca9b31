# Made by generate.sh from _async/tokens.py: edit that one.
"""API tokens of instructors and admins."""

from __future__ import annotations

import secrets

from .. import _wire
from .._generated import workshop_pb2 as pb
from .._models.words import Role
from .._models.workshop import ApiToken, NewToken
from ..errors import InvalidError
from .rpc import Rpc


class Tokens:
    """API tokens: `client.tokens`."""

    def __init__(self, rpc: Rpc) -> None:
        self._rpc = rpc

    def create(
        self, principal: str, *, role: Role | str = Role.INSTRUCTOR, label: str = ""
    ) -> NewToken:
        """A new token for `principal`.

        >>> made = client.tokens.create("ada", label="laptop")
        >>> (client.tokens.revoke(made.info.id)).revoked_at is not None
        True
        """
        try:
            number = pb.Role.Value(f"ROLE_{str(Role(role)).upper()}")
        except ValueError as cause:
            raise InvalidError("role must be admin or instructor", reason="INVALID") from cause
        with _wire.checked():
            request = pb.CreateTokenRequest(
                principal=principal, role=number, label=label, request_id=secrets.token_hex(16)
            )
        said = self._rpc.call(self._rpc.tokens.CreateToken, request)
        return NewToken(said.token, _wire.api_token(said.api_token))

    def list(self) -> list[ApiToken]:
        """The tokens the caller may see, newest first."""
        said = self._rpc.call(self._rpc.tokens.ListTokens, pb.ListTokensRequest())
        return [_wire.api_token(token) for token in said.tokens]

    def revoke(self, id: str) -> ApiToken:
        """Ends a token. Asked twice, nothing changes."""
        with _wire.checked():
            request = pb.RevokeTokenRequest(id=id)
        said = self._rpc.call(self._rpc.tokens.RevokeToken, request)
        return _wire.api_token(said)
