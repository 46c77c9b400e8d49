"""The captioner with torch: on the CPU or a GPU, from a model file, a checkpoint or a model folder."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from showtell.model.artefact import Artefact
from showtell.model.captioner import Captioner, Found
from showtell.model.decoder import Decoder
from showtell.model.device import resolve_device
from showtell.model.encoder import Encoder
from showtell.model.folder import save_folder
from showtell.model.grid import GridShape
from showtell.model.hub import load_model, push_folder
from showtell.pictures import PictureOptions
from showtell.search import SearchOptions
from showtell.search.decoders import Randoms
from showtell.vocabulary import Vocabulary


class TorchCaptioner(Captioner):
    """Encoder, decoder, vocabulary and picture settings that belong together.

    Args:
        encoder, decoder: on one device; they are put into evaluation mode.
        vocabulary: the decoder's words.
        pictures: how a picture becomes the pixels that the encoder was trained on.
        name: what messages and records call this model.
    """

    def __init__(
        self, encoder: Encoder, decoder: Decoder, vocabulary: Vocabulary, pictures: PictureOptions, name: str = "model"
    ) -> None:
        super().__init__(vocabulary, pictures, name)
        self.encoder, self.decoder = encoder.eval(), decoder.eval()
        self._folded = self.encoder
        self.no_repeat_ngram = decoder.options.no_repeat_ngram

    @property
    def grid_shape(self) -> GridShape:
        return self.encoder.grid_shape

    @classmethod
    def load(cls, path: Path, device: str, name: str) -> TorchCaptioner:
        """As `Captioner.from_pretrained`, of every model with weights; `name` is what records call it."""
        where, artefact = resolve_device(device), load_model(path)
        encoder, decoder = artefact.build(path)
        captioner = cls(encoder.to(where), decoder.to(where), artefact.vocabulary, artefact.pictures, name)
        captioner.training, captioner.scores = artefact.training, artefact.scores
        captioner.guess_below, captioner.note = artefact.guess_below, artefact.note
        captioner._folded = captioner.encoder.folded()  # what is saved stays as it was read
        return captioner

    def save_pretrained(self, folder: str | Path) -> None:
        """Writes the model as a folder that `from_pretrained` and the Hub take; a model folder of that name is replaced.

        Raises:
            Problem: it cannot be written.
        """
        about = {"training": self.training, "scores": self.scores, "guess_below": self.guess_below, "note": self.note}
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

    @torch.inference_mode()
    def _look(self, pixels: npt.NDArray[np.uint8]) -> torch.Tensor:
        grid: torch.Tensor = self._folded(torch.tensor(pixels).permute(0, 3, 1, 2).to(self.encoder.pixel_mean.device))
        return grid  # N x cells x C

    @torch.inference_mode()
    def _search(self, grid: torch.Tensor, options: SearchOptions, forbidden: tuple[int, ...], random: Randoms) -> Found:
        return [(result, ()) for result in self.decoder.search(grid, options, forbidden, random)]
