"""Captioned pictures as tensors: a batch is some pictures, each with all its captions, so that each is encoded once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset, Sampler

from showtell.data.records import Record
from showtell.errors import Problem
from showtell.pictures import AugmentOptions, PictureOptions, augment, may_flip, open_picture, shape
from showtell.vocabulary import PAD, Vocabulary


class Item(NamedTuple):
    """One picture with its captions; or, where it could not be read, why."""

    picture: Tensor | None
    """uint8 3 x S x S pixels, or of the cache, in float16, a grid, cells x channels, or maps, rows x columns x channels."""
    captions: list[list[int]]
    skipped: str = ""
    number: int = -1
    """Of the picture, in its source."""


@dataclass(frozen=True)
class Batch:
    """N pictures with up to R captions of up to T words each; pictures and captions come longest first."""

    pictures: Tensor
    """uint8 N x 3 x S x S pixels, or of the cache, in float16, N x cells x channels or N x rows x columns x channels."""
    captions: Tensor
    """int64 N x R x T word numbers from <start> to <end>, padded with PAD."""
    lengths: Tensor
    """int64 N x R, words of each caption with <start> and <end>; 0 where a picture has fewer captions. Always on the CPU."""
    skipped: tuple[str, ...] = ()
    """A sentence for each picture that could not be read."""
    numbers: tuple[int, ...] = ()
    """Of the N pictures, in their source."""

    def to(self, device: torch.device) -> Batch:
        """The batch with pictures and captions on the device."""
        pictures, captions = (tensor.to(device, non_blocking=True) for tensor in (self.pictures, self.captions))
        return replace(self, pictures=pictures, captions=captions)

    def pin_memory(self) -> Batch:
        """Called by the DataLoader, so that copies to a GPU overlap with computing."""
        return replace(self, pictures=self.pictures.pin_memory(), captions=self.captions.pin_memory())


class PictureSource(Protocol):
    """What a training run reads: pictures as pixels (below) or as cached features, numbered from 0."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Item: ...

    def set_epoch(self, epoch: int) -> None: ...


class CaptionedPictures(Dataset[Item]):
    """Records as pixels and word numbers.

    Args:
        records: the pictures, with their captions.
        vocabulary: turns captions into numbers.
        pictures: how a file becomes pixels.
        augmentation: random crops and flips; None for validation.
        seed: with the epoch and the picture's number, decides its crop and flip, in whatever process it is opened.
    """

    def __init__(
        self,
        records: Sequence[Record],
        vocabulary: Vocabulary,
        pictures: PictureOptions,
        augmentation: AugmentOptions | None = None,
        seed: int = 0,
    ) -> None:
        self.records, self.vocabulary, self.pictures = records, vocabulary, pictures
        self.augmentation, self.seed, self.epoch = augmentation, seed, 0

    def __len__(self) -> int:
        return len(self.records)

    def set_epoch(self, epoch: int) -> None:
        """Crops and flips of an epoch depend on its number; call before iterating."""
        self.epoch = epoch

    def __getitem__(self, index: int) -> Item:
        record = self.records[index]
        try:
            pixels = self._pixels(record, index)  # S x S x 3
        except Problem as problem:
            return Item(None, [], str(problem))
        return Item(torch.from_numpy(pixels).permute(2, 0, 1), encode_captions(record, self.vocabulary), number=index)

    def _pixels(self, record: Record, index: int) -> np.ndarray:
        picture = open_picture(record.path, self.pictures)
        if self.augmentation is None or not self.augmentation.augment:
            return shape(picture, self.pictures)[0]
        random = np.random.default_rng((self.seed, self.epoch, index))
        return augment(picture, self.pictures, self.augmentation, random, may_flip(record.captions, self.augmentation))


