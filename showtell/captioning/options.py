"""Which pictures are captioned, and where the captions go."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Device = Literal["auto", "cpu", "cuda", "mps"]


@dataclass(frozen=True)
class CaptioningOptions:
    """Captioning of one picture or of a million."""

    image: tuple[str, ...] = ()
    """Pictures, folders (searched through), patterns such as "holiday/*.jpg", or - for a list of names on standard input."""
    model: Path | None = None
    """The model to use."""
    output: Path | None = None
    """File for captions, written as they come: .jsonl, .csv, or .json (COCO results). What it holds already is not done again."""
    attention: Path | None = None
    """Folder for a figure a picture that shows where the model looked for every word."""
    annotations: Path | None = None
    """COCO annotations that give the image_id of each picture in COCO results."""
    overwrite: bool = False
    """Replace an output file instead of going on with it."""
    batch_size: int = 32
    """Pictures captioned together."""
    workers: int = 2
    """Threads that open pictures."""
    device: Device = "auto"
    """Where to compute: auto takes cuda, then mps, then cpu."""
    quiet: bool = False
    """Print errors only."""

    def problems(self) -> list[str]:
        found = []
        if self.batch_size < 1:
            found.append(f"batch_size is {self.batch_size}; it must be at least 1.")
        if self.workers < 0:
            found.append(f"workers is {self.workers}; it cannot be negative.")
        if self.output is not None and self.output.suffix not in (".jsonl", ".csv", ".json"):
            found.append(f"output is {self.output}; its name must end in .jsonl, .csv or .json (COCO results).")
        if self.annotations is not None and (self.output is None or self.output.suffix != ".json"):
            found.append(f"annotations is {self.annotations}; they give COCO results their ids, so output must end in .json.")
        return found
