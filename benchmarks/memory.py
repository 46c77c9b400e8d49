"""How much memory a way of doing a case takes, in a process of its own."""

from __future__ import annotations

import gc
import multiprocessing
import re
import resource
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch

from benchmarks.cases import CASES
from benchmarks.timing import Way


def peak(name: str, way: str, device: str) -> int:
    """Bytes that one call of a case's way takes beyond what was there before.

    Measured in a new process. On a GPU, of its memory; elsewhere of the process, where the system tells (on Linux exactly,
    on others no less than what the preparations took).
    """
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_peak_here, name, way, device).result()


def _peak_here(name: str, way: str, device: str) -> int:
    do: Way = getattr(CASES[name].make(torch.device(device)), way)
    gc.collect()
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        do()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    _forget_the_peak()
    before = _resident("VmRSS")
    do()
    return _resident("VmHWM") - before


def _forget_the_peak() -> None:
    """So that what the preparations took does not count (Linux, proc(5): clear_refs)."""
    if sys.platform == "linux":
        Path("/proc/self/clear_refs").write_text("5")


def _resident(which: str) -> int:
    """Bytes of this process in memory: VmRSS now, VmHWM at most so far."""
    if sys.platform == "linux":
        found = re.search(rf"{which}:\s*(\d+) kB", Path("/proc/self/status").read_text("ascii", "replace"))
        return 1024 * int(found[1]) if found else 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
