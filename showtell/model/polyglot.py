"""Several languages at once: captioners that share an encoder, so that a picture is encoded once for all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from showtell.model.captioner import Caption, Captioner, Found
from showtell.model.exported import ExportedCaptioner, Seen
from showtell.model.grid import GridShape
from showtell.search import SearchOptions
from showtell.search.decoders import Randoms


class Polyglot(Captioner):
    """Says the same picture in several languages; vocabulary, guesses and scores are those of the first.

    Args:
        speakers: by language, in the order in which captions are shown; all with the same encoder.
    """

    def __init__(self, speakers: Mapping[str, ExportedCaptioner]) -> None:
        self.speakers = speakers
        self._first = next(iter(speakers.values()))
        super().__init__(self._first.vocabulary, self._first.pictures, " and ".join(each.name for each in speakers.values()))
        self.training, self.scores, self.guess_below = self._first.training, self._first.scores, self._first.guess_below

    @classmethod
    def load(cls, folders: Mapping[str, Path], device: str) -> Polyglot:
        """The box's languages; as `Captioner.from_pretrained`.

        Raises:
            Problem: a file is missing, damaged, or of another model.
            WrongUse: the device is no processor.
        """
        speakers: dict[str, ExportedCaptioner] = {}
        encoder = None
        for language, folder in folders.items():
            speakers[language] = ExportedCaptioner.load(folder, device, f"box/{language}", encoder)
            encoder = speakers[language].encoder
        return cls(speakers)

    @property
    def described(self) -> str:
        return " and ".join(each.described for each in self.speakers.values())

    @property
    def grid_shape(self) -> GridShape:
        return self._first.grid_shape

    def knows(self, word: str) -> bool:
        return any(each.knows(word) for each in self.speakers.values())

    def _look(self, pixels: npt.NDArray[np.uint8]) -> Seen:
        return self._first._look(pixels)

    def _search(self, seen: Seen, options: SearchOptions, forbidden: tuple[int, ...], random: Randoms) -> Found:
        return self._first._search(seen, options, forbidden, random)

    def _say(self, seen: Seen, options: SearchOptions, random: Randoms) -> list[Caption]:
        said = [speaker._say(seen, options, random) for speaker in self.speakers.values()]  # languages x pictures
        return [
            replace(captions[0], languages=dict(zip(self.speakers, captions, strict=True)))
            for captions in zip(*said, strict=True)
        ]
