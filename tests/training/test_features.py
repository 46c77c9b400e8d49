"""The feature cache: what the encoder makes of the pictures, computed once, and never served to another model."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from training_kit import run, same_run, small

from showtell.data.batches import CaptionedPictures, collate
from showtell.data.options import DataOptions
from showtell.data.readers import read_records
from showtell.data.records import Record
from showtell.errors import Problem
from showtell.model.encoder import Encoder
from showtell.model.options import EncoderOptions
from showtell.pictures import PictureOptions
from showtell.training import features
from showtell.training.features import CachedFeatures, cached_features
from showtell.vocabulary import Vocabulary, VocabularyOptions, build_vocabulary

SIZE = PictureOptions(picture_size=32)


@pytest.fixture
def records(scenes: Path, tmp_path: Path) -> list[Record]:
    """Six records whose files a test may change."""
    folder = Path(shutil.copytree(scenes / "images" / "train", tmp_path / "pictures"))
    found = [record for record in read_records(DataOptions(data=scenes)) if record.split == "train"][:6]
    return [replace(record, path=folder / record.path.name) for record in found]


@pytest.fixture
def words(records: list[Record]) -> Vocabulary:
    return build_vocabulary([each for record in records for each in record.captions], VocabularyOptions(min_frequency=1))


@pytest.fixture
def encoder() -> Encoder:
    return seeing(0)


def seeing(seed: int, **options: Any) -> Encoder:
    torch.manual_seed(seed)
    return Encoder(EncoderOptions("tiny", "none", freeze_encoder=True, **options), 32)


@pytest.fixture
def cached(records: list[Record], words: Vocabulary, encoder: Encoder) -> Callable[..., CachedFeatures]:
    """Calls `cached_features`, with some arguments changed."""

    def call(records: list[Record] = records, encoder: Encoder = encoder, pictures: PictureOptions = SIZE) -> CachedFeatures:
        device = torch.device("cpu")
        return cached_features(records, words, encoder, pictures, device=device, batch_size=4, workers=0, quiet=True)

    return call


@pytest.fixture
def fills(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The folders of caches that were filled, one entry for each time."""
    filled: list[Path] = []
    fill = features._fill
    monkeypatch.setattr(features, "_fill", lambda folder, *rest: (filled.append(folder), fill(folder, *rest))[1])
    return filled


def test_a_cached_grid_is_the_encoders_in_half_precision(
    records: list[Record], words: Vocabulary, encoder: Encoder, cached: Callable[..., CachedFeatures]
) -> None:
    source, pixels = cached(), CaptionedPictures(records, words, SIZE)
    assert len(source) == 6
    with torch.no_grad():
        grids = encoder.eval()(collate([pixels[index] for index in range(6)]).pictures)
    order = sorted(range(6), key=lambda index: -len(pixels[index].captions[0]))  # as collate puts them
    for place, index in enumerate(order):
        item = source[index]
        assert item.picture is not None and item.picture.dtype == torch.float16
        torch.testing.assert_close(item.picture.float(), grids[place], atol=1e-3, rtol=1e-3)
        assert item.captions == pixels[index].captions


def test_it_is_filled_once(cached: Callable[..., CachedFeatures], fills: list[Path], own_cache: Path) -> None:
    first, second = cached(), cached()
    assert len(fills) == 1 and fills[0].is_relative_to(own_cache)
    assert all(torch.equal(first[index].picture, second[index].picture) for index in range(6))  # type: ignore[arg-type]


def test_captions_come_from_the_records_and_not_from_the_cache(
    cached: Callable[..., CachedFeatures], records: list[Record], words: Vocabulary, fills: list[Path]
) -> None:
    cached()
    changed = cached([replace(record, captions=("A red star.",)) for record in records])
    assert len(fills) == 1
    assert [words.decode(caption) for caption in changed[0].captions] == [["a", "red", "star"]]


def other_weights(records: list[Record], call: Callable[..., CachedFeatures]) -> None:
    call(encoder=seeing(1))


def other_normalisation(records: list[Record], call: Callable[..., CachedFeatures]) -> None:
    call(encoder=seeing(0, pixel_mean=(0.5, 0.5, 0.5)))


def other_picture_settings(records: list[Record], call: Callable[..., CachedFeatures]) -> None:
    call(pictures=replace(SIZE, fit="crop"))


def other_records(records: list[Record], call: Callable[..., CachedFeatures]) -> None:
    call(records[::-1])


def another_file(records: list[Record], call: Callable[..., CachedFeatures]) -> None:
    shutil.copy(records[1].path, records[0].path)
    call()


def a_later_date(records: list[Record], call: Callable[..., CachedFeatures]) -> None:
    os.utime(records[0].path, ns=(0, 5_000_000_000))
    call()


@pytest.mark.parametrize(
    "change", [other_weights, other_normalisation, other_picture_settings, other_records, another_file, a_later_date]
)
def test_it_serves_nothing_else(
    cached: Callable[..., CachedFeatures], records: list[Record], fills: list[Path], change: Callable[..., None]
) -> None:
    cached()
    change(records, cached)
    assert len(set(fills)) == 2


def test_a_broken_picture_is_skipped_now_and_later(
    cached: Callable[..., CachedFeatures], records: list[Record], fills: list[Path]
) -> None:
    records[2].path.write_bytes(b"no picture")
    for source in (cached(), cached()):
        assert source[2].picture is None and records[2].path.name in source[2].skipped
        assert len(collate([source[index] for index in range(6)]).pictures) == 5
    assert len(fills) == 1


def test_one_that_was_not_finished_is_filled_again(cached: Callable[..., CachedFeatures], fills: list[Path]) -> None:
    cached()
    expected = cached()[3].picture
    (fills[0] / "done.json").unlink()
    (fills[0] / "grids.npy").write_bytes(b"half")
    assert torch.equal(cached()[3].picture, expected)  # type: ignore[arg-type]
    assert len(fills) == 2


def test_too_small_a_disk_is_named_before_anything_is_computed(
    cached: Callable[..., CachedFeatures], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(10**9, 10**9, 100))  # type: ignore[attr-defined]
    with pytest.raises(Problem, match=r"feature cache needs .* GB in .*features.*SHOWTELL_CACHE .*--no_cache_features"):
        cached()


def test_the_run_that_fills_it_and_the_next_are_the_same(tmp_path: Path, scenes: Path, fills: list[Path]) -> None:
    frozen = {"unfrozen_groups": 0, "epochs": 1}
    first, second = (run(small(tmp_path / name, scenes, **frozen)) for name in "ab")
    assert len(fills) == 2  # training and validation pictures, the first time
    same_run(first, second)


def test_without_it_pictures_are_encoded_anew(tmp_path: Path, scenes: Path, fills: list[Path]) -> None:
    run(small(tmp_path, scenes, unfrozen_groups=0, cache_features=False, max_steps=1))
    assert not fills
