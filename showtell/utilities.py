"""The functions that `utils.py` promises, for scripts and notebooks: thin over the rooms, where each of them does its work.

    encoder, decoder, vocab = load_pretrained_model(pretrained_path="pretrained_models/mine.pt")
    caption = beam_search_caption(encoder, decoder, load_image("photo.jpg", encoder.pictures), vocab)
    visualize_attention("photo.jpg", caption, "attention.png", encoder.pictures)

UTILS_REFERENCE.md shows each of them at work.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from showtell.errors import Problem, WrongUse, disk_sentences
from showtell.files import written_whole
from showtell.look import attention_figure
from showtell.model.artefact import Artefact, artefact_of, save_artefact
from showtell.model.captioner import Caption
from showtell.model.decoder import Decoder
from showtell.model.device import resolve_device
from showtell.model.encoder import Encoder
from showtell.model.export import vocabulary_place
from showtell.model.hub import find_model, load_model
from showtell.model.torch_captioner import TorchCaptioner
from showtell.model.transfer import (
    adapt_vocab_size,
    count_parameters,
    freeze_model,
    get_trainable_params,
    model_info,
    move_vocabulary,
    unfreeze_model,
)
from showtell.pictures import PictureOptions, open_picture, pixels_of, shape
from showtell.pictures.opening import Source
from showtell.search import SearchOptions
from showtell.training.checkpoint import load_checkpoint_state
from showtell.training.optimisation import EarlyStopping
from showtell.vocabulary import PAD, Tokenizer, Vocabulary, VocabularyOptions, build_vocabulary, load_vocab, save_vocab

__all__ = [
    "Checkpoint",
    "EarlyStopping",
    "Vocabulary",
    "accuracy",
    "adapt_vocab_size",
    "adjust_learning_rate",
    "beam_search_caption",
    "build_vocab",
    "clip_gradients",
    "count_parameters",
    "freeze_model",
    "generate_caption",
    "get_trainable_params",
    "load_checkpoint",
    "load_image",
    "load_pretrained_model",
    "load_vocab",
    "move_vocabulary",
    "print_model_info",
    "save_pretrained_model",
    "save_vocab",
    "unfreeze_model",
    "visualize_attention",
]

# ---------------------------------------------------------------------------------------------------------------- words


def build_vocab(captions: Iterable[str], min_frequency: int = 5, max_words: int = 0, tokenizer: Tokenizer = "word") -> Vocabulary:
    """The vocabulary of the captions, the most frequent words first.

    Args:
        captions: of the training pictures only.
        min_frequency: a word is taken when it occurs at least this often.
        max_words: at most this many; 0 sets no limit.
        tokenizer: `word`, or `character` for Chinese and Japanese.

    Raises:
        WrongUse: an argument is out of range, or no word is frequent enough.
    """
    if isinstance(captions, str):
        raise WrongUse("captions is a text; it must be a list of texts.")
    options = VocabularyOptions(tokenizer, min_frequency, max_words)
    if problems := options.problems():
        raise WrongUse(" ".join(problems))
    return build_vocabulary(captions, options)


# ---------------------------------------------------------------------------------------------------------- model files


def load_pretrained_model(
    pretrained_path: str | Path, vocab_path: str | Path | None = None, device: str = "auto"
) -> tuple[Encoder, Decoder, Vocabulary]:
    """Loads a model for use. Nothing in its files is executed.

    Args:
        pretrained_path: a model file, a checkpoint, a model folder, `owner/name` of the Hugging Face Hub, or `box`.
        vocab_path: may be left out, since the model holds its vocabulary; where it is given, it must be that one.
        device: `auto`, `cpu`, `cuda` or `mps`.

    Returns:
        Encoder and decoder on the device, in evaluation mode, and the vocabulary. `encoder.pictures` tells how the model
        wants its pictures.

    Raises:
        WrongUse: the vocabulary is another one (both sizes are named), the device is not here, or the model was exported to ONNX.
        Problem: there is no such model, it is damaged, carries code, or a newer showtell wrote it.
    """
    where, artefact = resolve_device(str(device)), load_model(pretrained_path)
    if vocab_path is not None:
        artefact.check_own(vocab_path, pretrained_path)
    encoder, decoder = artefact.build(pretrained_path)
    return encoder.to(where), decoder.to(where), artefact.vocabulary


def save_pretrained_model(
    encoder: Encoder, decoder: Decoder, vocab: Vocabulary, path: str | Path, *, half: bool = False, **about: dict[str, Any]
) -> Path:
    """Writes `NAME.pt`, which holds all that a captioner needs, and `vocab.pkl` beside it.

    Another model's `vocab.pkl` is never replaced: then the vocabulary is written to `NAME.vocab.pkl`.

    Args:
        path: of the model file.
        half: matrices and convolutions in half precision.
        about: `training` and `scores`, to be kept in the file.

    Returns:
        Where the vocabulary was written.

    Raises:
        Problem: vocabulary and decoder have different sizes, or the files cannot be written.
    """
    path = Path(path)
    artefact = Artefact.of(encoder, decoder, vocab, encoder.pictures, **about)
    artefact.check_size(path)
    save_artefact(artefact.halved() if half else artefact, path)
    place = vocabulary_place(path, vocab)
    save_vocab(vocab, place)
    return place


@dataclass(frozen=True)
class Checkpoint:
    """What `last_model.pt` of a training run holds."""

    encoder: Encoder
    """In evaluation mode, like the decoder."""
    decoder: Decoder
    vocab: Vocabulary
    training: dict[str, Any]
    """Summary of the training: data, pictures, epochs, steps."""
    state: dict[str, Any]
    """Of the run: `optimizer`, `schedule`, `stopping`, `position` and more, as `train.py --resume` needs it."""


def load_checkpoint(path: str | Path, device: str = "auto") -> Checkpoint:
    """Loads a checkpoint, with the state of the run beside the model. Nothing in it is executed.

    Raises:
        Problem: there is no such file, it is damaged, or a model without a run's state.
    """
    file = find_model(path)
    if file.is_dir():
        raise Problem(f"{path} is a model folder, which has no state of a run: name a run's last_model.pt.")
    where, content = resolve_device(str(device)), load_checkpoint_state(file)
    artefact = artefact_of(content, file)
    encoder, decoder = artefact.build(path)
    return Checkpoint(encoder.to(where), decoder.to(where), artefact.vocabulary, artefact.training, content["checkpoint"])


def print_model_info(encoder: Encoder, decoder: Decoder, optimizer: torch.optim.Optimizer | None = None) -> None:
    """Prints the parts of a model with their weights and how many of them train; with an optimiser, at which rates as well."""
    print(model_info(encoder, decoder, optimizer))


# ------------------------------------------------------------------------------------------------------------- captions


def load_image(source: Source, pictures: PictureOptions | None = None) -> Tensor:
    """A picture as the encoder takes it: uint8, 1 x 3 x S x S; the encoder normalises it by itself.

    Args:
        source: a path, bytes, an open file, or a picture of Pillow's.
        pictures: how the model wants its pictures, `encoder.pictures`; squares of 224 pixels by default.

    Raises:
        Problem: it cannot be read, or is too large.
    """
    return torch.from_numpy(np.array(pixels_of(source, pictures or PictureOptions()))).permute(2, 0, 1).unsqueeze(0)


def generate_caption(
    encoder: Encoder, decoder: Decoder, image: Source | Tensor, vocab: Vocabulary, max_length: int = 30
) -> Caption:
    """Captions a picture, taking the likeliest word each time.

    Args:
        image: what `load_image` gave (one picture), or anything that it takes.
        max_length: most words.

    Returns:
        `text`, `words`, `log_probabilities`, `attention` (words x rows x columns) and `confidence` (0..1).

    Raises:
        Problem: the picture cannot be read.
        WrongUse: it has another size than the model's pictures, or an option is out of range.
    """
    return _captioned(encoder, decoder, image, vocab, SearchOptions(search="greedy", max_length=max_length))


def beam_search_caption(
    encoder: Encoder, decoder: Decoder, image: Source | Tensor, vocab: Vocabulary, beam_size: int = 5, max_length: int = 30
) -> Caption:
    """Captions a picture, keeping the best `beam_size` beginnings; `candidates` of the result holds the best of them all.

    Args, returns, raises: as `generate_caption`.
    """
    options = SearchOptions(beam_size=beam_size, n_best=beam_size, max_length=max_length)
    return _captioned(encoder, decoder, image, vocab, options)


def _captioned(encoder: Encoder, decoder: Decoder, image: Source | Tensor, vocab: Vocabulary, options: SearchOptions) -> Caption:
    if problems := options.problems():
        raise WrongUse(" ".join(problems))
    if len(vocab) != decoder.vocabulary_size:
        raise WrongUse(f"the vocabulary has {len(vocab)} words, but the decoder is for {decoder.vocabulary_size}: give its own.")
    pixels = image if isinstance(image, Tensor) else load_image(image, encoder.pictures)
    size, shown = encoder.picture_size, " x ".join(map(str, pixels.shape))
    if pixels.dtype != torch.uint8 or pixels.shape != (1, 3, size, size):
        raise WrongUse(
            f"the image is {str(pixels.dtype).removeprefix('torch.')} {shown}, and this model takes uint8 "
            f"1 x 3 x {size} x {size}: load it with load_image(path, encoder.pictures)."
        )
    modes = encoder.training, decoder.training
    captioner = TorchCaptioner(encoder, decoder, vocab, encoder.pictures)
    try:
        return captioner.caption_pixels(pixels.permute(0, 2, 3, 1).cpu().numpy(), options)[0]
    finally:
        encoder.train(modes[0])
        decoder.train(modes[1])


def visualize_attention(
    image: Source, caption: Caption, path: str | Path | None = None, pictures: PictureOptions | None = None
) -> Image.Image:
    """Draws the picture, and for every word of its caption where the model looked.

    Args:
        image: the picture that was captioned, as a path, bytes, an open file, or a picture of Pillow's.
        caption: what `generate_caption` or `beam_search_caption` said of it.
        path: file for the figure (.png, .jpg, .webp); without one it is only returned.
        pictures: how the model saw it, `encoder.pictures`, so that maps lie where they belong; stretched by default.

    Raises:
        Problem: the picture cannot be read, no font here has the caption's characters, or the file cannot be written.
        WrongUse: the file's name has another ending.
    """
    options = pictures or PictureOptions()
    picture = open_picture(image, replace(options, picture_size=max(224, options.picture_size)))
    seen = shape(picture, options)[1]
    figure = attention_figure(picture, caption.words, caption.attention, seen.box, title=caption.text)
    if path is not None:
        try:
            with disk_sentences(Path(path)), written_whole(Path(path)) as file:
                figure.save(file, Image.registered_extensions().get(Path(path).suffix.lower()))
        except (KeyError, ValueError):
            raise WrongUse(f"{path} is of no kind that a figure can be written as: name a .png, .jpg or .webp.") from None
    return figure


# ------------------------------------------------------------------------------------------------------------- training


def clip_gradients(model: nn.Module | torch.optim.Optimizer, max_norm: float = 5.0) -> float:
    """Scales the gradients down so that their norm, all together, is at most `max_norm`; call it before `optimizer.step()`.

    Args:
        model: a model, or the optimiser of its weights.

    Returns:
        The norm before.

    Raises:
        WrongUse: `max_norm` is not above 0.
    """
    if not max_norm > 0:
        raise WrongUse(f"max_norm is {max_norm}; it must be above 0.")
    if isinstance(model, nn.Module):
        return float(nn.utils.clip_grad_norm_(model.parameters(), max_norm))
    return float(nn.utils.clip_grad_norm_([weight for group in model.param_groups for weight in group["params"]], max_norm))


def adjust_learning_rate(optimizer: torch.optim.Optimizer, factor: float) -> list[float]:
    """Multiplies the learning rate of every group of the optimiser by `factor`, 0.8 for instance.

    Returns:
        The new rates.

    Raises:
        WrongUse: `factor` is not above 0.
    """
    if not factor > 0:
        raise WrongUse(f"factor is {factor}; it must be above 0.")
    for group in optimizer.param_groups:
        group["lr"] *= factor
        if "base_rate" in group:  # what showtell's schedules start from
            group["base_rate"] *= factor
    return [group["lr"] for group in optimizer.param_groups]


def accuracy(scores: Tensor, targets: Tensor, k: int = 1) -> float:
    """The share of words that are among the `k` with the highest scores; 0..1.

    Args:
        scores: ... x V, logits or log-probabilities.
        targets: ..., the right words; where it is `<pad>` (0), nothing is counted.

    Raises:
        WrongUse: the shapes do not go together, there is no word to count, or `k` is out of range.
    """
    if scores.shape[:-1] != targets.shape:
        raise WrongUse(f"scores are {tuple(scores.shape)} and targets {tuple(targets.shape)}; they must be ... x V and ... .")
    if not 1 <= k <= scores.shape[-1]:
        raise WrongUse(f"k is {k}; it must lie from 1 to the {scores.shape[-1]} words.")
    real = targets != PAD
    if not real.any():
        raise WrongUse("targets hold no word, only <pad>.")
    right = (scores[real].topk(k, dim=-1).indices == targets[real].unsqueeze(-1)).any(-1)
    return float(right.float().mean())
