"""All that says how a training run goes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from showtell.data.options import DataOptions
from showtell.machine import processors
from showtell.model.options import DecoderOptions, EncoderOptions
from showtell.pictures.options import AugmentOptions, PictureOptions
from showtell.training.options import TrainingOptions
from showtell.vocabulary import VocabularyOptions


@dataclass(frozen=True)
class Plan:
    """The options of every room that takes part, under the names that the rooms have in the settings."""

    data: DataOptions
    vocabulary: VocabularyOptions
    pictures: PictureOptions
    augment: AugmentOptions
    encoder: EncoderOptions
    decoder: DecoderOptions
    training: TrainingOptions
    settings: dict[str, Any]
    """The same as plain data by room, to be saved with the run."""

    @property
    def workers(self) -> int:
        """Processes that open pictures: no more than there are processors, since torch warns of others."""
        return min(self.data.workers, processors())
