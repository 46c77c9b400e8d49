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
import yaml
from torch import Tensor
from training_kit import run, same_run, small, weights

from showtell.cli import main
from showtell.data import batches
from showtell.data.batches import CaptionedPictures, collate
from showtell.data.options import DataOptions
from showtell.data.readers import read_records
from showtell.data.records import Record
from showtell.errors import Problem, WrongUse
from showtell.model.captioner import Captioner
from showtell.model.encoder import Encoder
from showtell.model.options import EncoderOptions
from showtell.pictures import AugmentOptions, PictureError, PictureOptions, open_picture, shape
from showtell.settings import plain
from showtell.training import features, shards
from showtell.training.features import CachedFeatures, cached_features
from showtell.vocabulary import Vocabulary, VocabularyOptions, build_vocabulary

SIZE = PictureOptions(picture_size=32)


@pytest.fixture
def records(scenes: Path, tmp_path: Path) -> list[Record]:
    """Six records whose files a test may change."""
    folder = Path(shutil.copytree(scenes / "images" / "train", tmp_path / "pictures"))
    found = [record for record in read_records(DataOptions(data=scenes)) if record.split == "train"][:6]
    return [record._replace(file=str(folder / record.path.name)) for record in found]


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

    def call(
        records: list[Record] = records, encoder: Encoder = encoder, pictures: PictureOptions = SIZE, **options: Any
    ) -> CachedFeatures:
        how: dict[str, Any] = {"device": torch.device("cpu"), "batch_size": 4, "workers": 0, "quiet": True} | options
        return cached_features(records, words, encoder, pictures, AugmentOptions(), **how)

    return call


