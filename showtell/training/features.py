"""The feature cache: what a frozen encoder makes of every picture, computed once and kept.

Plain form: one file of float16 native cells, memory-mapped, in `cache_folder()/features/KEY`. The key is a hash of the encoder's
weights, its options, the picture settings, and the names, sizes and dates of the pictures, so a cache never serves another model.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader
from tqdm import tqdm

from showtell.data.batches import CaptionedPictures, Item, encode_captions
from showtell.data.records import Record
from showtell.errors import Problem
from showtell.files import cache_folder, written_whole
from showtell.model.encoder import Encoder
from showtell.pictures import PictureOptions
from showtell.training.interruption import leave_signals_to_the_main_process
from showtell.vocabulary import Vocabulary


class CachedFeatures:
    """Records as cached grids and word numbers: a `PictureSource`.

    Args:
        records: the pictures, with their captions.
        vocabulary: turns captions into numbers.
        grids: float16, pictures x cells x channels, in the order of the records.
        skipped: by a record's number, why its picture could not be read.
    """

    def __init__(self, records: Sequence[Record], vocabulary: Vocabulary, grids: np.ndarray, skipped: dict[int, str]) -> None:
        self.records, self.vocabulary, self.grids, self.skipped = records, vocabulary, grids, skipped

    def __len__(self) -> int:
        return len(self.records)

    def set_epoch(self, epoch: int) -> None:
        """Nothing here depends on the epoch."""

    def __getitem__(self, index: int) -> Item:
        if index in self.skipped:
            return Item(None, [], self.skipped[index])
        grid = torch.from_numpy(np.array(self.grids[index]))  # cells x channels, float16
        return Item(grid, encode_captions(self.records[index], self.vocabulary))


def cached_features(
    records: Sequence[Record],
    vocabulary: Vocabulary,
    encoder: Encoder,
    pictures: PictureOptions,
    *,
    device: torch.device,
    batch_size: int = 32,
    workers: int = 2,
    quiet: bool = False,
) -> CachedFeatures:
    """The records' grids from the cache, which is filled first if it is not there.

    Raises:
        Problem: the disk has too little space for it.
    """
    folder = cache_folder() / "features" / _key(records, encoder, pictures)
    if not (folder / "done.json").is_file():
        _fill(folder, records, vocabulary, encoder, pictures, device, batch_size, workers, quiet)
    done = json.loads((folder / "done.json").read_text("utf-8"))
    grids = np.load(folder / "grids.npy", mmap_mode="r")
    return CachedFeatures(records, vocabulary, grids, {int(index): why for index, why in done["skipped"].items()})


def _key(records: Sequence[Record], encoder: Encoder, pictures: PictureOptions) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(encoder.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    options = {key: value for key, value in asdict(encoder.options).items() if key in ("encoder", "grid", "stride_in_1x1")}
    options |= {"mean": encoder.pixel_mean.flatten().tolist(), "std": encoder.pixel_std.flatten().tolist()}
    digest.update(json.dumps([options, asdict(pictures)], sort_keys=True).encode())
    for record in records:
        try:
            stat = record.path.stat()
            digest.update(f"{record.path.name}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
        except OSError:
            digest.update(f"{record.path.name}\0missing\n".encode())
    return digest.hexdigest()[:32]


def _fill(
    folder: Path,
    records: Sequence[Record],
    vocabulary: Vocabulary,
    encoder: Encoder,
    pictures: PictureOptions,
    device: torch.device,
    batch_size: int,
    workers: int,
    quiet: bool,
) -> None:
    shape = (len(records), encoder.grid_shape.cells, encoder.channels)
    folder.mkdir(parents=True, exist_ok=True)
    needed, free = 2 * int(np.prod(shape)), shutil.disk_usage(folder).free
    if needed > 0.95 * free:
        raise Problem(
            f"the feature cache needs {needed / 1e9:.1f} GB in {folder}, where {free / 1e9:.1f} GB are free: "
            "point SHOWTELL_CACHE at a larger disk, or train with --no_cache_features."
        )
    source = CaptionedPictures(records, vocabulary, pictures)
    loader = DataLoader(
        source, batch_size=batch_size, num_workers=workers, collate_fn=list,
        generator=torch.Generator(),  # its own: a run that fills the cache draws the same dropout as one that finds it filled
        worker_init_fn=leave_signals_to_the_main_process,
    )  # fmt: skip
    encoder = encoder.to(device).eval()
    grids = np.lib.format.open_memmap(folder / "grids.npy", mode="w+", dtype=np.float16, shape=shape)
    skipped: dict[int, str] = {}
    bar = tqdm(total=len(records), desc=f"encoding pictures once ({needed / 1e9:.1f} GB)", unit="picture", disable=quiet)
    first = 0
    for items in loader:
        good = [number for number, item in enumerate(items, first) if item.picture is not None]
        skipped |= {number: item.skipped for number, item in enumerate(items, first) if item.picture is None}
        if good:
            batch = torch.stack([item.picture for item in items if item.picture is not None])
            with torch.inference_mode():
                grids[good] = encoder(batch.to(device)).to(torch.float16).cpu().numpy()
        first += len(items)
        bar.update(len(items))
    bar.close()
    grids.flush()
    with written_whole(folder / "done.json") as file:  # last: a cache without it is not used
        file.write(json.dumps({"skipped": skipped}).encode())
