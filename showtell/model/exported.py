"""The exported captioner: three graphs that onnxruntime runs on a processor, without torch.

The folder that `showtell export --format onnx` writes, format version 1. Letters in shapes: N pictures, R rows of a picture
(beams), S side of the picture, P cells of the grid, C channels, G features, A keys, H hidden state, V words of the vocabulary;
N and R are free, all others fixed. Whatever is not said to be an integer is float32, in every precision.

encoder.onnx   pixels uint8 N x S x S x 3 (RGB, as showtell.pictures.shape makes them) -> grid N x P x C
               where there is classes.txt: a second output, classes N x L, log-probabilities of its L labels
start.onnx     grid -> features N x P x G, keys N x P x A, hidden N x 1 x H, cell N x 1 x H
step.onnx      words int64 N x R (1 is <start>), features, keys, hidden N x R x H, cell N x R x H
               -> log_probabilities N x R x V, new_hidden N x R x H, new_cell N x R x H, attention N x R x P
classes.txt    the labels of the encoder's classifier, one a line (missing where it has none)
vocab.json     the words
README.md      the model card
config.json    "format": "showtell onnx", "format_version": 1, "showtell_version";
               "architecture", "pictures", "vocabulary_checksum", "training", "scores" as in a folder for the Hub;
               "precision": of the weights: float32, float16 or int8 (for the reader; the graphs know it by themselves);
               "grid": {"rows", "columns", "copies"}, where P = rows * columns (showtell/model/grid.py);
               "sizes": {"channels": C, "features": G, "keys": A, "hidden": H};
               "graphs": the SHA-256 of each graph, by file name;
               "origins": in which graph each weight lies, and under which name, so that it can be trained on
               (showtell/model/regained.py);
               and, where its maker tells: "guess_below": the confidence below which a caption is a guess, "note": a few words

Models that share an encoder may lie in folders beside each other, with encoder.onnx and classes.txt in the folder above.

Nothing in the folder is executed: the graphs are looked through before they are opened (showtell/model/onnx_file.py), must be the
ones that config.json names, and must have these inputs and outputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from showtell.errors import Problem, WrongUse, first_line, printable
from showtell.model.captioner import Captioner, Found, Labels
from showtell.model.config import CLASSES, CONFIG, GRAPHS, WORDS, check_format, maker_told, options_of, read_config, training_told
from showtell.model.grid import GridShape
from showtell.model.onnx_file import Graph, Signature
from showtell.model.options import MOST_LABELS, DecoderOptions
from showtell.pictures import PictureOptions
from showtell.search import SearchOptions, search
from showtell.search.decoders import Randoms
from showtell.vocabulary import END, START, Vocabulary, load_vocab

ENCODER, START_GRAPH, STEP = GRAPHS
FORMAT = "showtell onnx"
LARGEST = 1 << 16
"""Largest size that a folder may tell; the widest encoders give some 4,000 channels."""
LARGEST_LABELS = 1 << 16
"""Bytes of classes.txt that are read at most."""
Floats = npt.NDArray[np.float32]
Seen = tuple[Floats, list[Labels]]
"""The encoder's grid, N x P x C, and the classifier's labels of each picture (empty where there is none)."""


@dataclass(frozen=True)
class Sizes:
    """What the graphs of a folder agree on."""

    picture: int
    """S."""
    grid: GridShape
    words: int
    """V."""
    channels: int
    """C, from the encoder."""
    features: int
    """G, of a cell as the decoder reads it."""
    keys: int
    """A."""
    hidden: int
    """H."""
    classes: int = 0
    """L; 0 where the encoder's graph holds no classifier."""

    def signatures(self) -> dict[str, tuple[dict[str, Signature], dict[str, Signature]]]:
        """Inputs and outputs of each graph."""
        cells = self.grid.cells
        grid = {"grid": _floats("pictures", cells, self.channels)}
        classes = {"classes": _floats("pictures", self.classes)} if self.classes else {}
        kept = {"features": _floats("pictures", cells, self.features), "keys": _floats("pictures", cells, self.keys)}
        begin, state = _floats("pictures", 1, self.hidden), _floats("pictures", "rows", self.hidden)
        return {
            ENCODER: ({"pixels": ("tensor(uint8)", ("pictures", self.picture, self.picture, 3))}, grid | classes),
            START_GRAPH: (grid, kept | {"hidden": begin, "cell": begin}),
            STEP: (
                {"words": ("tensor(int64)", ("pictures", "rows")), **kept, "hidden": state, "cell": state},
                {
                    "log_probabilities": _floats("pictures", "rows", self.words),
                    "new_hidden": state,
                    "new_cell": state,
                    "attention": _floats("pictures", "rows", cells),
                },
            ),
        }


