"""What is evaluated, and what is compared."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from showtell.machine import Device


@dataclass(frozen=True)
class EvaluationOptions:
    """Evaluation of a model, or of captions that some program wrote."""

    model: Path | None = None
    """The model that captions the pictures of the split."""
    predictions: Path | None = None
    """Captions to score instead: COCO results, JSONL or CSV, with file names or image ids."""
    split: str | None = None
    """The split to score; by default that of val_split, where the data have it, else all pictures."""
    partial: bool = False
    """Score the pictures that have both captions and references, and count what only one of them has, instead of refusing."""
    output_dir: Path = Path("evaluation")
    """Folder for captions.jsonl, pictures.jsonl (scores of each picture) and scores.json."""
    overwrite: bool = False
    """Replace the scores in a folder that holds some."""
    batch_size: int = 32
    """Pictures captioned together."""
    device: Device = "auto"
    """Where the model computes: auto takes cuda, then mps, then cpu."""
    quiet: bool = False
    """Print errors only."""

    def problems(self) -> list[str]:
        found = []
        if self.model is not None and self.predictions is not None:
            found.append("model and predictions are both named; score one of them at a time.")
        if self.batch_size < 1:
            found.append(f"batch_size is {self.batch_size}; it must be at least 1.")
        return found


@dataclass(frozen=True)
class ComparisonOptions:
    """Comparison of two systems on the same pictures."""

    changed: int = 5
    """Captions to show that changed most for the better, and as many for the worse."""
    draws: int = 2000
    """Draws of the bootstrap."""
    bootstrap_seed: int = 0
    """Seed of the draws."""

    def problems(self) -> list[str]:
        found = []
        if self.changed < 0:
            found.append(f"changed is {self.changed}; it cannot be negative.")
        if self.draws < 100:
            found.append(f"draws is {self.draws}; it must be at least 100.")
        if self.bootstrap_seed < 0:
            found.append(f"bootstrap_seed is {self.bootstrap_seed}; it cannot be negative.")
        return found
