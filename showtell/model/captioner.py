"""The captioner: a picture goes in; a sentence comes out, and for every word a map of where the model looked."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import exp
from pathlib import Path
from typing import IO, overload

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from showtell.errors import Problem
from showtell.model.artefact import load_artefact
from showtell.model.decoder import Decoder
from showtell.model.device import resolve_device
from showtell.model.encoder import Encoder
from showtell.pictures import PictureOptions, open_picture, shape
from showtell.search import Hypothesis, Result, SearchOptions, search
from showtell.vocabulary import END, PAD, START, Vocabulary

Source = str | Path | bytes | IO[bytes] | Image.Image
"""What a picture can be given as: a path, the bytes of a file, an open file, or a picture of Pillow's."""


@dataclass(frozen=True)
class Caption:
    """What the model says of a picture."""

    text: str
    """The sentence that a person reads."""
    words: tuple[str, ...]
    """The model's words, as they stand in its vocabulary."""
    log_probabilities: tuple[float, ...]
    """Of each word, and of the end where the caption ended by itself; natural logarithm."""
    attention: npt.NDArray[np.float32] = field(compare=False)
    """words x rows x columns: where the model looked for each word; each map sums to 1 over the square that it saw."""
    ended: bool
    """Whether the model ended the caption by itself."""
    candidates: tuple[Caption, ...] = ()
    """All `n_best` captions, the best, which is this one, first."""

    @property
    def confidence(self) -> float:
        """exp of the mean log-probability of the words, the end included; in 0..1."""
        return exp(sum(self.log_probabilities) / len(self.log_probabilities))


class Captioner:
    """Encoder, decoder, vocabulary and picture settings that belong together.

        captioner = Captioner.from_pretrained("checkpoints/best_model.pt")
        caption = captioner.caption("photo.jpg")
        print(caption.text, caption.confidence)

    Args:
        encoder, decoder: on one device; they are put into evaluation mode.
        vocabulary: the decoder's words.
        pictures: how a picture becomes the pixels that the encoder was trained on.
        name: what messages and records call this model.
    """

    def __init__(
        self, encoder: Encoder, decoder: Decoder, vocabulary: Vocabulary, pictures: PictureOptions, name: str = "model"
    ) -> None:
        self.encoder, self.decoder = encoder.eval(), decoder.eval()
        self.vocabulary, self.pictures, self.name = vocabulary, pictures, name

    @classmethod
    def from_pretrained(cls, path: str | Path, device: str = "auto") -> Captioner:
        """Loads a model file or a checkpoint; nothing in it is executed.

        Raises:
            Problem: there is no such file, or it is no model.
            WrongUse: the device is not on this machine.
        """
        where, artefact = resolve_device(device), load_artefact(Path(path))
        try:
            encoder, decoder = artefact.build()
        except Problem as problem:
            raise Problem(f"{path}: {problem}") from None
        return cls(encoder.to(where), decoder.to(where), artefact.vocabulary, artefact.pictures, Path(path).name)

    @overload
    def caption(self, source: Source, options: SearchOptions | None = ...) -> Caption: ...
    @overload
    def caption(self, source: list[Source], options: SearchOptions | None = ...) -> list[Caption]: ...
    def caption(self, source: Source | list[Source], options: SearchOptions | None = None) -> Caption | list[Caption]:
        """Captions one picture, or several in one batch.

        Raises:
            Problem: a picture cannot be read.
        """
        if isinstance(source, list):
            pixels = [shape(open_picture(each, self.pictures), self.pictures)[0] for each in source]
            return self.caption_pixels(np.stack(pixels), options) if pixels else []
        return self.caption_pixels(shape(open_picture(source, self.pictures), self.pictures)[0][None], options)[0]

    @torch.inference_mode()
    def caption_pixels(self, pixels: npt.NDArray[np.uint8], options: SearchOptions | None = None) -> list[Caption]:
        """Captions pictures that have their shape already.

        Args:
            pixels: uint8, N x S x S x 3, as `showtell.pictures.shape` makes them with `self.pictures`.
            options: how to search; beam search with five beams by default.

        Returns:
            N captions.
        """
        options = options or SearchOptions()
        device = self.encoder.pixel_mean.device
        grid = self.encoder(torch.tensor(pixels).permute(0, 3, 1, 2).to(device))  # N x cells x C
        begin = torch.full((len(grid), 1), START, device=device)
        unsaid = (PAD, START, *(self.vocabulary.index(word) for word in options.forbid if word in self.vocabulary.words))
        results = search(self.decoder.step, self.decoder.start(grid), begin, options, end=END, forbidden=unsaid)
        return [self._caption(result) for result in results]

    def _caption(self, result: Result) -> Caption:
        candidates = tuple(self._read(hypothesis) for hypothesis in result.candidates)
        best = candidates[0]
        return Caption(best.text, best.words, best.log_probabilities, best.attention, best.ended, candidates)

    def _read(self, hypothesis: Hypothesis) -> Caption:
        words = tuple(self.vocabulary.words[number] for number in hypothesis.words)
        grid = self.encoder.grid_shape
        maps = hypothesis.attention.reshape(-1, grid.rows, grid.columns)
        return Caption(self.vocabulary.sentence(words), words, hypothesis.log_probabilities, maps, hypothesis.ended)
