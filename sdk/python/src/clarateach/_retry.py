"""When to try again, and for how long to wait before.

Only what is safe to repeat is repeated: reads, calls with a request id, and
connections that failed before their first byte.
"""

from __future__ import annotations

import math
import random
from datetime import timedelta

from .errors import InvalidError

Seconds = float | timedelta
"""A length of time: seconds, or a timedelta."""

TRIES = 4
FIRST = 0.2
CAP = 10.0


def seconds(length: Seconds) -> float:
    """A length of time in seconds.

    >>> seconds(timedelta(minutes=1)), seconds(2)
    (60.0, 2.0)

    Raises `InvalidError`.
    """
    told = length.total_seconds() if isinstance(length, timedelta) else length
    if not isinstance(told, (int, float)) or not math.isfinite(told):
        raise InvalidError(
            f"{length!r} is no length of time: give seconds or a timedelta", reason="INVALID"
        )
    return float(told)


def pause(attempt: int, hint: float | None = None) -> float:
    """Seconds before the try that follows `attempt` (from 0) failures.

    Full jitter, so that a class that lost its server does not come back as one;
    the server's own hint wins.
    """
    if hint is not None and hint > 0:
        return min(hint, CAP)
    return random.uniform(0, min(CAP, FIRST * 2.0 ** min(attempt, 16)))  # noqa: S311 - no secret
