"""What the machine has for this program."""

from __future__ import annotations

import os
from typing import Literal

Device = Literal["auto", "cpu", "cuda", "mps"]
"""Where to compute, as the settings name it."""


def processors() -> int:
    """Processors that this program may use: of a container or of `taskset`, not all that there are. At least 1."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
