"""The feature cache: what an encoder's frozen part makes of every picture, computed once and kept.

A frozen encoder is computed to its end, and the grid is kept; one that trains in part is computed up to what trains, and the maps
there are kept. `cache_folder()/features/KEY` holds one view of all pictures (the pictures themselves, their mirror images, random
parts of them) as float16, memory-mapped, in files of some hundred megabytes (`shards`). The key is a hash of the frozen weights,
the encoder's options, the picture settings, the precision, the view, and the names, sizes and dates of the pictures, so a cache
never serves another model.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Subset
from tqdm import tqdm

from showtell.data.batches import CaptionedPictures, Item, encode_captions
from showtell.data.records import Record
from showtell.errors import Problem
from showtell.files import as_utf8, cache_folder, written_whole
from showtell.model.encoder import Encoder
from showtell.pictures import AugmentOptions, PictureOptions, may_flip
from showtell.training.loading import loader
from showtell.training.log import say
from showtell.training.shards import SHARD, Rows, ShardedArray, Shards
from showtell.vocabulary import Vocabulary

DONE = "done.json"
"""In the folder of a view that is complete: which pictures it lacks, and why."""
VERSION = 1
"""Goes up when other pixels come of the same picture and settings."""
Encoding = Callable[[torch.Tensor], np.ndarray]
"""Pixels, uint8 N x 3 x S x S, to float16 grids or maps, N x ..."""


class CachedFeatures:
    """Records as cached grids (or maps) and word numbers: a `PictureSource`.

    Args:
        records: the pictures, with their captions.
        vocabulary: turns captions into numbers.
        views: float16, pictures x cells x channels (maps: pictures x rows x columns x channels), in the order of the records.
        skipped: by a record's number, why its picture could not be read.
        seed: with the epoch and the picture's number, decides which of the views is seen.
    """

    def __init__(
        self,
        records: Sequence[Record],
        vocabulary: Vocabulary,
        views: Sequence[Sequence[np.ndarray]],
        skipped: dict[int, str],
        seed: int = 0,
    ) -> None:
        self.records, self.vocabulary, self.views, self.skipped = records, vocabulary, views, skipped
        self.seed, self.epoch = seed, 0

    def __len__(self) -> int:
        return len(self.records)

    def set_epoch(self, epoch: int) -> None:
        """The choice of views of an epoch depends on its number; call before iterating."""
        self.epoch = epoch

    def __getitem__(self, index: int) -> Item:
        if index in self.skipped:
            return Item(None, [], self.skipped[index])
        random = np.random.default_rng((self.seed, self.epoch, index, 2))  # 2: not the numbers that choose captions
        view = self.views[int(random.integers(len(self.views)))]
        captions = encode_captions(self.records[index], self.vocabulary)
        return Item(torch.from_numpy(np.array(view[index])), captions, number=index)


def cached_features(
    records: Sequence[Record],
    vocabulary: Vocabulary,
    encoder: Encoder,
    pictures: PictureOptions,
    augmentation: AugmentOptions | None = None,
    views: int = 1,
    seed: int = 0,
    *,
    device: torch.device,
    bf16: bool = False,
    batch_size: int = 32,
    workers: int = 2,
    quiet: bool = False,
) -> CachedFeatures:
    """The records' grids (maps, where part of the encoder trains) from the cache, which is filled first where they are not there.

    Args:
        records, vocabulary, encoder, pictures: as for training.
        augmentation: what the views after the first may do to a picture; unused for one view.
        views: 1, the pictures as they are; 2, their mirror images too; more, random parts of them as well.
        seed: decides which view of a picture an epoch sees.
        device, bf16: where and how the encoder computes; bf16 as training without a cache would, under autocast.

    Raises:
        Problem: the disk has too little space for it.
    """
    sources = [CaptionedPictures(records, vocabulary, pictures, _changes(augmentation, n), seed=n) for n in range(views)]
    folders = {cache_folder() / "features" / _key(source, encoder, bf16): source for source in sources}
    for folder, source in folders.items():
        if _complete(folder, len(records)):
            _forget_mended(folder, source)
    if absent := {folder: source for folder, source in folders.items() if not _complete(folder, len(records))}:
        encode = _encoding(encoder, device, bf16)
        black = torch.zeros(1, 3, encoder.picture_size, encoder.picture_size, dtype=torch.uint8)
        shape = (len(records), *encode(black).shape[1:])
        shards = [Shards(folder, shape) for folder in absent]
        _check_space(shards, quiet)
        for each, source in zip(shards, absent.values(), strict=True):
            _fill(each, source, encode, batch_size, workers, quiet)
    skipped = {row: why for folder in folders for row, why in _skipped(folder).items()}
    return CachedFeatures(records, vocabulary, [ShardedArray(folder) for folder in folders], skipped, seed)


def _complete(folder: Path, pictures: int) -> bool:
    """Whether a view is there with all its rows: cleaners of caches remove single files."""
    try:
        return (folder / DONE).is_file() and len(ShardedArray(folder)) == pictures
    except (OSError, ValueError, EOFError):
        return False


def _skipped(folder: Path) -> dict[int, str]:
    """By record's number, why a complete view lacks the picture."""
    return {int(row): why for row, why in json.loads((folder / DONE).read_text("utf-8"))["skipped"].items()}


