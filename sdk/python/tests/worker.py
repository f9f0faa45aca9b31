"""A worker of a server on this machine, from its host's side."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path


def lose(data: Path, worker: str) -> None:
    """Ends all that `worker` runs at once, agent and seats, as when a machine is taken away."""
    run = data / "workers" / worker / "run"
    agent = int((run / "agent.pid").read_text())
    states = [json.loads(file.read_text()) for file in run.glob("runc/*/state.json")]
    assert states, f"no seats below {run}"
    for pid in (agent, *(int(state["init_process_pid"]) for state in states)):
        os.kill(pid, signal.SIGKILL)
