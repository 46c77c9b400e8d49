"""Batches: an order that depends on seed and epoch alone, shared out among processes, and pictures with all their captions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from showtell.data.batches import Batch, BatchOrder, CaptionedPictures, Item, SomeCaptions, collate, encode_captions
from showtell.data.records import Record
from showtell.pictures import AugmentOptions, PictureOptions, open_picture, shape
from showtell.vocabulary import END, PAD, START, Vocabulary, VocabularyOptions, build_vocabulary

SIZE = PictureOptions(picture_size=16)

CAPTIONS = [
    ("a dog", "a big dog runs", "a dog runs"),
    ("a cat sleeps on a bed",),
    ("a dog and a cat", "a cat"),
    ("a bed",),
]


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    """Four pictures of noise with one to three captions."""
    folder, random = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    found = []
    for number, captions in enumerate(CAPTIONS):
        path = folder / f"{number}.png"
        Image.fromarray(random.integers(0, 256, (24, 32, 3), dtype=np.uint8)).save(path)
        found.append(Record(number, str(path), captions, "train"))
    return found


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return build_vocabulary([each for captions in CAPTIONS for each in captions], VocabularyOptions(min_frequency=1))


# ----------------------------------------------------------------------------------------------------------- the order


def batches(order: BatchOrder, epoch: int = 0, first: int = 0) -> list[list[int]]:
    order.start(epoch, first)
    found = list(order)
    assert len(order) == len(found)
    return found


def pictures_of(order: BatchOrder, epoch: int = 0) -> list[int]:
    return [picture for batch in batches(order, epoch) for picture in batch]


def test_every_picture_comes_once_an_epoch() -> None:
    order = BatchOrder(10, 4, seed=3)
    assert [len(batch) for batch in batches(order)] == [4, 4, 2]
    assert sorted(pictures_of(order)) == list(range(10))


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    order, again = BatchOrder(50, 4, seed=3), BatchOrder(50, 4, seed=3)
    batches(again, 5)  # what came before does not matter
    assert batches(order, 2) == batches(again, 2)
    assert batches(order, 2) != batches(order, 3)
    assert batches(order, 2) != batches(BatchOrder(50, 4, seed=4), 2)
    assert pictures_of(order, 2) == pictures_of(BatchOrder(50, 7, seed=3), 2)  # the batch size only cuts it


def test_validation_keeps_the_order_of_the_set() -> None:
    assert batches(BatchOrder(5, 2, seed=None), epoch=7) == [[0, 1], [2, 3], [4]]


@pytest.mark.parametrize("first", range(5))
def test_an_epoch_goes_on_where_it_stopped(first: int) -> None:
    order = BatchOrder(13, 3, seed=0)
    assert batches(order, 1, first) == batches(order, 1)[first:]


def test_nothing_is_left_of_a_finished_epoch() -> None:
    assert batches(BatchOrder(13, 3, seed=0), 1, first=5) == []


@pytest.mark.parametrize(("size", "batch_size", "world"), [(24, 2, 3), (25, 2, 3), (20, 3, 2), (3, 2, 4), (1, 4, 3)])
def test_processes_share_the_epoch(size: int, batch_size: int, world: int) -> None:
    """All together see every picture, in the order of one process, and have equally many full batches."""
    shards = [batches(BatchOrder(size, batch_size, 0, rank, world), 4) for rank in range(world)]
    assert {tuple(map(len, shard)) for shard in shards} == {(batch_size,) * len(shards[0])}
    together = [picture for step in zip(*shards, strict=True) for batch in step for picture in batch]
    assert together[:size] == pictures_of(BatchOrder(size, batch_size, 0), 4)
    assert len(together) - size < batch_size * world  # no more is filled up than is needed


@pytest.mark.parametrize(("size", "world"), [(12, 2), (13, 2), (1, 3)])
def test_processes_validate_on_every_picture_just_once(size: int, world: int) -> None:
    shards = [batches(BatchOrder(size, 2, None, rank, world)) for rank in range(world)]
    assert sorted(picture for shard in shards for batch in shard for picture in batch) == list(range(size))
    assert len({len(shard) for shard in shards}) == 1


def test_a_process_goes_on_where_it_stopped() -> None:
    order = BatchOrder(25, 2, 0, rank=1, world=3)
    assert batches(order, 1, 2) == batches(order, 1)[2:]


# ------------------------------------------------------------------------------------------------------------- pictures


def test_an_item_is_a_picture_with_all_its_captions(records: list[Record], vocabulary: Vocabulary) -> None:
    source = CaptionedPictures(records, vocabulary, SIZE)
    assert len(source) == 4
    item = source[0]
    expected = shape(open_picture(records[0].path, SIZE), SIZE)[0]
    assert item.picture is not None and item.picture.dtype == torch.uint8
    assert np.array_equal(item.picture.permute(1, 2, 0).numpy(), expected)
    said = [" ".join(vocabulary.decode(caption)) for caption in item.captions]
    assert said == ["a big dog runs", "a dog runs", "a dog"]  # longest first
    assert all(caption[0] == START and caption[-1] == END for caption in item.captions)


def test_captions_of_equal_length_keep_their_order(vocabulary: Vocabulary) -> None:
    record = Record(1, "x", ("a dog", "a cat", "a bed"), None)
    assert [vocabulary.decode(caption)[1] for caption in encode_captions(record, vocabulary)] == ["dog", "cat", "bed"]


def test_a_broken_picture_is_named_and_left_out(records: list[Record], vocabulary: Vocabulary, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    several = [
        records[0],
        records[1]._replace(file=str(tmp_path / "broken.png")),
        records[2]._replace(file=str(tmp_path / "absent.png")),
    ]
    source = CaptionedPictures(several, vocabulary, SIZE)
    batch = collate([source[index] for index in range(3)])
    assert batch.pictures.shape == (1, 3, 16, 16) and batch.captions.shape[:2] == (1, 3)
    assert ["broken.png" in batch.skipped[0], "absent.png" in batch.skipped[1]] == [True, True]


def test_a_batch_of_broken_pictures_is_empty(records: list[Record], vocabulary: Vocabulary, tmp_path: Path) -> None:
    source = CaptionedPictures([records[0]._replace(file=str(tmp_path / "absent.png"))], vocabulary, SIZE)
    batch = collate([source[0]])
    assert len(batch.pictures) == len(batch.captions) == len(batch.lengths) == 0
    assert len(batch.skipped) == 1
    assert len(collate([]).pictures) == 0  # a process whose share of the last validation batch is empty


# -------------------------------------------------------------------------------------------------------- augmentation


def views(records: list[Record], vocabulary: Vocabulary, seed: int = 0, epoch: int = 0, **changes: object) -> list[torch.Tensor]:
    augmentation = AugmentOptions(**{"crop_scale": 0.5} | changes)  # type: ignore[arg-type]
    source = CaptionedPictures(records, vocabulary, SIZE, augmentation, seed)
    source.set_epoch(epoch)
    return [source[index].picture for index in range(len(source))]  # type: ignore[misc]


def test_a_view_depends_on_seed_epoch_and_number_alone(records: list[Record], vocabulary: Vocabulary) -> None:
    first = views(records, vocabulary, 1, 2)
    source = CaptionedPictures(records, vocabulary, SIZE, AugmentOptions(crop_scale=0.5), 1)
    source.set_epoch(0)
    _ = source[3]
    source.set_epoch(2)
    for index in (3, 0, 2, 1, 1):  # whatever was opened before, and in whatever order
        assert torch.equal(source[index].picture, first[index])
    same_picture = views([records[0]] * 4, vocabulary, 1, 2)
    others = [views(records, vocabulary, 1, 3)[0], views(records, vocabulary, 2, 2)[0], same_picture[1]]
    assert not any(torch.equal(first[0], other) for other in others)


def test_validation_is_not_augmented(records: list[Record], vocabulary: Vocabulary) -> None:
    plain = [source.picture for source in map(CaptionedPictures(records, vocabulary, SIZE).__getitem__, range(4))]
    switched_off = views(records, vocabulary, augment=False)
    assert all(torch.equal(one, other) for one, other in zip(plain, switched_off, strict=True))


def test_a_picture_that_says_left_is_not_mirrored(records: list[Record], vocabulary: Vocabulary) -> None:
    left = records[0]._replace(captions=("a dog left of a cat", "a dog"))
    told, untold = views([left, records[0]], vocabulary, crop_scale=1, flip=1)
    assert torch.equal(told.flip(-1), untold)


# -------------------------------------------------------------------------------------------------------------- collate


def item(number: int, *lengths: int) -> Item:
    return Item(torch.full((3, 2, 2), number, dtype=torch.uint8), [[START, *range(4, 2 + length), END] for length in lengths])


def test_a_batch_comes_longest_first_and_is_padded() -> None:
    batch = collate([item(0, 3, 2), item(1, 6, 4, 2), item(2, 5)])
    assert batch.pictures[:, 0, 0, 0].tolist() == [1, 2, 0]
    assert batch.lengths.tolist() == [[6, 4, 2], [5, 0, 0], [3, 2, 0]]
    assert batch.captions.shape == (3, 3, 6)
    assert ((batch.captions != PAD).sum(-1) == batch.lengths).all()
    assert batch.captions[0].tolist() == [[1, 4, 5, 6, 7, 2], [1, 4, 5, 2, 0, 0], [1, 2, 0, 0, 0, 0]]
    assert batch.pictures.dtype == torch.uint8 and batch.captions.dtype == torch.int64


def test_lengths_stay_on_the_cpu() -> None:
    moved = collate([item(0, 3)]).to(torch.device("meta"))
    assert isinstance(moved, Batch)
    assert (moved.pictures.device.type, moved.captions.device.type, moved.lengths.device.type) == ("meta", "meta", "cpu")


def test_some_captions_are_drawn_anew_every_epoch_and_depend_on_seed_epoch_and_picture_alone() -> None:
    class Five:
        def __len__(self) -> int:
            return 3

        def set_epoch(self, epoch: int) -> None: ...

        def __getitem__(self, index: int) -> Item:
            return Item(torch.zeros(1), [[1, word, 2] for word in (8, 7, 6, 5, 4)])

    some, same = SomeCaptions(Five(), 2, seed=3), SomeCaptions(Five(), 2, seed=3)
    drawn = {}
    for epoch in range(8):
        some.set_epoch(epoch)
        drawn[epoch] = [some[index].captions for index in range(3)]
        assert all(len(captions) == 2 and captions == sorted(captions, reverse=True) for captions in drawn[epoch])
    assert len({str(captions) for captions in drawn.values()}) > 4  # ten pairs for each of three pictures
    same.set_epoch(5)
    assert [same[index].captions for index in range(3)] == drawn[5]
    assert SomeCaptions(Five(), 9)[0].captions == Five()[0].captions