def _forget_mended(folder: Path, source: CaptionedPictures) -> None:
    """Sees that what a complete view lacks, and can be read now (a right given, a library installed), is computed."""
    if mended := [row for row in _skipped(folder) if source[row].picture is not None]:
        (folder / DONE).unlink(missing_ok=True)
        Shards(folder, (len(source), *ShardedArray(folder)[0].shape)).forget(mended)


def _changes(augmentation: AugmentOptions | None, number: int) -> AugmentOptions | None:
    """What is done to the pictures for a view: nothing, a mirror, or whatever training would do."""
    if augmentation is None or number == 0:
        return None
    return replace(augmentation, augment=True, crop_scale=1.0, flip=1.0) if number == 1 else augmentation


def _key(source: CaptionedPictures, encoder: Encoder, bf16: bool) -> str:
    digest = hashlib.sha256()
    for group, module in encoder.frozen_groups().items():
        for name, tensor in sorted(module.state_dict().items()):
            digest.update(f"{group}.{name}".encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    options = {key: value for key, value in asdict(encoder.options).items() if key in ("encoder", "grid", "stride_in_1x1")}
    options |= {"mean": encoder.pixel_mean.flatten().tolist(), "std": encoder.pixel_std.flatten().tolist()}
    view = [asdict(source.augmentation), source.seed] if source.augmentation else None
    digest.update(json.dumps([options, asdict(source.pictures), view, bf16, SHARD, VERSION], sort_keys=True).encode())
    for record in source.records:
        flips = source.augmentation is not None and may_flip(record.captions, source.augmentation)
        try:
            stat = record.path.stat()
            digest.update(as_utf8(f"{record.path.name}\0{stat.st_size}\0{stat.st_mtime_ns}\0{flips}\n"))
        except OSError:
            digest.update(as_utf8(f"{record.path.name}\0missing\n"))
    return digest.hexdigest()[:32]


def _encoding(encoder: Encoder, device: torch.device, bf16: bool) -> Encoding:
    """What makes grids (maps, where part of the encoder trains) of pixels."""
    folded = encoder.to(device).folded()

    def encode(pixels: torch.Tensor) -> np.ndarray:
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            features = folded(pixels.to(device)) if encoder.frozen else folded.maps(pixels.to(device))
        return features.to(torch.float16).cpu().numpy()

    return encode


def _check_space(views: Sequence[Shards], quiet: bool) -> None:
    """Says how much will be written, and sees that there is room for it."""
    folder = views[0].folder
    folder.mkdir(parents=True, exist_ok=True)
    needed = sum(view.bytes_of(sum(map(len, view.missing()))) for view in views)
    free = shutil.disk_usage(folder).free
    if needed > 0.95 * free:
        raise Problem(
            f"the feature cache needs {_size(needed)} in {folder}, where {_size(free)} are free: "
            "point SHOWTELL_CACHE at a larger disk, or train with --no_cache_features."
        )
    kinds = f"{len(views)} views of {views[0].shape[0]:,} pictures" if len(views) > 1 else f"{views[0].shape[0]:,} pictures"
    row = " x ".join(map(str, views[0].shape[1:]))
    say(f"The feature cache takes {_size(needed)} more for {kinds}, {row} each; {_size(free)} are free.", quiet)


def _size(count: float) -> str:
    """Bytes, for people."""
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB"


def _fill(shards: Shards, source: CaptionedPictures, encode: Encoding, batch_size: int, workers: int, quiet: bool) -> None:
    """Computes what is missing of a view."""
    shards.folder.mkdir(parents=True, exist_ok=True)
    shards.sweep()
    bar = tqdm(total=len(source), desc="encoding pictures once", unit="picture", disable=quiet)
    while here := shards.next_missing():
        bar.n = len(source) - sum(map(len, shards.missing()))  # others may have been at work
        bar.refresh()
        items = loader(Subset(source, here), workers, list, batch_size=batch_size)
        shards.write(here, _encoded(items, encode, shards.shape[1:], bar))
    bar.close()
    with written_whole(shards.folder / DONE) as file:  # last: a cache without it is not used
        file.write(json.dumps({"skipped": shards.reasons()}).encode())


def _encoded(loader: Iterable[list[Item]], encode: Encoding, shape: tuple[int, ...], bar: tqdm[Any]) -> Iterator[Rows]:
    """The rows of each batch; a picture that cannot be read has zeros."""
    for items in loader:
        good = [place for place, item in enumerate(items) if item.picture is not None]
        rows = np.zeros((len(items), *shape), np.float16)
        if good:
            rows[good] = encode(torch.stack([item.picture for item in items if item.picture is not None]))
        yield rows, {place: item.skipped for place, item in enumerate(items) if item.picture is None}
        bar.update(len(items))
