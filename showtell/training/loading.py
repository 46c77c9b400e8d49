"""How training reads its sources, whether of pixels or of cached features."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.utils.data import DataLoader

from showtell.data.batches import Item
from showtell.training.interruption import leave_signals_to_the_main_process


def loader(source: Any, workers: int, collate: Callable[[Sequence[Item]], Any], **how: Any) -> DataLoader[Any]:
    """A DataLoader over items, which its processes leave to the main one to interrupt.

    It has a generator of its own: opening it, or filling a cache by it, must not move the one that dropout draws from, or a run
    that goes on would differ from one that was never interrupted.

    Args:
        source: what has items by number: a `PictureSource`, or some of one.
        workers: processes that read ahead; 0 reads in this one.
        collate: makes a batch of items.
        how: sampler, sizes and the like, as DataLoader has them.
    """
    return DataLoader(
        source, num_workers=workers, collate_fn=collate, worker_init_fn=leave_signals_to_the_main_process,
        generator=torch.Generator(), **how,
    )  # fmt: skip
