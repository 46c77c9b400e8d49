"""The captioner: a picture goes in; a sentence comes out, and for every word a map of where the model looked.

Two kinds share this face: `TorchCaptioner`, and `ExportedCaptioner`, which needs no torch; so none is imported here.
"""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import exp
from pathlib import Path
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from showtell.errors import WrongUse
from showtell.model.grid import GridShape
from showtell.model.hub import BOX, find_in_box, find_model, is_box, is_exported
from showtell.pictures import PictureOptions, pixels_of
from showtell.pictures.opening import Source
from showtell.search import Hypothesis, Result, SearchOptions
from showtell.search.decoders import Randoms
from showtell.vocabulary import PAD, SPECIALS, START, UNK, Vocabulary

Labels = tuple[tuple[str, float], ...]
"""Labels and their probabilities, the likeliest first."""


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
    guess: bool | None = None
    """Whether the model finds its own caption unlikely (`Captioner.guess_below`); None of a model that does not tell."""
    labels: Labels = ()
    """What the encoder's own classifier sees in the picture, where there is one: the ten likeliest of ImageNet's labels."""
    languages: Mapping[str, Caption] = field(default_factory=dict)
    """Where several languages were asked for, what is said in each of them; the first is this caption."""
    model: str = field(default="", compare=False)
    """The name of the model that said it."""

    @property
    def confidence(self) -> float:
        """exp of the mean log-probability of the words, the end included; in 0..1."""
        return exp(sum(self.log_probabilities) / len(self.log_probabilities))


Found = list[tuple[Result, Labels]]
"""Of each picture what the search finds, and what the classifier sees (nothing, where there is none)."""