def _floats(*shape: int | str) -> Signature:
    return "tensor(float)", shape


@dataclass(frozen=True)
class State:
    """All that the next step needs. What belongs to a picture is held once, whatever the number of its rows."""

    features: Floats  # N x P x G
    keys: Floats  # N x P x A
    hidden: Floats  # N x R x H
    cell: Floats  # N x R x H

    def select(self, pictures: npt.NDArray[np.int64], rows: npt.NDArray[np.int64]) -> State:
        """As `showtell.model.decoder.State.select`: the large arrays are copied only where pictures leave."""
        whole = len(pictures) == len(self.features)
        return State(
            features=self.features if whole else self.features[pictures],
            keys=self.keys if whole else self.keys[pictures],
            hidden=self.hidden[pictures[:, None], rows],
            cell=self.cell[pictures[:, None], rows],
        )


class ExportedCaptioner(Captioner):
    """Encoder and decoder as graphs; `load` opens the folder that holds them.

    Args:
        graphs: by file name.
        sizes: that the graphs agree on.
        vocabulary, pictures, name: as every captioner has them.
        classes: the labels of the encoder's classifier.
    """

    def __init__(
        self, graphs: Mapping[str, Graph], sizes: Sizes, vocabulary: Vocabulary, pictures: PictureOptions, name: str,
        classes: Sequence[str] = (),
    ) -> None:  # fmt: skip
        super().__init__(vocabulary, pictures, name)
        self.sizes, self.classes = sizes, classes
        self.encoder, self._start, self._step = (graphs[file] for file in GRAPHS)

    @property
    def grid_shape(self) -> GridShape:
        return self.sizes.grid

    @classmethod
    def load(cls, folder: Path, device: str, name: str, encoder: Graph | None = None) -> ExportedCaptioner:
        """As `Captioner.from_pretrained`, of a folder that `showtell export --format onnx` wrote.

        Args:
            encoder: one that is open already, of a model that shares it.

        Raises:
            Problem: a file is missing, damaged, of another model, or holds what no captioner needs.
            WrongUse: the device is no processor.
        """
        if device not in ("auto", "cpu"):
            raise WrongUse(
                f"{folder} was exported to ONNX and runs on the processor, not on {device}: use --device cpu, or auto."
            )
        files = {file: folder / file for file in (CONFIG, *GRAPHS, WORDS)}
        if not files[ENCODER].is_file():
            files[ENCODER] = folder.parent / ENCODER
        if missing := [file for file, path in files.items() if not path.is_file()]:
            raise Problem(f"{folder} is no exported model, {missing[0]} is not in it: name a folder that showtell export wrote.")
        content = read_config(folder / CONFIG)
        check_format(content, folder / CONFIG, FORMAT)
        vocabulary = load_vocab(folder / WORDS)
        if vocabulary.checksum != content.get("vocabulary_checksum"):
            raise Problem(f"{folder} holds another vocabulary than the one it was saved with: get it from its maker again.")
        classes = _read_classes(files[ENCODER].with_name(CLASSES))
        try:
            pictures = options_of(PictureOptions, content["pictures"])
            sizes = replace(_sizes(content, pictures, len(vocabulary)), classes=len(classes))
            told = maker_told(content)
            sha256 = {file: str(content["graphs"][file]) for file in GRAPHS}
            decoder = options_of(DecoderOptions, content["architecture"]["decoder"])
            training, scores = training_told(content), dict(content["scores"])
        except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
            raise Problem(
                f"{folder / CONFIG} does not describe a whole model ({first_line(error)}): get it from its maker again."
            ) from None
        shared = encoder if encoder is not None and encoder.sha256 == sha256[ENCODER] else None
        graphs = {
            file: (shared if file == ENCODER else None) or Graph(files[file], sha256[file], *sizes.signatures()[file])
            for file in GRAPHS
        }
        captioner = cls(graphs, sizes, vocabulary, pictures, name, classes)
        captioner.training, captioner.scores = training, scores
        captioner.guess_below, captioner.note = told["guess_below"], told["note"]
        captioner.no_repeat_ngram = decoder.no_repeat_ngram
        return captioner

    def _look(self, pixels: npt.NDArray[np.uint8]) -> Seen:
        if not len(pixels):
            return np.zeros((0, self.sizes.grid.cells, self.sizes.channels), np.float32), []
        grid, *classes = self.encoder(np.ascontiguousarray(pixels))
        return grid, [self._labels(each) for each in classes[0]] if classes else [()] * len(grid)

    def _search(self, seen: Seen, options: SearchOptions, forbidden: tuple[int, ...], random: Randoms) -> Found:
        grid, labels = seen
        if not len(grid):
            return []
        begin = np.full((len(grid), 1), START, np.int64)
        results = search(self._advance, State(*self._start(grid)), begin, options, end=END, forbidden=forbidden, random=random)
        return list(zip(results, labels, strict=True))

    def _labels(self, log_probabilities: Floats) -> Labels:
        """The likeliest labels, from L log-probabilities."""
        likeliest = np.argsort(-log_probabilities)[:MOST_LABELS]
        return tuple((self.classes[number], float(np.exp(log_probabilities[number]))) for number in likeliest)

    def _advance(self, words: npt.NDArray[np.int64], state: State) -> tuple[Floats, State, Floats]:
        """The step of the search: N x R words -> log-probabilities N x R x V, the new state, attention N x R x P."""
        arrays = np.ascontiguousarray(words), state.features, state.keys, state.hidden, state.cell
        log_probabilities, hidden, cell, attention = self._step(*arrays)
        return log_probabilities, replace(state, hidden=hidden, cell=cell), attention


