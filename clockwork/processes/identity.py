"""Tell processes apart by their id and start time.

The system reuses an id after its process has ended, but never the id with the start time.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

_POLL_SECONDS = 0.05


def identity(pid: int) -> str | None:
    """Return a text that is unique to the process *pid*; None if *pid* is not running."""
    if sys.platform != "linux":
        # Every system has its own ps.
        started = subprocess.run(  # nosec B607
            ["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
        )
        return started.stdout.strip() or None
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # proc(5): the name stands in parentheses and may hold some itself; the state follows it, and
    # the start time, counted from the boot, is the 20th after the name.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else f"{boot} {fields[19]}"


def end_process(pid: int, known_as: str, seconds: float) -> bool:
    """End the process *pid* if its `identity` still is *known_as*. Return whether it has ended.

    Sends SIGTERM, and SIGKILL if the process has not ended after *seconds*; then waits for as long
    again.
    Raises PermissionError when the process belongs to another user.
    """
    for asked in (signal.SIGTERM, signal.SIGKILL):
        if identity(pid) != known_as:
            return True
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, asked)
        deadline = time.monotonic() + seconds
        while identity(pid) == known_as and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
    return identity(pid) != known_as
