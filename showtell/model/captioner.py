"""The captioner: a picture goes in; a sentence comes out, and for every word a map of where the model looked."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from math import exp
from pathlib import Path
from typing import IO, Any, overload

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from showtell.errors import Problem
from showtell.model.artefact import Artefact
from showtell.model.decoder import Decoder
from showtell.model.device import resolve_device
from showtell.model.encoder import Encoder
from showtell.model.folder import save_folder
from showtell.model.hub import load_model, push_folder
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

    Attributes:
        training, scores: what the model file says of its training, and of its scores by their signatures.
    """

    def __init__(
        self, encoder: Encoder, decoder: Decoder, vocabulary: Vocabulary, pictures: PictureOptions, name: str = "model"
    ) -> None:
        self.encoder, self.decoder = encoder.eval(), decoder.eval()
        self.vocabulary, self.pictures, self.name = vocabulary, pictures, name
        self._eyes = self.encoder
        self.training: dict[str, Any] = {}
        self.scores: dict[str, Any] = {}

    @classmethod
    def from_pretrained(cls, path: str | Path, device: str = "auto") -> Captioner:
        """Loads a model: a file, a checkpoint, a folder, or `owner/name` of the Hugging Face Hub; nothing in it is executed.

        Raises:
            Problem: there is no such model, it is damaged, or a newer showtell wrote it.
            WrongUse: the device is not on this machine.
        """
        where, artefact = resolve_device(device), load_model(path)
        try:
            encoder, decoder = artefact.build()
        except Problem as problem:
            raise Problem(f"{path}: {problem}") from None
        captioner = cls(encoder.to(where), decoder.to(where), artefact.vocabulary, artefact.pictures, Path(path).name)
        captioner.training, captioner.scores = artefact.training, artefact.scores
        captioner._eyes = captioner.encoder.folded()
        return captioner

    def save_pretrained(self, folder: str | Path) -> None:
        """Writes the model as a folder that `from_pretrained` and the Hub take; a model folder of that name is replaced.

        Raises:
            Problem: it cannot be written.
        """
        about = {"training": self.training, "scores": self.scores}
        save_folder(Artefact.of(self.encoder, self.decoder, self.vocabulary, self.pictures, **about), Path(folder))

    def push_to_hub(self, repository: str, *, private: bool = False, token: str | None = None) -> str:
        """Sends the model to the Hugging Face Hub as `owner/name`; returns its address. Tried against a local stand-in only.

        Raises:
            Problem: the Hub refuses it or cannot be reached.
        """
        with tempfile.TemporaryDirectory() as work:
            folder = Path(work) / repository.rpartition("/")[2]
            self.save_pretrained(folder)
            return push_folder(folder, repository, private=private, token=token)

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
        grid = self._eyes(torch.tensor(pixels).permute(0, 3, 1, 2).to(device))  # N x cells x C
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
