"""A learner's stay in a seat: what takes the same seat again."""

from __future__ import annotations

import secrets

from .._generated import workshop_pb2 as pb
from .._secret import Secret
from .._session import Session
from ..errors import AuthError, NotFoundError
from .rpc import AsyncRpc


class AsyncStay:
    """Renews a learner's session: by its token, or with the reconnect code."""

    def __init__(self, rpc: AsyncRpc, code: Secret, reconnect_code: Secret, name: str) -> None:
        self._rpc = rpc
        self._code = code
        self.reconnect_code = reconnect_code
        self._name = name

    async def renewed(self, stale: Session) -> Session:
        """A newer session than `stale`.

        When the token is over or void, the seat is taken again with its reconnect
        code. Raises `AuthError` or `NotFoundError` when it is the learner's no more.
        """
        try:
            method, request = self._rpc.seats.RefreshToken, pb.RefreshTokenRequest()
            said = await self._rpc.call(method, request, token=stale.token)
        except (AuthError, NotFoundError):
            if not self.reconnect_code.text:
                raise
            return await self._rejoin()
        return Session.joined(said)

    async def _rejoin(self) -> Session:
        request = pb.JoinWorkshopRequest(
            code=self._code.text,
            display_name=self._name,
            reconnect_code=self.reconnect_code.text,
            request_id=secrets.token_hex(16),
        )
        said = await self._rpc.call(self._rpc.seats.JoinWorkshop, request, needs_token=False)
        if said.reconnect_code:
            self.reconnect_code = Secret(said.reconnect_code)
        return Session.joined(said)
