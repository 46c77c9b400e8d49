"""Two ways of the same, timed in turns in one process."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.machine import seconds

Way = Callable[[], object]


@dataclass(frozen=True)
class Pair:
    """A case, ready to be timed."""

    baseline: Way
    ours: Way
    precision: str = "float32"
    """In which ours multiplies: which of the machine's limits counts."""
    size: float = 0.0
    """Bytes that ours has to read and write in memory, where that is what limits it."""


@dataclass(frozen=True)
class Case:
    """What is compared with what."""

    what: str
    """What is done."""
    baseline: str
    """How others do it."""
    make: Callable[[torch.device], Pair]
    """The two ways, with everything that they need at hand."""
    goal: float | None = None
    """The least ratio, baseline's seconds over ours, that this project set itself on two CPU cores."""
    gpu_goal: float | None = None
    """The same on a GPU."""
    on_gpu: bool = True
    """Whether it is worth while on a GPU."""
    bf16: bool = False
    """Whether it is for devices alone that are fast in bf16; others take hundreds of times as long."""
    memory: bool = True
    """Whether its memory is measured; not that of other programs, for Linux counts what their caller had as theirs."""


@dataclass(frozen=True)
class Times:
    """Seconds of a case, a pair for each turn."""

    baseline: list[float]
    ours: list[float]

    @property
    def ratios(self) -> list[float]:
        """Baseline over ours, a turn each, from the smallest to the largest."""
        return sorted(one / other for one, other in zip(self.baseline, self.ours, strict=True))

    @property
    def ratio(self) -> float:
        return median(self.ratios)


LONG = 10.0
"""Seconds beyond which a first call counts: what it prepares for the next ones is nothing beside that."""


def in_turns(pair: Pair, turns: int, clock: Callable[[], float] = time.perf_counter) -> Times:
    """So many turns; who begins changes from turn to turn. Before them, one call each that counts only where it is long."""
    ways = {"baseline": pair.baseline, "ours": pair.ours}
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for name, way in ways.items():
        took = seconds(way, clock)
        if took > LONG:
            taken[name].append(took)
    for turn in range(turns):
        for name in sorted(ways, reverse=turn % 2 == 1):
            if len(taken[name]) <= turn:
                gc.collect()
                taken[name].append(seconds(ways[name], clock))
    return Times(**taken)


def operations(way: Way) -> float:
    """Floating-point operations of its matrix products and convolutions, forward and backward."""
    with FlopCounterMode(display=False) as counter:
        way()
    return float(counter.get_total_flops())