@pytest.fixture
def fills(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The folders of caches that were filled, one entry for each time."""
    filled: list[Path] = []
    fill = features._fill
    monkeypatch.setattr(features, "_fill", lambda shards, *rest: (filled.append(shards.folder), fill(shards, *rest))[1])
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


def grids(source: CachedFeatures, epochs: int = 20) -> list[list[Tensor]]:
    """Of each picture, the different grids that so many epochs show."""
    seen: list[list[Tensor]] = [[] for _ in range(len(source))]
    for epoch in range(epochs):
        source.set_epoch(epoch)
        for index, found in enumerate(seen):
            grid = source[index].picture
            assert grid is not None
            if not any(torch.equal(grid, other) for other in found):
                found.append(grid)
    return seen


def test_the_second_view_is_the_mirror_image_unless_captions_say_left_or_right(
    cached: Callable[..., CachedFeatures], records: list[Record], encoder: Encoder
) -> None:
    records = [record._replace(captions=("a red star",)) for record in records[:2]] + [
        record._replace(captions=("a red star", "a ring to its right")) for record in records[2:]
    ]
    as_they_are = [torch.from_numpy(shape(open_picture(record.path, SIZE), SIZE)[0]).permute(2, 0, 1) for record in records]
    with torch.no_grad():
        upright, mirrored = (encoder.eval()(torch.stack(p)) for p in (as_they_are, [x.flip(2) for x in as_they_are]))
    seen = grids(cached(records, views=2))
    assert [len(found) for found in seen] == [2, 2, 1, 1, 1, 1]
    for index, found in enumerate(seen):
        for expected in (upright, mirrored)[: len(found)]:
            assert any(torch.allclose(grid.float(), expected[index], atol=1e-3, rtol=1e-3) for grid in found)


def test_more_views_are_random_parts_and_each_view_is_filled_once(
    cached: Callable[..., CachedFeatures], records: list[Record], fills: list[Path]
) -> None:
    records = [record._replace(captions=("a red star",)) for record in records]
    cached(records)
    assert [len(found) for found in grids(cached(records, views=4), 60)] == [4] * 6
    assert len(set(fills)) == len(fills) == 4  # the first one was there
    one, other = cached(records, views=4), cached(records, views=4, seed=1)
    assert len(fills) == 4
    assert not all(torch.equal(one[index].picture, other[index].picture) for index in range(6))  # type: ignore[arg-type]


def test_a_picture_that_may_not_be_mirrored_any_more_is_encoded_anew(
    cached: Callable[..., CachedFeatures], records: list[Record], fills: list[Path]
) -> None:
    plain = [record._replace(captions=("a red star",)) for record in records]
    cached(plain, views=2)
    cached([*plain[:-1], plain[-1]._replace(captions=("the left star",))], views=2)
    assert len(fills) == 3


def test_an_encoder_that_trains_in_part_is_cached_up_to_that_part(
    cached: Callable[..., CachedFeatures], records: list[Record], fills: list[Path]
) -> None:
    torch.manual_seed(0)
    encoder = Encoder(EncoderOptions("resnet18", "none", unfrozen_groups=1), 32).eval()
    source = cached(encoder=encoder)
    maps = torch.stack([source[index].picture for index in range(6)])  # type: ignore[misc]
    assert maps.shape == (6, 2, 2, 256) and maps.dtype == torch.float16
    pixels = torch.stack([torch.from_numpy(shape(open_picture(r.path, SIZE), SIZE)[0]).permute(2, 0, 1) for r in records])
    with torch.no_grad():
        torch.testing.assert_close(encoder.from_maps(maps), encoder(pixels), atol=2e-3, rtol=2e-3)
        next(iter(encoder.layer_groups()["layer4"].parameters())).add_(1)
        cached(encoder=encoder)
        assert len(fills) == 1  # what trains has no part in it
        next(iter(encoder.layer_groups()["layer3"].parameters())).add_(1)
        cached(encoder=encoder)
    assert len(fills) == 2


def test_it_is_filled_once(cached: Callable[..., CachedFeatures], fills: list[Path], own_cache: Path) -> None:
    first, second = cached(), cached()
    assert len(fills) == 1 and fills[0].is_relative_to(own_cache)
    assert all(torch.equal(first[index].picture, second[index].picture) for index in range(6))  # type: ignore[arg-type]


def test_captions_come_from_the_records_and_not_from_the_cache(
    cached: Callable[..., CachedFeatures], records: list[Record], words: Vocabulary, fills: list[Path]
) -> None:
    cached()
    changed = cached([record._replace(captions=("A red star.",)) for record in records])
    assert len(fills) == 1
    assert [words.decode(caption) for caption in changed[0].captions] == [["a", "red", "star"]]


def other_weights(records: list[Record], call: Callable[..., CachedFeatures]) -> None:
    call(encoder=seeing(1))


def other_normalisation(records: list[Record], call: Callable[..., CachedFeatures]) -> None:
    call(encoder=seeing(0, pixel_mean=(0.5, 0.5, 0.5)))


def other_picture_settings(records: list[Record], call: Callable[..., CachedFeatures]) -> None:
    call(pictures=replace(SIZE, fit="crop"))


def another_precision(records: list[Record], call: Callable[..., CachedFeatures]) -> None:
    assert call(bf16=True)[0].picture is not None


def other_records(records: list[Record], call: Callable[..., CachedFeatures]) -> None:
    call(records[::-1])


def another_file(records: list[Record], call: Callable[..., CachedFeatures]) -> None:
    shutil.copy(records[1].path, records[0].path)
    call()


def a_later_date(records: list[Record], call: Callable[..., CachedFeatures]) -> None:
    os.utime(records[0].path, ns=(0, 5_000_000_000))
    call()


@pytest.mark.parametrize(
    "change",
    [
        other_weights,
        other_normalisation,
        other_picture_settings,
        another_precision,
        other_records,
        another_file,
        a_later_date,
    ],
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


def test_a_picture_that_can_be_read_again_is_computed(
    cached: Callable[..., CachedFeatures], records: list[Record], fills: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What kept it from being read, a right or a library that was missing, leaves no trace in the file."""
    expected = cached()[2].picture
    shutil.rmtree(fills[0])

    def forbidden(path: Path, *options: Any) -> Any:
        if path.name == records[2].path.name:
            raise PictureError(f"{path.name} cannot be opened (Permission denied).")
        return open_picture(path, *options)

    with monkeypatch.context() as patch:
        patch.setattr(batches, "open_picture", forbidden)
        assert cached()[2].picture is None
        assert cached()[2].picture is None
        assert len(fills) == 2
    mended = cached()[2].picture
    assert mended is not None and torch.equal(mended, expected)
    assert len(fills) == 3


def test_a_killed_fill_goes_on_with_what_it_lacks(
    cached: Callable[..., CachedFeatures], fills: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "SHARD", 2 * 2 * 16 * 98)  # two pictures (16 cells x 98 channels) a file
    source = cached()
    expected = [source[index].picture for index in range(6)]
    files = sorted(fills[0].glob("*.npy"))
    assert len(files) == 3
    (fills[0] / "done.json").unlink()
    files[1].unlink()
    old, new = fills[0] / ".000000002.npy.old.part", fills[0] / ".000000002.npy.new.part"
    for part in (old, new):
        part.write_bytes(b"half a file")
    os.utime(old, (0, 0))
    kept = {path: path.stat().st_mtime_ns for path in (files[0], files[2])}
    again = cached()
    for index, picture in enumerate(expected):
        assert torch.equal(again[index].picture, picture)  # type: ignore[arg-type]
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert new.exists() and not old.exists()  # another process may still be writing the newer one


def test_a_file_that_was_removed_is_computed_again(
    cached: Callable[..., CachedFeatures], fills: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cleaners of caches remove single files: what lies behind them would take their place."""
    monkeypatch.setattr(shards, "SHARD", 2 * 2 * 16 * 98)
    expected = [cached()[index].picture for index in range(6)]
    sorted(fills[0].glob("*.npy"))[1].unlink()
    again = cached()
    assert len(fills) == 2
    for index, picture in enumerate(expected):
        assert torch.equal(again[index].picture, picture)  # type: ignore[arg-type]


def test_processes_that_fill_it_together_share_the_work(
    cached: Callable[..., CachedFeatures], fills: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While one computes its first file, the other finishes all others."""
    monkeypatch.setattr(shards, "SHARD", 2 * 2 * 16 * 98)
    alone = [cached()[index].picture for index in range(6)]
    shutil.rmtree(fills[0])
    write, written = shards.Shards.write, []

    def interrupted(self: shards.Shards, here: range, parts: Any) -> None:
        written.append(here.start)
        if len(written) == 1:
            cached()
        write(self, here, parts)

    monkeypatch.setattr(shards.Shards, "write", interrupted)
    together = cached()
    assert sorted(set(written)) == [0, 2, 4] and len(written) == 4  # the one that was being computed, twice
    for index, picture in enumerate(alone):
        assert torch.equal(together[index].picture, picture)  # type: ignore[arg-type]


def test_a_picture_that_cannot_be_read_keeps_its_number_in_whatever_file(
    cached: Callable[..., CachedFeatures], records: list[Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "SHARD", 2 * 2 * 16 * 98)
    records[3].path.write_bytes(b"no picture")
    source = cached()
    assert [index for index in range(6) if source[index].picture is None] == [3]


def test_the_size_is_said_before_it_is_filled(cached: Callable[..., CachedFeatures], capsys: pytest.CaptureFixture[str]) -> None:
    cached(quiet=False, views=2)
    said = capsys.readouterr()
    assert "The feature cache takes 0.0 MB more for 2 views of 6 pictures, 16 x 98 each" in said.out + said.err


def test_too_small_a_disk_is_named_before_anything_is_computed(
    cached: Callable[..., CachedFeatures], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(10**9, 10**9, 100))  # type: ignore[attr-defined]
    with pytest.raises(Problem, match=r"feature cache needs .* MB in .*features.*SHOWTELL_CACHE .*--no_cache_features"):
        cached()


def test_the_run_that_fills_it_and_the_next_are_the_same(tmp_path: Path, scenes: Path, fills: list[Path]) -> None:
    frozen = {"unfrozen_groups": 0, "epochs": 1}
    first, second = (run(small(tmp_path / name, scenes, **frozen)) for name in "ab")
    assert len(fills) == 2  # training and validation pictures, the first time
    same_run(first, second)


def test_a_run_trains_the_last_stage_from_maps_and_its_model_holds_it(tmp_path: Path, scenes: Path, fills: list[Path]) -> None:
    last_stage = {"encoder": "resnet18", "unfrozen_groups": 1, "cache_maps": True, "cache_views": 2, "epochs": 1}
    folder = run(small(tmp_path / "maps", scenes, **last_stage))
    assert len(fills) == 3  # two views to train on, one to validate on
    start = run(small(tmp_path / "start", scenes, **last_stage, encoder_learning_rate=0.0, max_steps=1))
    trained, before = weights(folder / "best_model.pt"), weights(start / "last_model.pt")
    assert trained.keys() == before.keys()
    moved = {key.split(".")[2] for key in trained if key.startswith("encoder.") and key.endswith("weight")
             and not torch.equal(trained[key], before[key])}  # fmt: skip
    assert moved == {"layer4"}
    caption = Captioner.from_pretrained(folder / "best_model.pt", "cpu").caption(next((scenes / "images" / "test").iterdir()))
    assert caption.words


def test_an_encoder_without_a_place_to_cut_is_refused(tmp_path: Path, scenes: Path) -> None:
    with pytest.raises(WrongUse, match="tiny cannot be cut"):
        run(small(tmp_path, scenes, unfrozen_groups=1, cache_maps=True))


def test_without_it_pictures_are_encoded_anew(tmp_path: Path, scenes: Path, fills: list[Path]) -> None:
    run(small(tmp_path, scenes, unfrozen_groups=0, cache_features=False, max_steps=1))
    assert not fills


def test_the_command_computes_what_training_then_reads(tmp_path: Path, scenes: Path, fills: list[Path]) -> None:
    settings = small(tmp_path, scenes, unfrozen_groups=0, epochs=1, cache_views=2)
    file = tmp_path / "settings.yaml"
    file.write_text(yaml.safe_dump(plain(settings)), "utf-8")
    assert main(["data", "features", "--config", str(file)]) == 0
    assert len(fills) == 3  # two views to train on, one to validate on
    run(settings)
    assert len(fills) == 3


def test_the_command_refuses_an_encoder_of_which_nothing_stays(
    tmp_path: Path, scenes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--data", str(scenes), "--encoder", "tiny", "--encoder_weights", "none", "--unfrozen_groups", "9", "--device", "cpu"]
    assert main(["data", "features", *flags]) == 2
    assert "freeze it (--freeze_encoder)" in capsys.readouterr().err
    assert main(["data", "features", *flags, "--freeze_encoder", "--unfreeze", "2:top"]) == 2  # training would not read it
    assert "freeze it (--freeze_encoder)" in capsys.readouterr().err
