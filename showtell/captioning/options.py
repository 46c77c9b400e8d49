"""Which pictures are captioned, and where the captions go."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from showtell.machine import Device
from showtell.model.options import MOST_LABELS


@dataclass(frozen=True)
class CaptioningOptions:
    """Captioning of one picture or of a million."""

    image: tuple[str, ...] = ()
    """Pictures, folders (searched through), patterns such as "holiday/*.jpg", or - for a list of names on standard input."""
    model: Path | None = None
    """The model to use; box, the captioner that comes with showtell, where none is named."""
    language: str | None = None
    """Language of the box's captions: en, de, zh or ar; several as en,de, and each picture is still encoded once."""
    labels: int = 3
    """ImageNet labels, with probabilities, to give beside each caption, where the model has a classifier, as the box has."""
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
    max_pixels: int | None = None
    """A picture of more pixels than this is refused; by default the model's limit, and at most 200 million."""
    device: Device = "auto"
    """Where to compute: auto takes cuda, then mps, then cpu."""
    quiet: bool = False
    """Print errors only."""

    def problems(self) -> list[str]:
        found = []
        if self.batch_size < 1:
            found.append(f"batch_size is {self.batch_size}; it must be at least 1.")
        if not 0 <= self.labels <= MOST_LABELS:
            found.append(f"labels is {self.labels}; it must lie between 0 and {MOST_LABELS}.")
        if self.language is not None and self.model not in (None, Path("box")):
            found.append(f"language is {self.language}, but {self.model} has a language of its own: it is for the box.")
        if self.language is not None and not self.language.strip():
            found.append("language is empty; name one that the box speaks, such as en.")
        if self.max_pixels is not None and self.max_pixels < 1:
            found.append(f"max_pixels is {self.max_pixels}; it must be positive.")
        if self.workers < 0:
            found.append(f"workers is {self.workers}; it cannot be negative.")
        spoken = self.language or (self.model.name if self.model and self.model.parts[:1] == ("box",) else "")
        if "," in spoken and self.output is not None and self.output.suffix == ".json":
            found.append(f"language is {spoken}, but COCO results hold one: name one, or an output of .jsonl or .csv.")
        if self.output is not None and self.output.suffix not in (".jsonl", ".csv", ".json"):
            found.append(f"output is {self.output}; its name must end in .jsonl, .csv or .json (COCO results).")
        if self.annotations is not None and (self.output is None or self.output.suffix != ".json"):
            found.append(f"annotations is {self.annotations}; they give COCO results their ids, so output must end in .json.")
        if (
            self.annotations is not None
            and self.output is not None
            and os.path.realpath(self.annotations) == os.path.realpath(self.output)
        ):
            found.append(f"output is {self.output}, the annotations themselves; name another file.")
        return found
