# Made by generate.sh from _async/keeper.py: edit that one.
"""Keeps one seat's token fresh for as long as somebody uses the seat.

Way: a session -> renewed at two thirds of its token's life, by this machine's
steady clock, whenever it is asked for; while sockets are open also by itself, and
the worker is told, so that they live on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .. import _tasks_sync as tasks
from .._session import Session
from ..errors import ClarateachError, DeadlineError, UnavailableError

SOON = 10.0
"""Seconds until a renewal that failed is tried again."""


class Keeper:
    """The present session of one seat."""

    def __init__(self, session: Session, issue: Callable[[Session], Session]) -> None:
        """`issue` gives a newer session than one, or raises why there is none."""
        self.session = session
        self._issue = issue
        self._lock = tasks.Lock()
        self._users = 0
        self._count = tasks.Lock()  # another one: a renewal may take its time
        self._ticker = tasks.Ticker(self._tick)
        self.tell_worker: Callable[[], None] | None = None
        """Shows the worker the present token."""

    def fresh(self) -> Session:
        """A session whose token will do for a while."""
        session = self.session
        if not session.due:
            return session
        try:
            return self.renew(session)
        except (UnavailableError, DeadlineError):
            # The old one lives for a third of its life yet: a restart of the control
            # plane is no reason to stop working.
            return session

    def renew(self, stale: Session) -> Session:
        """A newer session than `stale`: one call, however many ask at once.

        Raises `AuthError` or `NotFoundError` when it is the caller's no more.
        """
        with self._lock:
            if self.session is stale:
                self.session = self._issue(stale)
            return self.session

    @contextmanager
    def hold(self) -> Iterator[None]:
        """For as long as a socket or a long answer is open."""
        with self._count:
            self._users += 1
            if self._users == 1:
                self._ticker.start(self._due_in())
        try:
            yield
        finally:
            with self._count:
                self._users -= 1
                if self._users == 0:
                    self._ticker.stop()

    def _due_in(self) -> float:
        return max(self.session.renew_at - time.monotonic(), 0.0)

    def _tick(self) -> float:
        try:
            if self.session.due:
                self.renew(self.session)
            if self.tell_worker is not None:
                self.tell_worker()
        except ClarateachError:
            # A socket closes by itself when no renewal came, and says why.
            return SOON
        return self._due_in()

    def stop(self) -> None:
        """Renews no more by itself."""
        self._ticker.stop()
