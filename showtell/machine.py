"""What the machine has for this program."""

from __future__ import annotations

import os


def processors() -> int:
    """Processors that this program may use: of a container or of `taskset`, not all that there are. At least 1."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
