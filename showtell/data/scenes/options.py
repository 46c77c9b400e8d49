"""How the built-in set is drawn."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

SPLITS = ("train", "val", "test", "test_new")


@dataclass(frozen=True)
class ScenesOptions:
    """The built-in set: pictures that the program draws, with captions, boxes and relations that it knows."""

    data: Path = Path("data/scenes")
    """Folder for the set: images/SPLIT/*.png and annotations/*_SPLIT.json, as COCO has them."""
    train: int = 4000
    """Pictures to train on, five captions each."""
    val: int = 400
    """Pictures to validate on."""
    test: int = 500
    """Pictures to test on, of the same kind as those to train on."""
    test_new: int = 500
    """Pictures to test on whose combinations of shape and colour occur in no other split."""
    picture_side: int = 112
    """Side of the square pictures in pixels; the same seed gives the same scenes at every side."""
    seed: int = 0
    """Seed of everything random; the same options give the same bytes on every machine."""
    workers: int = 0
    """Processes that draw; 0 takes as many as the machine has processors."""
    overwrite: bool = False
    """Replace a set in this folder that was made with other options."""
    quiet: bool = False
    """Print errors only."""

    def count(self, split: str) -> int:
        """Pictures of a split."""
        return int(getattr(self, split))

    def problems(self) -> list[str]:
        """All that is wrong with the values, a sentence each."""
        found = [
            f"{name} is {getattr(self, name)}; it must be at least 1 and at most 999999."
            for name in SPLITS
            if not 1 <= getattr(self, name) <= 999_999
        ]
        if not 0 <= self.seed < 1 << 32:
            found.append(f"seed is {self.seed}; it must lie between 0 and {(1 << 32) - 1}.")
        if self.workers < 0:
            found.append(f"workers is {self.workers}; it cannot be negative.")
        if not 112 <= self.picture_side <= 1024:
            found.append(f"picture_side is {self.picture_side}; it must lie between 112 and 1024 pixels.")
        return found
