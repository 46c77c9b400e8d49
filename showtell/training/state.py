"""Everything that a training run moves along, and everything that a checkpoint keeps of it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from showtell.data.batches import Batch, BatchOrder, PictureSource, collate
from showtell.model.artefact import Artefact
from showtell.model.encoder import Encoder
from showtell.pictures import PictureOptions
from showtell.training.free_running import FreeRunning
from showtell.training.loading import loader
from showtell.training.log import Log
from showtell.training.loss import TrainingModel
from showtell.training.optimisation import EarlyStopping, Schedule
from showtell.training.options import TrainingOptions
from showtell.training.unfreezing import Unfreezing
from showtell.vocabulary import Vocabulary

BEST = {"val_loss": "lowest_val_loss", "cider": "highest_val_cider", "bleu4": "highest_val_bleu4"}
"""What the model file calls the best score."""


@dataclass
class Position:
    """Where in the run we are: what comes next, and what the epoch has summed up so far."""

    epoch: int = 0
    batch: int = 0
    """The epoch's next batch."""
    step: int = 0
    """The next optimiser step."""
    sums: Tensor = field(default_factory=lambda: torch.zeros(4, dtype=torch.float64))
    """Of the epoch's tallies: words, cross-entropy, top-1, top-5."""
    tallies: list[Tensor] = field(default_factory=list)
    """Of batches since these were summed up, still on the device, which is not waited for at every batch."""

    def settled(self) -> Tensor:
        """The sums, with all that waited."""
        for tally in self.tallies:
            self.sums += tally.cpu()
        self.tallies.clear()
        return self.sums


@dataclass
class Feed:
    """Pictures in the order in which they are to be seen."""

    source: PictureSource
    order: BatchOrder
    workers: int

    def batches(self, epoch: int, first: int = 0) -> Iterator[Batch]:
        """The epoch's batches from number `first` on."""
        self.source.set_epoch(epoch)
        self.order.start(epoch, first)
        pin = torch.cuda.is_available()
        return iter(loader(self.source, self.workers, collate, batch_sampler=self.order, pin_memory=pin))


@dataclass
class Run:
    """A run between two of its steps."""

    options: TrainingOptions
    accelerator: Accelerator
    model: torch.nn.Module
    """The `TrainingModel`, as Accelerate prepared it."""
    plain_model: TrainingModel
    """The same, as it is saved."""
    average: AveragedModel | None
    optimizer: Any
    schedule: Schedule
    stopping: EarlyStopping
    training: Feed
    validation: Feed
    log: Log
    encoder: Encoder
    """What the pictures go through, in the model or, where it is frozen, before the cache."""
    vocabulary: Vocabulary
    pictures: PictureOptions
    free_running: FreeRunning | None
    """Scores captions that the model makes by itself."""
    data: str
    """What the model file calls the data."""
    fingerprint: str
    """Of pictures and captions, in their order: a run that goes on must find the same."""
    unfreezing: Unfreezing
    settings: dict[str, Any]
    """What the model file keeps of the settings, by room."""
    before: tuple[str, ...] = ()
    """What its weights went through before this run."""
    position: Position = field(default_factory=Position)
    kept: float = math.inf
    """The score of `best_model.pt`, the lower the better."""
    named: set[str] = field(default_factory=set)
    """Pictures that could not be read, each named once."""

    @property
    def quiet(self) -> bool:
        """Whether this process keeps still: by request, or because another one speaks."""
        return self.options.quiet or not self.accelerator.is_main_process

    @property
    def steps_are_done(self) -> bool:
        """Whether it has made the `max_steps` that were asked for."""
        return 0 < self.options.max_steps <= self.position.step

    @property
    def validated_model(self) -> TrainingModel:
        """The model that is validated and saved: the moving average where there is one."""
        return cast(TrainingModel, self.average.module) if self.average else self.plain_model

    def artefact(self) -> Artefact:
        """What would be saved of the model now."""
        model = self.validated_model
        best = {BEST[self.options.monitor]: abs(self.kept)} if math.isfinite(self.kept) else {}
        before = {"before": list(self.before)} if self.before else {}
        return Artefact.of(
            model.encoder or self.encoder, model.decoder, self.vocabulary, self.pictures,
            training={
                "data": self.data, "training_pictures": len(self.training.source), "epochs": self.position.epoch,
                "steps": self.position.step, "settings": self.settings, **best, **before,
            },
        )  # fmt: skip
