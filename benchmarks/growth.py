"""How the cost of a training step and of a search grows with what is asked of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypedDict

import torch

from benchmarks import made_up
from benchmarks.decoding import BEAMS, CAPTIONS, CELLS, CHANNELS, COPIES, our_search, our_step
from benchmarks.machine import seconds
from benchmarks.timing import Way
from showtell.data.batches import Batch
from showtell.model.decoder import Decoder
from showtell.model.options import DecoderOptions


class Curve(TypedDict):
    """Seconds by size."""

    what: str
    sizes: list[int]
    seconds: list[float]


def step(device: torch.device, pictures: int = 16, words: int = 12, vocabulary: int = 10_000) -> Way:
    captions, lengths = made_up.captions(pictures, CAPTIONS, vocabulary, words, words)
    batch = Batch(torch.rand(pictures, CELLS, CHANNELS, device=device), captions.to(device), lengths)
    return our_step(Decoder(DecoderOptions(), vocabulary, CHANNELS).to(device), batch, COPIES, bf16=False)


def searching(device: torch.device, beams: int = BEAMS, pictures: int = 16, words: int = 12, vocabulary: int = 10_000) -> Way:
    decoder, grid = (
        Decoder(DecoderOptions(), vocabulary, CHANNELS).to(device).eval(),
        torch.rand(pictures, CELLS, CHANNELS, device=device),
    )
    return lambda: our_search(decoder, grid, beams, words)


AXES: dict[str, tuple[list[int], dict[str, Callable[[torch.device, int], Way]]]] = {
    "pictures in a batch": ([4, 8, 16, 32, 64], {
        "training step": lambda device, n: step(device, pictures=n),
        "beam search": lambda device, n: searching(device, pictures=n),
    }),
    "words of a caption": ([5, 10, 20, 40], {
        "training step": lambda device, n: step(device, words=n), "beam search": lambda device, n: searching(device, words=n),
    }),
    "words of the vocabulary": ([2_500, 5_000, 10_000, 20_000, 40_000], {
        "training step": lambda device, n: step(device, vocabulary=n),
        "beam search": lambda device, n: searching(device, vocabulary=n),
    }),
    "beams": ([1, 2, 5, 10, 20], {"beam search": lambda device, n: searching(device, n)}),
}  # fmt: skip
"""What grows, its sizes, and what is timed; the rest stays at 16 pictures, five captions, 12 words, 10,000 words, five beams."""


def grow(device: torch.device, turns: int = 3) -> dict[str, list[Curve]]:
    """Seconds along each axis, the quickest of some turns; pooled grid, float32."""
    found: dict[str, list[Curve]] = {}
    for axis, (sizes, ways) in AXES.items():
        found[axis] = []
        for what, make in ways.items():
            taken = []
            for size in sizes:
                way = make(device, size)
                way()
                taken.append(min(seconds(way) for _ in range(turns)))
            found[axis].append({"what": what, "sizes": sizes, "seconds": taken})
    return found


def draw(growth: dict[str, list[Curve]], title: str, path: Path) -> None:
    """A plot for each axis, both of its scales logarithmic: a cost that grows as the size does is a line at 45 degrees."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator

    figure = Figure(figsize=(12, 3.4), layout="constrained")
    figure.suptitle(title, fontsize=8)
    costs = sorted({curve["what"] for curves in growth.values() for curve in curves}, reverse=True)
    for place, (axis, curves) in zip(figure.subplots(1, len(growth), sharey=True), growth.items(), strict=True):
        for curve in curves:
            place.loglog(
                curve["sizes"], curve["seconds"], marker="o", label=curve["what"], color=f"C{costs.index(curve['what'])}"
            )
        place.set_xticks(curves[0]["sizes"], [f"{size:,}" for size in curves[0]["sizes"]], minor=False)
        place.minorticks_off()
        place.set_xlabel(axis)
        place.grid(alpha=0.3)
        place.legend()
    seconds_axis = figure.axes[0].yaxis  # which all share
    seconds_axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    seconds_axis.set_major_formatter("{x:g}")
    seconds_axis.set_label_text("seconds")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