def _read_classes(path: Path) -> list[str]:
    """The labels, one a line; none where there is no such file."""
    if not path.is_file():
        return []
    try:
        if path.stat().st_size > LARGEST_LABELS:
            raise ValueError(f"it is larger than {LARGEST_LABELS >> 10} KiB")
        return [printable(label) for label in path.read_text("utf-8").splitlines()]
    except (OSError, ValueError) as error:
        raise Problem(f"{path} cannot be read as labels ({first_line(error)}): get it from its maker again.") from None


def _sizes(content: dict[str, Any], pictures: PictureOptions, words: int) -> Sizes:
    grid, sizes = content["grid"], content["sizes"]
    told = {f"grid {key}": grid[key] for key in ("rows", "columns", "copies")} | {
        key: sizes[key] for key in ("channels", "features", "keys", "hidden")
    }
    for name, size in told.items():
        if type(size) is not int or not 1 <= size <= LARGEST:
            raise ValueError(f"{name} is {size!r}")
    shape = GridShape(grid["rows"], grid["columns"], grid["copies"])
    if shape.cells > LARGEST:
        raise ValueError(f"the grid has {shape.cells} cells")
    return Sizes(pictures.picture_size, shape, words, sizes["channels"], sizes["features"], sizes["keys"], sizes["hidden"])
