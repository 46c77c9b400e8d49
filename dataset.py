"""The data set, for import: `from dataset import CaptionedPictures`. What it does is in showtell/data/batches.py."""

from showtell.data.batches import Batch, CaptionedPictures, collate

__all__ = ["Batch", "CaptionedPictures", "collate"]
