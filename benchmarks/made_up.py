"""Captions and photographs made up for timing: of the sizes of real ones, seeded, and nobody's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from showtell.vocabulary import END, PAD, SPECIALS, START


def captions(pictures: int, each: int, vocabulary: int, shortest: int = 8, longest: int = 20) -> tuple[Tensor, Tensor]:
    """Word numbers from <start> to <end>, N x R x T, and their lengths N x R; longest first, as batches have them.

    Lengths are spread evenly from `shortest` to `longest` words, <start> and <end> not counted.
    """
    random = np.random.default_rng(0)
    lengths = np.sort(random.integers(shortest, longest + 1, (pictures, each)), axis=1)[:, ::-1]
    lengths = lengths[np.argsort(-lengths[:, 0], kind="stable")] + 2
    words = random.integers(len(SPECIALS), vocabulary, (pictures, each, longest + 2))
    words[:, :, 0] = START
    place = np.arange(longest + 2)
    words[place >= lengths[..., None]] = PAD
    np.put_along_axis(words, lengths[..., None] - 1, END, axis=2)
    return torch.from_numpy(words), torch.from_numpy(lengths.copy())


def sentences(number: int, vocabulary: int = 9_000, seed: int = 0) -> list[str]:
    """Sentences of 8 to 14 words, of which few are frequent and many rare, as in a language (Zipf's law)."""
    random = np.random.default_rng(seed)
    chances = 1 / np.arange(1, vocabulary + 1)
    words = random.choice(vocabulary, (number, 14), p=chances / chances.sum()).tolist()
    lengths = random.integers(8, 15, number).tolist()
    return [" ".join(f"w{word}" for word in row[:length]) for row, length in zip(words, lengths, strict=True)]


def photographs(folder: Path, number: int, size: tuple[int, int] = (640, 480)) -> list[Path]:
    """JPEG files of COCO's size: soft shapes under grain, which cost a decoder what a photograph does."""
    random = np.random.default_rng(0)
    paths = []
    for i in range(number):
        soft = Image.fromarray(random.integers(0, 256, (12, 16, 3), dtype=np.uint8)).resize(size, Image.Resampling.BICUBIC)
        grain = random.normal(0, 12, (size[1], size[0], 1))
        pixels = np.clip(np.asarray(soft) + grain, 0, 255).astype(np.uint8)
        path = folder / f"{i:012d}.jpg"
        Image.fromarray(pixels).save(path, quality=90)
        paths.append(path)
    return paths