class SomeCaptions:
    """Another source's pictures with a few of their captions each, drawn anew in every epoch.

    The decoder's work grows with the captions; where pictures are plenty, more of them teach more than more captions of each.

    Args:
        source: pictures with all their captions.
        count: captions to keep of each; a picture that has fewer keeps all.
        seed: with the epoch and the picture's number, decides which.
    """

    def __init__(self, source: PictureSource, count: int, seed: int = 0) -> None:
        self.source, self.count, self.seed, self.epoch = source, count, seed, 0

    def __len__(self) -> int:
        return len(self.source)

    def set_epoch(self, epoch: int) -> None:
        """The choice of an epoch depends on its number; call before iterating."""
        self.epoch = epoch
        self.source.set_epoch(epoch)

    def __getitem__(self, index: int) -> Item:
        item = self.source[index]
        random = np.random.default_rng((self.seed, self.epoch, index, 1))  # 1: not the numbers that crop and flip are made of
        chosen = random.permutation(len(item.captions))[: self.count]
        return item._replace(captions=[item.captions[i] for i in sorted(chosen)])  # still longest first


def encode_captions(record: Record, vocabulary: Vocabulary) -> list[list[int]]:
    """All captions of a record as word numbers from <start> to <end>, longest first."""
    return sorted((vocabulary.encode(caption) for caption in record.captions), key=len, reverse=True)


def collate(items: Sequence[Item]) -> Batch:
    """Items into a batch; pictures that could not be read are left out and named."""
    skipped = tuple(item.skipped for item in items if item.picture is None)
    good = [(item.picture, item.captions, item.number) for item in items if item.picture is not None]
    if not good:
        return Batch(torch.zeros(0), torch.zeros(0, 0, 0, dtype=torch.long), torch.zeros(0, 0, dtype=torch.long), skipped)
    good.sort(key=lambda each: max(map(len, each[1]), default=0), reverse=True)  # finished captions leave the decoder's loop
    most = max(len(captions) for _, captions, _ in good)
    rows = [caption for _, captions, _ in good for caption in captions + [[]] * (most - len(captions))]
    captions = pad_sequence([torch.tensor(row, dtype=torch.long) for row in rows], batch_first=True, padding_value=PAD)
    lengths = torch.tensor([len(row) for row in rows])
    return Batch(
        torch.stack([picture for picture, _, _ in good]),
        captions.unflatten(0, (len(good), most)),
        lengths.unflatten(0, (len(good), most)),
        skipped,
        tuple(number for *_, number in good),
    )


class BatchOrder(Sampler[list[int]]):
    """The order of an epoch: a permutation that depends on seed and epoch alone, cut into batches.

    A run that stopped inside an epoch goes on by starting at the batch after its last. With several processes each takes every
    so-many-th batch; with a seed, the last ones are filled up from the order's beginning, so that all have equally many.

    Args:
        size: pictures in the set.
        batch_size: pictures in a batch of one process.
        seed: None for the order of the set itself (validation).
        rank, world: this process among all.
    """

    def __init__(self, size: int, batch_size: int, seed: int | None, rank: int = 0, world: int = 1) -> None:
        self.size, self.batch_size, self.seed, self.rank, self.world = size, batch_size, seed, rank, world
        self.epoch, self.first = 0, 0

    def start(self, epoch: int, first: int = 0) -> None:
        """Chooses the epoch, and the first of its batches to give."""
        self.epoch, self.first = epoch, first

    @property
    def batches(self) -> int:
        """Batches of a process in a whole epoch."""
        return -(-self.size // (self.batch_size * self.world))

    def group(self, batch: int, accumulate: int) -> int:
        """Batches in the group of `accumulate` that a batch (from 0) belongs to: the epoch's last group may be shorter."""
        return min(accumulate, self.batches - batch // accumulate * accumulate)

    def __len__(self) -> int:
        return self.batches - self.first

    def __iter__(self) -> Iterator[list[int]]:
        order = np.arange(self.size)
        if self.seed is not None:
            order = np.random.default_rng((self.seed, self.epoch)).permutation(self.size)
        chunk = self.batch_size
        for batch in range(self.first, self.batches):
            begin = (batch * self.world + self.rank) * chunk
            indices = order[begin : begin + chunk]
            if self.world > 1 and self.seed is not None and len(indices) < chunk:
                indices = np.concatenate([indices, np.resize(order, chunk - len(indices))])
            yield [int(index) for index in indices]
