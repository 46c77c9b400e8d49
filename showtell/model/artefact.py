"""Model files: everything a captioner needs in one NAME.pt, opened without running anything that is in it.

The file is what `torch.save` writes from tensors and plain data. Format version 1 is a dictionary with the keys of `Artefact`,
and "format": "showtell", "format_version": 1. A checkpoint is the same with one more key, "checkpoint". Options that a file does
not name are younger than it and have their defaults; weights in half precision become float32 when the model is built.

A file from a stranger must not cost more memory than it has bytes: what it says of sizes is held against what it holds before
anything is allocated for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import showtell
from showtell.errors import Problem, WrongUse, disk_sentences, first_line
from showtell.files import written_whole
from showtell.model.config import (
    FORMAT_VERSION,
    check_format,
    kept_data,
    kept_training,
    maker_told,
    options_of,
    plain_data,
    training_told,
)
from showtell.model.decoder import Decoder
from showtell.model.encoder import Encoder
from showtell.model.options import DecoderOptions, EncoderOptions
from showtell.model.reading import check_archive, read_pt
from showtell.pictures import PictureOptions
from showtell.vocabulary import Vocabulary, load_vocab


@dataclass(frozen=True)
class Artefact:
    """A captioner as data: architecture, picture settings, words, weights, and where it comes from."""

    encoder_options: EncoderOptions
    decoder_options: DecoderOptions
    pictures: PictureOptions
    vocabulary: Vocabulary
    encoder: Mapping[str, Tensor]
    decoder: Mapping[str, Tensor]
    training: dict[str, Any] = field(default_factory=dict)
    """Summary of the training: data, pictures, epochs, losses."""
    scores: dict[str, Any] = field(default_factory=dict)
    """Scores by their signatures."""
    guess_below: float | None = None
    note: str = ""
    """Both as a `Captioner` has them."""

    @classmethod
    def of(cls, encoder: Encoder, decoder: Decoder, vocabulary: Vocabulary, pictures: PictureOptions, **about: Any) -> Artefact:
        """What is to be saved of a live encoder and decoder."""
        return cls(encoder.options, decoder.options, pictures, vocabulary, encoder.state_dict(), decoder.state_dict(), **about)

    def build(self, name: str | Path = "this model") -> tuple[Encoder, Decoder]:
        """Encoder and decoder with these weights, in evaluation mode; `name` is what messages call the model.

        Raises:
            Problem: the weights do not fit the architecture or the vocabulary.
        """
        self.check_size(name)
        try:
            encoder = self.build_encoder(self.encoder_options, self.pictures.picture_size)
            decoder = self.build_decoder(self.decoder_options, encoder.channels)
        except (RuntimeError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
            raise Problem(f"{name}: the weights do not fit the architecture that it names ({first_line(error)}).") from None
        encoder.pictures = self.pictures
        return encoder.eval(), decoder.eval()

    def build_encoder(self, options: EncoderOptions, picture_size: int) -> Encoder:
        """An encoder with these weights, for pictures of so many pixels a side.

        Raises:
            RuntimeError: the weights are for other options; nothing of the size that these name was allocated.
            WrongUse: there is no such encoder, or none for such pictures.
        """
        with torch.device("meta"):  # costs no memory, whatever network the options name
            Encoder(options, picture_size).load_state_dict(self.encoder, assign=True)
        encoder = Encoder(options, picture_size)
        encoder.load_state_dict(self.encoder)
        return encoder

    def build_decoder(self, options: DecoderOptions, channels: int) -> Decoder:
        """A decoder with these weights, for grids of so many channels.

        Raises:
            RuntimeError: the weights are for other options; nothing of the size that these name was allocated.
        """
        with torch.device("meta"):
            Decoder(options, len(self.vocabulary), channels).load_state_dict(self.decoder, assign=True)
        decoder = Decoder(options, len(self.vocabulary), channels)
        decoder.load_state_dict(self.decoder)
        return decoder

    def check_size(self, name: str | Path) -> None:
        """See that the vocabulary has as many words as the decoder's weights are for; `name` is what messages call the model.

        Raises:
            Problem: it has not; the sentence names both sizes.
        """
        rows = len(self.decoder.get("embedding.weight", ()))
        if rows != len(self.vocabulary):
            raise Problem(
                f"{name}: the vocabulary has {len(self.vocabulary)} words, but the decoder's weights are for {rows}: "
                "give the vocabulary that this model was trained with."
            )

    def check_own(self, path: str | Path, model: str | Path) -> None:
        """See that the vocabulary file at `path` is the one of this model, which messages call `model`.

        Raises:
            WrongUse: it is another; the sentence names both sizes.
            Problem: it cannot be read.
        """
        vocabulary = load_vocab(path)
        if vocabulary.checksum != self.vocabulary.checksum:
            raise WrongUse(
                f"the vocabulary {path} does not belong to {model}: it has {len(vocabulary)} words, the model was trained with "
                f"{len(self.vocabulary)} of its own; name the model's, or none, since the model holds it."
            )

    def halved(self) -> Artefact:
        """The same with its matrices and convolutions in float16; biases, norms and what float16 cannot hold stay float32."""
        return replace(self, encoder=_halved(self.encoder), decoder=_halved(self.decoder))

    def about(self) -> dict[str, Any]:
        """Everything but vocabulary and weights, as plain data.

        Raises:
            WrongUse: training or scores hold something else.
        """
        return {
            "format": "showtell",
            "format_version": FORMAT_VERSION,
            "showtell_version": showtell.__version__,
            "architecture": {"encoder": asdict(self.encoder_options), "decoder": asdict(self.decoder_options)},
            "pictures": asdict(self.pictures),
            "vocabulary_checksum": self.vocabulary.checksum,
            "training": kept_training(self.training),
            "scores": kept_data("scores", self.scores),
            "guess_below": self.guess_below,
            "note": self.note,
        }

    def to_dict(self) -> dict[str, Any]:
        """Tensors and plain data only."""
        weights = {"encoder": dict(self.encoder), "decoder": dict(self.decoder)}
        return self.about() | {"vocabulary": self.vocabulary.to_dict()} | weights


def save_artefact(artefact: Artefact, path: Path, checkpoint: dict[str, Any] | None = None) -> None:
    """Writes a model file, whole or not at all; with `checkpoint`, a checkpoint.

    Raises:
        Problem: the file cannot be written (disk full, no permission).
        WrongUse: what it says of training or scores is no plain data.
    """
    content = artefact.to_dict() | ({"checkpoint": checkpoint} if checkpoint else {})
    try:
        with disk_sentences(path), written_whole(path) as file:
            torch.save(content, file)
    except RuntimeError as error:  # so torch says what the disk refuses
        raise Problem(f"{path} could not be written ({first_line(error)}): free some space or choose another folder.") from None


def load_artefact(path: Path) -> Artefact:
    """Reads a model file or checkpoint onto the CPU. Nothing in the file is executed.

    Raises:
        Problem: there is no such file, it is truncated, no model, carries code, or comes from a newer showtell.
    """
    return artefact_of(read_model_file(path), path)


def read_model_file(path: Path, advice: str = "get it from its maker again") -> dict[str, Any]:
    """The dictionary in a model file, checked to be one of ours and of a version that this code knows.

    A file without a vocabulary (showtell writes none) gets that of `vocab.pkl` beside it.

    Args:
        advice: what to do where it is damaged.

    Raises:
        Problem: as for `load_artefact`.
    """
    if not path.is_file():
        raise Problem(f"there is no model at {path}: train one (showtell train), or name another; box comes with showtell.")
    try:
        check_archive(path)
        content = read_pt(path)
    except ValueError as error:
        raise Problem(f"{path} cannot be read as a model: {error}; {advice}.") from None
    check_format(content, path)
    if "vocabulary" not in content and (beside := path.with_name("vocab.pkl")).is_file():
        content["vocabulary"] = load_vocab(beside).to_dict()
    return dict(content)


def artefact_of(content: dict[str, Any], path: Path) -> Artefact:
    """The inverse of `to_dict`; `path` is what messages call it.

    Raises:
        Problem: something is missing or of the wrong kind, or the vocabulary is not the one it was saved with.
    """
    try:
        architecture = content["architecture"]
        artefact = Artefact(
            encoder_options=options_of(EncoderOptions, architecture["encoder"]),
            decoder_options=options_of(DecoderOptions, architecture["decoder"]),
            pictures=options_of(PictureOptions, content["pictures"]),
            vocabulary=Vocabulary.from_dict(content["vocabulary"]),
            encoder=_tensors(content["encoder"]),
            decoder=_tensors(content["decoder"]),
            training=training_told(content),
            scores=plain_data(content["scores"]),
            **maker_told(content),
        )
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError, Problem) as error:
        raise Problem(f"{path} is not a complete showtell model ({first_line(error)}): get it from its maker again.") from None
    if artefact.vocabulary.checksum != content.get("vocabulary_checksum"):
        raise Problem(f"{path} holds another vocabulary than the one it was saved with: get it from its maker again.")
    return artefact


def _tensors(values: Any) -> dict[str, Tensor]:
    if not isinstance(values, dict) or not all(isinstance(value, Tensor) for value in values.values()):
        raise TypeError("its weights are not tensors")
    for name, tensor in values.items():  # a few bytes can claim to be terabytes: one number, repeated
        plain = tensor.layout == torch.strided and not tensor.is_quantized and tensor.device.type == "cpu"
        if not plain or tensor.nbytes > tensor.untyped_storage().nbytes():
            raise TypeError(f"{name} is no plain tensor, or larger than what the file holds of it")
    return values


def _halved(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: _half(tensor) if tensor.is_floating_point() and tensor.ndim > 1 else tensor for name, tensor in tensors.items()}


def _half(tensor: Tensor) -> Tensor:
    half = tensor.half()
    return half if half.isfinite().all() else tensor
