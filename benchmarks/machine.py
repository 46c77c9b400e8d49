"""What this machine can do at most, measured: so that a case's speed can be set beside it."""

from __future__ import annotations

import platform
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from showtell.model.device import has_fast_bf16

SIZE = 2048
"""Rows and columns of the matrices whose product is timed."""

COPIED = 1 << 26
"""float32 numbers that are copied: 256 MiB, more than a core's share of any cache."""

TOLD = ("avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16", "amx_int8", "neon", "sve")
"""Instructions that decide how fast a decoder is, as far as torch tells of them."""


@dataclass(frozen=True)
class Limits:
    """The machine's rates, on so many threads."""

    float32: float
    """Floating-point operations a second in a large matrix product."""
    bf16: float
    """The same for numbers of 16 bits; 0 where the machine has no instructions for them."""
    bandwidth: float
    """Bytes a second that a copy reads and writes in memory."""

    def told(self) -> str:
        """For the head of a table."""
        bf16 = f"{self.bf16 / 1e9:,.0f} bf16" if self.bf16 else "no fast bf16"
        return f"{self.float32 / 1e9:,.0f} GFLOP/s float32, {bf16}; memory {self.bandwidth / 1e9:.1f} GB/s"

    def share(self, operations: float, size: float, seconds: float, precision: str) -> float:
        """The larger of the shares of the two limits that so many operations and bytes in so many seconds come to."""
        rate = self.bf16 if precision == "bf16" else self.float32
        return max(operations / rate, size / self.bandwidth) / seconds


def processor_seconds() -> float:
    """That this process, and the programs that it called, have had of a processor so far."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def seconds(do: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """Of one call, until a GPU too has done what it was given."""
    start = clock()
    do()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return clock() - start


def measure(device: torch.device) -> Limits:
    """The quickest of five of each kind."""
    rates = {torch.float32: 0.0, torch.bfloat16: 0.0}
    for dtype in [torch.float32, *([torch.bfloat16] if has_fast_bf16(device) else [])]:  # else it would take ten minutes
        a, b = (torch.ones(SIZE, SIZE, dtype=dtype, device=device) for _ in "ab")
        torch.mm(a, b)
        rates[dtype] = 2 * SIZE**3 / min(seconds(lambda a=a, b=b: torch.mm(a, b)) for _ in range(5))
    source, target = (torch.zeros(COPIED, device=device) for _ in "ab")
    target.copy_(source)
    copied = min(seconds(lambda: target.copy_(source)) for _ in range(5))
    return Limits(*rates.values(), bandwidth=2 * 4 * COPIED / copied)


def description(device: torch.device) -> str:
    """Processor, threads and the instructions that count."""
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}"
    features = torch.cpu.get_capabilities()
    has = [name for name in TOLD if features.get(name)]
    return (
        f"{_processor()}, {torch.get_num_threads()} threads, {' '.join(has) or 'no wide instructions'}, torch {torch.__version__}"
    )


def _processor() -> str:
    """Its name, which only Linux writes where Python can read it."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
