"""A learner's seat: commands, terminals and files of one machine."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from types import TracebackType

from .. import _exec_wire, _wire
from .. import _tasks_async as tasks
from .._generated import workshop_pb2 as pb
from .._models.command import CommandResult
from .._models.progress import TerminalEvent
from .._models.words import SeatState, WorkshopStatus
from .._models.workshop import SeatChange
from .._retry import Seconds, pause, seconds
from .._session import Session
from ..errors import DeadlineError, UnavailableError, WorkshopFailedError
from .command import AsyncCommand
from .files import AsyncFiles
from .keeper import AsyncKeeper
from .rpc import AsyncRpc
from .stay import AsyncStay
from .terminal import AsyncTerminal
from .way import AsyncWay

_ENDS = (
    WorkshopStatus.FAILED,
    WorkshopStatus.STOPPED,
    WorkshopStatus.DELETING,
    WorkshopStatus.DELETED,
)


class AsyncSeat:
    """A seat that was joined. Its token renews itself.

    Closing it, also by `with`, ends connections only: the machine, its shells and
    files stay the learner's.
    """

    def __init__(
        self, rpc: AsyncRpc, stay: AsyncStay, said: pb.JoinWorkshopResponse, route: str
    ) -> None:
        self._rpc = rpc
        self._stay = stay
        self._keeper = AsyncKeeper(Session.joined(said), stay.renewed)
        self._way = AsyncWay(rpc, self._keeper, route)
        self.number = said.seat
        """Its number in the workshop, from 1."""
        self.state = _wire.seat_state(said.seat_state)
        """Where its machine was when last heard of."""
        self.workshop_id = said.workshop_id
        self.workshop_name = said.workshop_name
        self.instructions = said.instructions
        """What the instructor wrote for learners, Markdown."""
        self.files = AsyncFiles(self._way)
        """The files of its workspace."""

    @property
    def reconnect_code(self) -> str:
        """Brings the learner back to this seat from another program: keep it secret."""
        return self._stay.reconnect_code.text

    async def refresh(self) -> AsyncSeat:
        """A fresh token and present addresses now; otherwise that is done by itself in time."""
        await self._keeper.renew(self._keeper.session)
        return self

    async def watch(self) -> AsyncIterator[SeatChange]:
        """The seat's state first, then every change and notice, until you stop.

        A lost connection is taken up again by itself. Raises `AuthError` when the seat
        was taken away, and `NotFoundError` when the workshop is over.
        """
        attempt, seen = 0, 0
        while True:
            session = await self._keeper.fresh()
            request = pb.WatchSeatRequest(since_revision=seen)
            try:
                stream = self._rpc.stream(self._rpc.seats.WatchSeat, request, token=session.token)
                async with aclosing(stream) as changes:
                    async for said in changes:
                        attempt, seen = 0, said.revision
                        yield self._took(said)
                wait = pause(attempt)
            except UnavailableError as error:
                wait = pause(attempt, error.retry_after)
            attempt += 1
            await tasks.sleep(wait)

    def _took(self, said: pb.WatchSeatResponse) -> SeatChange:
        change = _wire.seat_change(said)
        self.state = change.state
        self._keeper.session = self._keeper.session.moved(said)
        return change

    async def wait_ready(
        self,
        on_progress: Callable[[SeatChange], None] | None = None,
        *,
        timeout: Seconds = 900,
    ) -> AsyncSeat:
        """Until terminal and files answer.

        Raises `WorkshopFailedError` as soon as that will not come (`SEAT_FAILED`,
        `WORKSHOP_STOPPED`), and `DeadlineError` after `timeout`.

        >>> (await seat.wait_ready()).state.value
        'ready'
        """
        began, limit, attempt = time.monotonic(), seconds(timeout), 0
        while True:
            session = await self._keeper.fresh()
            left = limit - (time.monotonic() - began)
            try:
                stream = self._rpc.stream(
                    self._rpc.seats.WatchSeat,
                    pb.WatchSeatRequest(),
                    token=session.token,
                    limit=max(left, 0.001),
                )
                async with aclosing(stream) as changes:
                    async for said in changes:
                        change = self._took(said)
                        if on_progress is not None:
                            on_progress(change)
                        if self._is_ready(change):
                            return self
                wait = pause(attempt)
            except UnavailableError as error:
                wait = pause(attempt, error.retry_after)
            except DeadlineError:
                wait = limit
            if time.monotonic() - began + wait >= limit:
                raise DeadlineError(
                    f"seat {self.number} is not ready after {limit:.0f} s but "
                    f"{self.state.value}: wait again, or ask your instructor",
                    reason="DEADLINE",
                )
            attempt += 1
            await tasks.sleep(wait)

    def _is_ready(self, change: SeatChange) -> bool:
        if change.state is SeatState.FAILED:
            raise WorkshopFailedError(f"seat {self.number}", "failed", change.reason)
        if change.workshop_status in _ENDS:
            state = change.workshop_status.value
            raise WorkshopFailedError(f"workshop {self.workshop_id}", state, change.reason)
        return change.state is SeatState.READY and bool(self._keeper.session.direct.terminal)

    @asynccontextmanager
    async def start(
        self,
        command: str | Sequence[str],
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        stdin: bytes | str | None = None,
        timeout: Seconds | None = None,
    ) -> AsyncIterator[AsyncCommand]:
        r"""A command whose output is read while it runs.

        A text is a line for the shell, a list a program with its arguments. `cwd`
        counts from the workspace. It is ended after `timeout`, by default after a day,
        or when its `with` is left.

        Raises `InvalidError` (`BAD_COMMAND`) and `ExhaustedError` (`TOO_MANY_COMMANDS`).

        >>> async with seat.start("seq 3") as command:
        ...     pieces = [piece async for _, piece in command]
        >>> b"".join(pieces)
        b'1\n2\n3\n'
        """
        body = _exec_wire.order(command, cwd=cwd, env=env, stdin=stdin, timeout=timeout)
        headers = {"content-type": "application/json"}
        async with (
            self._keeper.hold(),
            self._way.open(
                "POST", "exec", headers=headers, content=body, repeatable=False, silent=True
            ) as response,
        ):
            yield AsyncCommand(command, response)

    async def run(
        self,
        command: str | Sequence[str],
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        stdin: bytes | str | None = None,
        timeout: Seconds | None = None,
        check: bool = False,
    ) -> CommandResult:
        r"""Runs a command to its end, as the learner. As `start`; another exit code than
        0 is a result, and an error (`CommandFailedError`) only with `check`.

        >>> done = await seat.run("echo out; echo err >&2; exit 3")
        >>> done.stdout, done.stderr, done.exit_code
        ('out\n', 'err\n', 3)
        """
        async with self.start(command, cwd=cwd, env=env, stdin=stdin, timeout=timeout) as running:
            return await running.result(check=check)

    def terminal(
        self,
        name: str = "main",
        *,
        cols: int = 80,
        rows: int = 24,
        offset: int | None = None,
        instance: str | None = None,
        on_event: Callable[[TerminalEvent], None] | None = None,
        patience: Seconds = 300,
    ) -> AsyncTerminal:
        r"""A terminal of this `name`, whose shell outlives every connection.

        It is opened by `with`, or by its first use. An `offset` (with the `instance` of
        the shell that it is of) continues there; 0 gives all that is kept. A lost
        connection is taken up again for up to `patience`, at the very byte.

        >>> async with seat.terminal("doc") as terminal:
        ...     await terminal.write("echo $((6 * 7))\n")
        ...     text = await terminal.read_until("42")
        """
        return AsyncTerminal(
            self._way,
            name,
            cols=cols,
            rows=rows,
            offset=offset,
            instance=instance,
            on_event=on_event,
            patience=seconds(patience),
        )

    async def aclose(self) -> None:
        """Ends connections to the seat; the seat stays the learner's."""
        await self._way.aclose()

    async def __aenter__(self) -> AsyncSeat:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.number} of {self.workshop_id}, {self.state.value}>"
