"""What a trained model needs to learn something else: parts that stand still, and a decoder with other words."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from math import isfinite
from pathlib import Path

import torch
from torch import nn

from showtell.errors import Problem, WrongUse, disk_sentences
from showtell.model.decoder import Decoder
from showtell.model.device import resolve_device
from showtell.model.encoder import Encoder
from showtell.vocabulary import SPECIALS, Vocabulary

# ------------------------------------------------------------------------------------------------- freezing and counting


def freeze_model(model: nn.Module) -> None:
    """No weight of the model trains; an encoder's BatchNorm statistics stand still as well."""
    if isinstance(model, Encoder):
        model.freeze()
    else:
        model.requires_grad_(False)


def unfreeze_model(model: nn.Module, groups: int | None = None) -> None:
    """Every weight of the model trains; of an encoder, with `groups`, its last so many `layer_groups()` and no others.

    Raises:
        WrongUse: `groups` is given for a model without layer groups, or is negative.
    """
    if isinstance(model, Encoder):
        count = len(model.layer_groups()) if groups is None else groups
        if count < 0:
            raise WrongUse(f"groups is {groups}; it cannot be negative.")
        model.freeze()
        model.unfreeze(count)
    elif groups is not None:
        raise WrongUse(f"a {type(model).__name__} has no layer groups: unfreeze all of it, or give an encoder.")
    else:
        model.requires_grad_(True)


def count_parameters(model: nn.Module, trainable_only: bool = False) -> int:
    """How many weights a model has (BatchNorm's statistics are none), or how many of them train."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad or not trainable_only)


def get_trainable_params(model: nn.Module) -> list[nn.Parameter]:
    """The weights that train, for an optimiser."""
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def parts(encoder: Encoder, decoder: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The parts of a model by name, from the picture to the words: layer groups of the encoder, layers of the decoder."""
    for name, group in encoder.layer_groups().items():
        yield f"encoder.{name}", group
    for name, layer in decoder.named_children():
        if next(layer.parameters(), None) is not None:
            yield f"decoder.{name}", layer


def trained_rates(encoder: Encoder, decoder: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, list[float]]:
    """The learning rates that the parts have in the optimiser now; parts of which no weight trains are left out."""
    rates = _rates(optimizer)
    found = {}
    for name, part in parts(encoder, decoder):
        if of_part := sorted({rates[id(w)] for w in get_trainable_params(part) if id(w) in rates}):
            found[name] = of_part
    return found


def _rates(optimizer: torch.optim.Optimizer) -> dict[int, float]:
    return {id(weight): group["lr"] for group in optimizer.param_groups for weight in group["params"]}


def model_info(encoder: Encoder, decoder: nn.Module, optimizer: torch.optim.Optimizer | None = None) -> str:
    """A table of the parts, their weights, how many of those train, and, read from the optimiser, at which rates now.

    A weight that would train but is in no group of the optimiser counts as standing still.
    """
    rates = _rates(optimizer) if optimizer else {}
    at = trained_rates(encoder, decoder, optimizer) if optimizer else {}
    lines = [("part", "weights", "trainable", "rate" if optimizer else "")]
    total = trained = 0
    for name, part in parts(encoder, decoder):
        weights = count_parameters(part)
        trainable = sum(w.numel() for w in get_trainable_params(part) if optimizer is None or id(w) in rates)
        total, trained = total + weights, trained + trainable
        shown = ", ".join(f"{rate:.3g}" for rate in at.get(name, ()))
        lines.append((name, f"{weights:,}", f"{trainable:,}", shown or ("-" if optimizer else "")))
    lines.append(("all", f"{total:,}", f"{trained:,}", ""))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        f"{name:<{widths[0]}}  {weights:>{widths[1]}}  {moving:>{widths[2]}}  {rate:>{widths[3]}}".rstrip()
        for name, weights, moving, rate in lines
    )


# ------------------------------------------------------------------------------------------------------------ other words


def adapt_vocab_size(decoder: Decoder, new_vocab_size: int, device: str | torch.device) -> Decoder:
    """The decoder with room for another number of words.

    It knows no words: the rows of the four special tokens are kept, all others are new, even those of words that both
    vocabularies have. `move_vocabulary`, which takes both, keeps them.

    Args:
        decoder: stays as it is.
        new_vocab_size: V, the special tokens included.
        device: where the new one comes to lie; "auto" too.

    Returns:
        A new decoder, with the other weights of the old one.

    Raises:
        WrongUse: there would be no word beside the special tokens, or the device is not on this machine.
    """
    if new_vocab_size <= len(SPECIALS):
        raise WrongUse(f"new_vocab_size is {new_vocab_size}; the special tokens alone are {len(SPECIALS)}.")
    where = resolve_device(device) if isinstance(device, str) else device
    return _with_rows(decoder, range(len(SPECIALS)), range(len(SPECIALS)), new_vocab_size).to(where)


