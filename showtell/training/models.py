"""Where the words, the encoder and the decoder of a run come from: the captions and the options, or a model file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from showtell.data.records import Record
from showtell.errors import NOTHING_TO_FINETUNE, WrongUse, first_line
from showtell.model.artefact import Artefact
from showtell.model.decoder import Decoder
from showtell.model.encoder import Encoder, build_encoder
from showtell.model.hub import load_model
from showtell.model.transfer import move_vocabulary, use_word_vectors
from showtell.training.options import WordsFrom
from showtell.training.plan import Plan
from showtell.vocabulary import SPECIALS, Vocabulary, VocabularyOptions, build_vocabulary, captions_hash, load_vocab

SHAPING = (
    "encoder", "grid", "embed_size", "hidden_size", "attention_dim", "grid_size", "word_query", "deep_output", "tied_embedding",
)  # fmt: skip
"""Settings that say which weights there are, and of which shapes."""


@dataclass(frozen=True)
class Start:
    """What a run begins with."""

    encoder: Encoder
    decoder: Decoder
    vocabulary: Vocabulary
    notes: tuple[str, ...] = ()
    """What there is to say of it."""
    before: tuple[str, ...] = ()
    """What its weights went through before, a sentence for each training."""


def new_start(records: Sequence[Record], plan: Plan) -> Start:
    """The words of the training captions, and a model as the options describe it: new, or with the weights of a model file.

    Nothing is written: a run that is refused leaves no vocabulary behind.

    Raises:
        WrongUse: the vocabulary file or the model has other words, or the model another architecture.
        Problem: there are no such weights.
    """
    options = plan.training
    words = load_or_build_vocabulary(options.vocab, records, plan.vocabulary)
    before: tuple[str, ...] = ()
    if options.pretrained_path is None:
        encoder = build_encoder(plan.encoder, plan.pictures.picture_size)
        decoder = Decoder(plan.decoder, len(words), encoder.channels)
    else:
        artefact = load_model(options.pretrained_path)
        if artefact.vocabulary.words != words.words:
            raise WrongUse(
                f"{options.pretrained_path} has other words than these captions: fine-tune it (showtell finetune), train on the "
                "captions it was made from, or start anew."
            )
        encoder, decoder = loaded_model(artefact, plan)
        before = trainings(artefact.training)
    return Start(encoder, decoder, words, _with_word_vectors(decoder, words, options.word_vectors), before)


def finetuning_start(records: Sequence[Record], plan: Plan, words_from: WordsFrom) -> Start:
    """A model from a file, with the words that the new captions need; words that it knew keep what it learnt of them.

    Raises:
        WrongUse: the settings describe another architecture, or the captions have no words.
        Problem: there is no such model.
    """
    options = plan.training
    if options.pretrained_path is None:
        raise WrongUse(NOTHING_TO_FINETUNE)
    artefact = load_model(options.pretrained_path)
    own = artefact.vocabulary
    if options.vocab is not None:
        artefact.check_own(options.vocab, options.pretrained_path)
    encoder, decoder = loaded_model(artefact, plan)
    words = choose_words(own, [caption for record in records for caption in record.captions], plan.vocabulary, words_from)
    if words is own:
        notes: tuple[str, ...] = (f"The model's own {len(own) - len(SPECIALS):,} words serve for these captions.",)
        if options.word_vectors is not None:
            notes += (f"None of them is new, so {options.word_vectors} is not read.",)
    else:
        decoder, kept = move_vocabulary(decoder, own, words)
        count = len(words) - len(SPECIALS)
        notes = (f"Of {count:,} words, {kept:,} keep what the model knows of them, {count - kept:,} are new to it.",)
        if kept < count:
            notes += _with_word_vectors(decoder, words, options.word_vectors, own)
    return Start(encoder, decoder, words, notes, trainings(artefact.training))


def trainings(told: Mapping[str, Any]) -> tuple[str, ...]:
    """What a model went through, the first training first; whoever trains it on keeps that in the model file.

    Such as "12 epochs (2,256 steps) on 6,000 pictures of captions_en.json"; nothing, where the model does not tell.

    Args:
        told: what the model file says of its training.
    """
    try:
        data = Path(told["data"]).name  # where it lay is nobody's business
        last = f"{told['epochs']} epochs ({told['steps']:,} steps) on {told['training_pictures']:,} pictures of {data}"
        own = told.get("settings", {}).get("training", {}).get("self_critical")
        return *told.get("before", ()), last + (f", from {own} captions of its own of each" if own else "")
    except (KeyError, TypeError, ValueError, AttributeError):  # another program's
        return ()


def choose_words(own: Vocabulary, captions: Sequence[str], options: VocabularyOptions, words_from: WordsFrom) -> Vocabulary:
    """The vocabulary of a fine-tuned model: its own, that of the new captions, or both.

    Args:
        own: the model's.
        captions: of the new training pictures.
        words_from: `model`, `data`, `both`; `auto` takes the model's own where it has every word of the captions, both where it
            has most of them (a model that went on with few captions would else lose the words that these happen to lack), and
            else those of the data: another language.

    Raises:
        WrongUse: the captions have no frequent word, or words of two tokenisers would be mixed.
    """
    same = options.tokenizer == own.tokenizer
    if words_from in ("model", "both") and not same:
        raise WrongUse(
            f"the model's words come from the {own.tokenizer} tokenizer and these from {options.tokenizer}: take words from data."
        )
    if words_from == "model":
        return own
    new = build_vocabulary(captions, options)
    known = set(own.words)
    unknown = tuple(word for word in new.words if word not in known)
    if words_from == "auto" and same and 2 * len(unknown) < len(new) - len(SPECIALS):
        words_from = "both"
    if words_from == "both":
        return replace(new, words=(*own.words, *unknown), written={**new.written, **own.written}) if unknown else own
    return new


def load_or_build_vocabulary(path: Path | None, records: Sequence[Record], options: VocabularyOptions) -> Vocabulary:
    """The vocabulary of the training captions: from its file, which must have come from them, else built.

    Raises:
        WrongUse: the file came from other captions or other options.
    """
    captions = [caption for record in records for caption in record.captions]
    if path is not None and path.is_file():
        vocabulary = load_vocab(path)
        vocabulary.check_captions(captions_hash(captions), path)
        vocabulary.check_options(options, path)
        return vocabulary
    return build_vocabulary(captions, options)


def loaded_model(artefact: Artefact, plan: Plan) -> tuple[Encoder, Decoder]:
    """The encoder and decoder of the model that the plan starts from, with what the plan says of dropout and of what trains.

    Raises:
        WrongUse: the weights are for another architecture than the plan describes.
    """
    path = plan.training.pretrained_path
    assert path is not None
    # How its pixels are normalised, where its strides are and by what its grid is multiplied is not for the settings to say.
    theirs, scale = artefact.encoder_options, artefact.decoder_options.grid_scale
    options = replace(plan.encoder, stride_in_1x1=theirs.stride_in_1x1, pixel_mean=theirs.pixel_mean, pixel_std=theirs.pixel_std)
    artefact.check_size(path)
    try:
        encoder = artefact.build_encoder(options, plan.pictures.picture_size)
        decoder = artefact.build_decoder(replace(plan.decoder, grid_scale=scale), encoder.channels)
    except RuntimeError as error:
        differing = _differing(artefact, plan) or first_line(error)
        raise WrongUse(
            f"{path} is a model of another architecture than the settings describe ({differing}): "
            "leave these settings out, or name a model that has them."
        ) from None
    return encoder, decoder


def _differing(artefact: Artefact, plan: Plan) -> str:
    """Which settings that shape the weights are others than the model's."""
    theirs = asdict(artefact.encoder_options) | asdict(artefact.decoder_options)
    ours = asdict(plan.encoder) | asdict(plan.decoder)
    return ", ".join(
        f"{name} is {theirs[name]} in the model and {ours[name]} in the settings"
        for name in SHAPING
        if theirs[name] != ours[name]
    )


def _with_word_vectors(
    decoder: Decoder, words: Vocabulary, path: Path | None, spared: Vocabulary | None = None
) -> tuple[str, ...]:
    if path is None:
        return ()
    count = use_word_vectors(decoder, words, path, spared)
    return (f"{count:,} words have their vectors from {path}.",)