class Captioner(ABC):
    """A model, its words and its picture settings, which belong together.

        captioner = Captioner.from_pretrained("checkpoints/best_model.pt")
        caption = captioner.caption("photo.jpg")
        print(caption.text, caption.confidence)

    Attributes:
        vocabulary: the model's words.
        pictures: how a picture becomes the pixels that the model was trained on.
        name: what messages and records call this model.
        training, scores: what the model file says of its training, and of its scores by their signatures.
        guess_below: captions of less confidence are guesses, as validation pictures showed; None where nobody looked.
        no_repeat_ngram: no run of so many words occurs twice in what it says, unless the search is told otherwise; 0 allows it.
        note: what its maker wants said of it in a few words: its score, its terms.
    """

    def __init__(self, vocabulary: Vocabulary, pictures: PictureOptions, name: str) -> None:
        self.vocabulary, self.pictures, self.name = vocabulary, pictures, name
        self.training: dict[str, Any] = {}
        self.scores: dict[str, Any] = {}
        self.guess_below: float | None = None
        self.no_repeat_ngram = 0
        self.note = ""

    @property
    def described(self) -> str:
        """Its name, and what its maker wants said of it."""
        return f"{self.name} ({self.note})" if self.note else self.name

    @property
    @abstractmethod
    def grid_shape(self) -> GridShape:
        """Of the maps of attention."""

    @abstractmethod
    def _look(self, pixels: npt.NDArray[np.uint8]) -> Any:
        """What the encoder makes of pictures (N x S x S x 3), as `_search` takes it."""

    @abstractmethod
    def _search(self, seen: Any, options: SearchOptions, forbidden: tuple[int, ...], random: Randoms) -> Found:
        """What the search and the classifier find for those pictures; `forbidden` words are never said."""

    @staticmethod
    def from_pretrained(path: str | Path = BOX, device: str = "auto") -> Captioner:
        """Loads a model: a file, a checkpoint, a folder, or `owner/name` of the Hugging Face Hub; nothing in it is executed.

        `box`, or nothing, is the captioner that comes with showtell, `box/LANGUAGE` one of its languages, `box/en,de` several at
        once. It needs no torch, as no folder does that `showtell export --format onnx` wrote.

        Raises:
            Problem: there is no such model, it is damaged, or a newer showtell wrote it.
            WrongUse: the device is not on this machine, or not one that this kind of model runs on.
        """
        if is_box(path) and len(folders := find_in_box(path)) > 1:
            from showtell.model.polyglot import Polyglot

            return Polyglot.load(folders, device)
        found, name = find_model(path), Path(path).as_posix() if is_box(path) else Path(path).name
        if is_exported(found):
            from showtell.model.exported import ExportedCaptioner

            return ExportedCaptioner.load(found, device, name)
        from showtell.model.torch_captioner import TorchCaptioner  # here, since it brings torch, which takes seconds

        return TorchCaptioner.load(found, device, name)

    @overload
    def caption(self, source: Source, options: SearchOptions | None = ...) -> Caption: ...
    @overload
    def caption(self, source: list[Source] | tuple[Source, ...], options: SearchOptions | None = ...) -> list[Caption]: ...
    def caption(
        self, source: Source | list[Source] | tuple[Source, ...], options: SearchOptions | None = None
    ) -> Caption | list[Caption]:
        """Captions one picture, or several in one batch.

        Args:
            source: a path, bytes, an open file, or a picture of Pillow's; or a list of these.
            options: how to search; beam search with five beams by default.

        Returns:
            A caption, or one for each of the list.

        Raises:
            Problem: a picture cannot be read.
            WrongUse: the options do not fit together.
        """
        if isinstance(source, list | tuple):
            pixels = [pixels_of(each, self.pictures) for each in source]
            return self.caption_pixels(np.stack(pixels), options) if pixels else []
        return self.caption_pixels(pixels_of(source, self.pictures)[None], options)[0]

    def caption_pixels(self, pixels: npt.NDArray[np.uint8], options: SearchOptions | None = None) -> list[Caption]:
        """Captions pictures that have their shape already.

        Args:
            pixels: uint8, N x S x S x 3, as `showtell.pictures.shape` makes them with `self.pictures`.
            options: how to search; beam search with five beams by default.

        Returns:
            N captions.

        Raises:
            WrongUse: the pixels are of another kind or size, or the options do not fit together.
        """
        options, size = options or SearchOptions(), self.pictures.picture_size
        if pixels.dtype != np.uint8 or pixels.shape[1:] != (size, size, 3):
            raise WrongUse(
                f"the pixels are {pixels.dtype} {' x '.join(map(str, pixels.shape))}, and this model takes uint8 "
                f"N x {size} x {size} x 3: make them with showtell.pictures.shape."
            )
        return self._say(self._look(pixels), options, [_chance(each, options.seed) for each in pixels])

    def knows(self, word: str) -> bool:
        """Whether captions may hold it, `forbid` may name it."""
        return word in self.vocabulary.words

    def _say(self, seen: Any, options: SearchOptions, random: Randoms) -> list[Caption]:
        """Captions of pictures that the encoder has seen."""
        if options.no_repeat_ngram is None:
            options = replace(options, no_repeat_ngram=self.no_repeat_ngram)
        forbid = (SPECIALS[UNK], *options.forbid) if options.forbid else ()
        unsaid = (PAD, START, *(self.vocabulary.index(word) for word in forbid if self.knows(word)))
        return [self._caption(result, labels) for result, labels in self._search(seen, options, unsaid, random)]

    def _caption(self, result: Result, labels: Labels) -> Caption:
        candidates = tuple(self._read(hypothesis) for hypothesis in result.candidates)
        best = candidates[0]
        guess = None if self.guess_below is None else best.confidence < self.guess_below
        return replace(best, candidates=candidates, guess=guess, labels=labels)

    def _read(self, hypothesis: Hypothesis) -> Caption:
        words = tuple(self.vocabulary.words[number] for number in hypothesis.words)
        maps = hypothesis.attention.reshape(-1, self.grid_shape.rows, self.grid_shape.columns)
        text, log_probabilities = self.vocabulary.sentence(words), hypothesis.log_probabilities
        return Caption(text, words, log_probabilities, maps, hypothesis.ended, model=self.name)


def _chance(pixels: npt.NDArray[np.uint8], seed: int) -> np.random.Generator:
    """What sampling draws from: the same for the same picture and seed, whatever stands beside it in a batch."""
    return np.random.default_rng([seed, zlib.crc32(pixels.tobytes())])
