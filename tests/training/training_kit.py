"""Small training runs for the tests: settings for seconds, and what a run left in its folder."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from showtell.data.batches import Batch, Item, collate
from showtell.data.options import DataOptions
from showtell.model.artefact import load_artefact
from showtell.model.options import DecoderOptions, EncoderOptions
from showtell.pictures import PictureOptions
from showtell.settings import TrainSettings, plain, rooms
from showtell.training.options import TrainingOptions
from showtell.training.run import train
from showtell.vocabulary import END, START, VocabularyOptions


def small(folder: Path, scenes: Path, **changes: Any) -> TrainSettings:
    """Settings of a run in `folder`/run: 3 batches an epoch, 2 epochs, and some of them changed, by name, in whatever room."""
    settings = TrainSettings(
        data=DataOptions(data=scenes, workers=0),
        vocabulary=VocabularyOptions(min_frequency=1),
        pictures=PictureOptions(picture_size=32),
        encoder=EncoderOptions("tiny", "none", unfrozen_groups=9),
        decoder=DecoderOptions(embed_size=8, hidden_size=8, attention_dim=8, dropout=0.3, embed_dropout=0.2),
        training=TrainingOptions(
            output_dir=folder / "run", vocab=folder / "vocab.json", epochs=2, batch_size=4, learning_rate=5e-3,
            encoder_learning_rate=1e-3, device="cpu", precision="float32", quiet=True,
        ),
    )  # fmt: skip
    for name, value in changes.items():
        room = next(room for room, options in rooms(settings).items() if hasattr(options, name))
        settings = replace(settings, **{room: replace(getattr(settings, room), **{name: value})})
    return settings


def run(settings: TrainSettings) -> Path:
    """Trains, as `showtell train` does; returns the run's folder."""
    best, _ = train(settings.plan())
    assert best == settings.training.output_dir / "best_model.pt"
    return settings.training.output_dir


def command(settings: TrainSettings, *flags: str) -> list[str]:
    """What follows `python` to do the same from the command line; the settings go there by a file."""
    file = settings.training.output_dir.with_name("settings_to_use.yaml")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.safe_dump(plain(settings)), "utf-8")
    return ["-m", "showtell", "train", "--config", str(file), *flags]


def environment() -> dict[str, str]:
    """Of a process that is to compute the same numbers as this one."""
    return os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())}


def events(folder: Path, kind: str) -> list[dict[str, Any]]:
    """The lines of one kind in a run's log, without how long things took."""
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text("utf-8").splitlines()]
    times = {"training_seconds", "validating_seconds"}
    return [{k: v for k, v in line.items() if k not in times} for line in lines if line["event"] == kind]


def losses(folder: Path) -> list[tuple[int, float]]:
    return [(line["step"], line["loss"]) for line in events(folder, "step")]


def weights(path: Path) -> dict[str, Tensor]:
    artefact = load_artefact(path)
    return {f"{part}.{name}": tensor for part in ("encoder", "decoder") for name, tensor in getattr(artefact, part).items()}


def same_run(one: Path, other: Path) -> None:
    """See that two runs made the same, bit for bit: every loss, every score, and the weights of both checkpoints."""
    went_on_as(one, other)
    assert differing(one / "best_model.pt", other / "best_model.pt") == []


def went_on_as(stopped: Path, undisturbed: Path) -> None:
    """The same of a run that its steps ended, and that went on: validated where it stopped, it may have a better best model."""
    assert losses(stopped) == losses(undisturbed)
    assert events(stopped, "epoch") == events(undisturbed, "epoch")
    assert differing(stopped / "last_model.pt", undisturbed / "last_model.pt") == []
    best, usual = (load_artefact(folder / "best_model.pt").training for folder in (stopped, undisturbed))
    if best["steps"] != usual["steps"]:
        assert best.get("lowest_val_loss", 0) <= usual.get("lowest_val_loss", 0)
        assert best.get("highest_val_cider", 0) >= usual.get("highest_val_cider", 0)


def differing(one: Path, other: Path) -> list[str]:
    """The weights in which two models differ."""
    mine, yours = weights(one), weights(other)
    assert mine.keys() == yours.keys()
    return [key for key in mine if not torch.equal(mine[key], yours[key])]


def make_batch(seed: int, lengths: list[list[int]], cells: int = 4, channels: int = 6, vocabulary: int = 11) -> Batch:
    """Random grids with captions of so many words, <start> and <end> included."""
    random = torch.Generator().manual_seed(seed)
    return collate([
        Item(
            torch.randn(cells, channels, generator=random),
            [[START, *torch.randint(3, vocabulary, (n - 2,), generator=random).tolist(), END] for n in sorted(row, reverse=True)],
        )
        for row in lengths
    ])  # fmt: skip
