"""Which captioned pictures, from where, and how they are divided."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Format = Literal["auto", "coco", "karpathy", "table", "jsonl", "folder"]


@dataclass(frozen=True)
class DataOptions:
    """Captioned pictures. A folder in COCO's layout needs `data` alone; everything else can be named."""

    data: Path = Path("data/coco2014")
    """Folder of the data set: COCO's layout (annotations/captions_*.json beside the pictures) is found by itself."""
    images: Path | None = None
    """Folder of the pictures, where it is not found by itself."""
    annotations: Path | None = None
    """The captions: COCO or Karpathy JSON (.gz too), CSV, TSV, JSONL, or a folder with a .txt beside each picture."""
    format: Format = "auto"
    """Format of the captions; auto recognises it."""
    image_column: str = "image"
    """Column of a table (or key of a JSONL object) that holds a picture's file name."""
    caption_column: str = "caption"
    """Column of a table (or key of a JSONL object) that holds a caption."""
    train_split: str = "train"
    """Name of the split to train on."""
    val_split: str = "val"
    """Name of the split to validate on."""
    split_list: Path | None = None
    """JSON file {"train": [ids or file names], "val": [...]}, COCO's Karpathy split say; it overrides the file's own splits."""
    val_fraction: float = 0.1
    """Where the data have no validation split: this share of the pictures, chosen by seed, never by caption."""
    workers: int = 2
    """Processes that open pictures in training; 0 opens them in the main one."""

    def problems(self) -> list[str]:
        found = []
        if not 0 < self.val_fraction < 1:
            found.append(f"val_fraction is {self.val_fraction}; it must lie between 0 and 1.")
        if self.workers < 0:
            found.append(f"workers is {self.workers}; it cannot be negative.")
        return found


@dataclass(frozen=True)
class Coco2014Options:
    """The download of COCO 2014: pictures and captions to train and validate on."""

    data: Path = Path("data/coco2014")
    """Folder for train2014/, val2014/ and annotations/; it needs some 34 GB while downloading and 20 GB afterwards."""
    base_url: str = "http://images.cocodataset.org"
    """Where COCO is fetched from: its own server, or a mirror with zips/ and annotations/ below."""
    quiet: bool = False
    """Print errors only."""

    def problems(self) -> list[str]:
        if self.base_url.startswith(("http://", "https://")):
            return []
        return [f"base_url is {self.base_url}; it must begin with http:// or https://."]