def move_vocabulary(decoder: Decoder, old: Vocabulary, new: Vocabulary) -> tuple[Decoder, int]:
    """The decoder for another vocabulary: words that both have keep their rows of embedding and output layer.

    A new word's vector and its output row are drawn with mean and deviation of the trained ones. Output rows that were all alike
    would make every word equally likely, but then no gradient would reach the decoder behind them, and it would learn more slowly
    than a new one does.

    Args:
        decoder: for `old`; stays as it is.

    Returns:
        A new decoder for `new`, on the same device, and how many words kept their rows (special tokens not counted).

    Raises:
        WrongUse: the decoder is not for `old`.
    """
    if len(old) != decoder.vocabulary_size:
        raise WrongUse(f"the vocabulary has {len(old)} words, but the decoder is for {decoder.vocabulary_size}: give its own.")
    at = {word: number for number, word in enumerate(old.words)}
    common = [(at[word], number) for number, word in enumerate(new.words) if word in at]
    moved = _with_rows(decoder, [source for source, _ in common], [target for _, target in common], len(new))
    return moved, len(common) - len(SPECIALS)


@torch.no_grad()
def _with_rows(decoder: Decoder, sources: Sequence[int], targets: Sequence[int], size: int) -> Decoder:
    """A decoder for `size` words whose rows `targets` are the old rows `sources`, and whose other rows are new."""
    adapted = type(decoder)(decoder.options, size, decoder.channels).to(decoder.embedding.weight.device)
    state = decoder.state_dict()
    for name, rows in adapted.state_dict().items():
        if name in ("embedding.weight", "output.vocabulary.weight", "output.vocabulary.bias"):
            trained = state[name][len(SPECIALS) :] if len(state[name]) > len(SPECIALS) else state[name]
            rows.copy_(trained.mean(0) + torch.randn_like(rows) * trained.std(0, correction=0))
            rows[list(targets)] = state[name][list(sources)]
            state[name] = rows
    adapted.load_state_dict(state)
    return adapted.train(decoder.training)


# ----------------------------------------------------------------------------------------------------------- word vectors


@torch.no_grad()
def use_word_vectors(decoder: Decoder, vocabulary: Vocabulary, path: Path, spared: Vocabulary | None = None) -> int:
    """Takes word vectors from a text file, as GloVe and fastText publish them: a word and its numbers on each line.

    They are scaled to the deviation of the vectors that are there. A first line with two whole numbers (fastText's) is skipped.

    Args:
        decoder: for `vocabulary`; its embedding is changed.
        spared: words of this vocabulary keep what they have.

    Returns:
        How many words got their vector.

    Raises:
        Problem: the file cannot be read, or a line of it is no word with numbers.
        WrongUse: its vectors have another length than the decoder's, or it has none of the words.
    """
    embedding = decoder.embedding.weight
    wanted = {word: number for number, word in enumerate(vocabulary.words) if number >= len(SPECIALS)}
    for word in spared.words if spared else ():
        wanted.pop(word, None)
    found = {wanted[word]: vector for word, vector in _read_vectors(path, embedding.shape[1], wanted)}
    if not found:
        raise WrongUse(f"{path} has a vector for none of the {len(wanted)} words: take vectors of the captions' language.")
    rows = torch.tensor(list(found))
    vectors = torch.stack([torch.tensor(vector) for vector in found.values()]).to(embedding)
    scale = embedding[len(SPECIALS) :].std() / vectors.std().clamp(min=1e-12)
    embedding[rows.to(embedding.device)] = vectors * scale
    return len(found)


def _read_vectors(path: Path, length: int, wanted: Container[str]) -> Iterator[tuple[str, list[float]]]:
    """The wanted words and their vectors, a line at a time, since the files have gigabytes."""
    begun = False
    try:
        with disk_sentences(path, "read"), path.open(encoding="utf-8", errors="replace", newline="\n") as file:
            for number, line in enumerate(file, 1):
                fields = line.rstrip().split(" ")
                if number == 1 and len(fields) == 2 and all(field.isdecimal() for field in fields):
                    continue
                if not begun and len(fields) != length + 1:  # later lines may have words with spaces in them
                    raise WrongUse(
                        f"{path}, line {number}: the vectors have {len(fields) - 1} numbers, and the model's word vectors "
                        f"{length}: take others, or a model with that embed_size."
                    )
                begun, word = True, " ".join(fields[:-length])
                if word in wanted:
                    vector = [float(field) for field in fields[-length:]]
                    if not all(map(isfinite, vector)):
                        raise ValueError
                    yield word, vector
    except ValueError:
        raise Problem(f"{path}, line {number} is no word with {length} numbers: take a file in text format.") from None
