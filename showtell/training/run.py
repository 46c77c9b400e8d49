"""A training run from settings to `best_model.pt`: reads the data, builds the model, and hands both to the loop."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import set_seed
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from showtell.data.batches import BatchOrder, CaptionedPictures, PictureSource, SomeCaptions
from showtell.data.options import DataOptions
from showtell.data.readers import read_records
from showtell.data.records import Record
from showtell.data.splits import Splits, split_records
from showtell.errors import WrongUse, first_line
from showtell.model.artefact import load_artefact
from showtell.model.decoder import Decoder
from showtell.model.device import has_fast_bf16, resolve_device
from showtell.model.encoder import Encoder, build_encoder
from showtell.model.options import DecoderOptions, EncoderOptions
from showtell.pictures import AugmentOptions, PictureOptions
from showtell.training.checkpoint import begin, check_folder, load_checkpoint_state, precision_of, restore
from showtell.training.features import cached_features
from showtell.training.free_running import FreeRunning
from showtell.training.log import Log, say
from showtell.training.loop import MONITORED, fit
from showtell.training.loss import TrainingModel
from showtell.training.optimisation import EarlyStopping, Schedule, build_optimizer
from showtell.training.options import TrainingOptions
from showtell.training.state import Feed, Run
from showtell.vocabulary import Vocabulary, VocabularyOptions, build_vocabulary, captions_hash, load_vocab, save_vocab


def train(
    *,
    data: DataOptions,
    vocabulary: VocabularyOptions,
    pictures: PictureOptions,
    augmentation: AugmentOptions,
    encoder: EncoderOptions,
    decoder: DecoderOptions,
    options: TrainingOptions,
    settings: dict[str, Any],
) -> Path:
    """Trains a captioner and returns the path of the best model.

    Args:
        data, vocabulary, pictures, augmentation, encoder, decoder, options: the rooms' options.
        settings: all of them as plain data by room, to be saved with the run.

    Raises:
        WrongUse: the folder holds another run, or the vocabulary belongs to other captions.
        Problem: no data, no weights, disk full, a loss that is not finite; Interrupted after Ctrl-C or SIGTERM.
    """
    folder, started = options.output_dir, time.monotonic()
    checkpoint = None
    if check_folder(folder, settings, options.resume, options.overwrite):
        checkpoint = load_checkpoint_state(folder / "last_model.pt")
    accelerator = build_accelerator(options, checkpoint["checkpoint"] if checkpoint else None)
    quiet = options.quiet or not accelerator.is_main_process

    splits = split_records(read_records(data), data, options.seed)
    with accelerator.main_process_first():
        words = load_or_build_vocabulary(options.vocab, splits.train, vocabulary)
    say(
        f"{len(splits.train):,} pictures to train on, {len(splits.val):,} to validate on; {len(words):,} words "
        f"({options.vocab}); on {accelerator.device} in {precision_of(accelerator)}",
        quiet,
    )

    set_seed(options.seed)
    eyes, mouth = build_model(encoder, decoder, pictures, words, options.pretrained_path)
    with accelerator.main_process_first():
        training, validation = sources(splits, words, eyes, pictures, augmentation, options, data.workers, accelerator)
    cached = not isinstance(training, CaptionedPictures)
    if options.captions_per_picture:
        training = SomeCaptions(training, options.captions_per_picture, options.seed)
    model = TrainingModel(
        None if cached and eyes.frozen else eyes, mouth, eyes.grid_shape.copies, options.label_smoothing, options.attention_lambda
    )
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(options.ema), use_buffers=True) if options.ema else None
    prepared, optimizer = accelerator.prepare(model, build_optimizer(model.encoder, mouth, options))
    processes = accelerator.process_index, accelerator.num_processes
    order = BatchOrder(len(training), options.batch_size, options.seed, *processes)
    workers = 0 if cached else data.workers  # a cached grid is there at once
    free_running = None
    if options.scored_pictures:
        free_running = FreeRunning(validation, splits.val, options.scored_pictures, words, options.batch_size, workers)
    at = checkpoint["checkpoint"]["position"] if checkpoint else {"step": 0, "epoch": 0}
    run = Run(
        options, accelerator, prepared, model, average.to(accelerator.device) if average else None, optimizer,
        Schedule(options.schedule, options.warmup, options.epochs * -(-order.batches // options.accumulate)),
        EarlyStopping(options.early_stop_patience, options.min_delta),
        Feed(training, order, workers),
        Feed(validation, BatchOrder(len(validation), options.batch_size, None, *processes), workers),
        Log(folder, at["step"], at["epoch"], accelerator.is_main_process),
        eyes, words, pictures, free_running, str(data.annotations or data.data),
    )  # fmt: skip
    if checkpoint:
        restore(run, checkpoint)
        say(f"going on at epoch {run.position.epoch + 1}, step {run.position.step}", quiet)
    elif accelerator.is_main_process:
        begin(folder, settings)

    try:
        why = fit(run)
    finally:
        run.log.close()
    best, minutes = folder / "best_model.pt", (time.monotonic() - started) / 60
    say(f"Training ended after {minutes:.1f} minutes: {why}.", quiet)
    if best.is_file():
        what = MONITORED[options.monitor]
        say(f"Best {what.removeprefix('the ')} {abs(run.stopping.best):.3f}, in {best}.", quiet)
        say(f"Next: showtell caption --model {best} YOUR_PICTURES --attention figures", quiet)
    return best


def build_accelerator(options: TrainingOptions, checkpoint: dict[str, Any] | None = None) -> Accelerator:
    """Device, precision and processes, by Hugging Face Accelerate: `accelerate launch` and `torchrun` need nothing more.

    A run that goes on keeps the precision that `auto` once chose: measured again, it might come out otherwise.
    """
    AcceleratorState._reset_state(reset_partial_state=True)  # a second run in one process may want another device
    device = resolve_device(options.device)
    precision = options.precision
    if precision == "auto" and checkpoint and checkpoint["device"] == device.type:
        precision = checkpoint["precision"]
    elif precision == "auto":
        precision = "bf16" if has_fast_bf16(device) else "float32"
    return Accelerator(cpu=device.type == "cpu", mixed_precision="bf16" if precision == "bf16" else "no")


def load_or_build_vocabulary(path: Path, records: Sequence[Record], options: VocabularyOptions) -> Vocabulary:
    """The vocabulary of the training captions: from its file, which must have come from them, else built and saved there.

    Raises:
        WrongUse: the file came from other captions or other options.
    """
    captions = [caption for record in records for caption in record.captions]
    if path.is_file():
        vocabulary = load_vocab(path)
        vocabulary.check_captions(captions_hash(captions), path)
        vocabulary.check_options(options, path)
        return vocabulary
    vocabulary = build_vocabulary(captions, options)
    save_vocab(vocabulary, path)
    return vocabulary


def build_model(
    encoder: EncoderOptions, decoder: DecoderOptions, pictures: PictureOptions, words: Vocabulary, pretrained: Path | None
) -> tuple[Encoder, Decoder]:
    """Encoder and decoder as the options describe them, with fresh weights or with those of a model file.

    Raises:
        WrongUse: the model has other words, or its weights are for another architecture than the options describe.
        Problem: there is no such model, or no such weights.
    """
    if pretrained is None:
        eyes = build_encoder(encoder, pictures.picture_size)
        return eyes, Decoder(decoder, len(words), eyes.channels)
    artefact = load_artefact(pretrained)
    if artefact.vocabulary.words != words.words:
        raise WrongUse(
            f"{pretrained} has other words than these captions: train on the captions it was made from, or start anew."
        )
    theirs = artefact.encoder_options  # how its pixels are normalised and where its strides are is not for the settings to say
    options = replace(encoder, stride_in_1x1=theirs.stride_in_1x1, pixel_mean=theirs.pixel_mean, pixel_std=theirs.pixel_std)
    eyes = Encoder(options, pictures.picture_size)
    mouth = Decoder(decoder, len(words), eyes.channels)
    try:
        eyes.load_state_dict(artefact.encoder)
        mouth.load_state_dict(artefact.decoder)
    except RuntimeError as error:
        raise WrongUse(
            f"{pretrained} is a model of another architecture than the settings describe ({first_line(error)}): "
            "give the encoder and decoder settings that it was trained with."
        ) from None
    return eyes, mouth


def sources(
    splits: Splits,
    words: Vocabulary,
    encoder: Encoder,
    pictures: PictureOptions,
    augmentation: AugmentOptions,
    options: TrainingOptions,
    workers: int,
    accelerator: Accelerator,
) -> tuple[PictureSource, PictureSource]:
    """Training and validation pictures: as cached grids or maps where the encoder is frozen as far, else as pixels.

    Raises:
        WrongUse: the encoder is to be cached up to what trains, and has no such place.
    """
    if options.cache_maps and not (encoder.frozen or encoder.can_be_cut):
        raise WrongUse(
            f"the encoder {encoder.options.encoder} cannot be cut before what trains, so cache_maps must be off: or use a ResNet "
            "with its first groups frozen (unfrozen_groups)."
        )
    if options.cache_features and (encoder.frozen or options.cache_maps):
        quiet = options.quiet or not accelerator.is_main_process
        training, validation = (
            cached_features(
                records, words, encoder, pictures, augmentation, views, options.seed,
                device=accelerator.device, bf16=precision_of(accelerator) == "bf16", workers=workers, quiet=quiet,
            )
            for records, views in ((splits.train, options.cache_views), (splits.val, 1))
        )  # fmt: skip
        return training, validation
    return (
        CaptionedPictures(splits.train, words, pictures, augmentation, options.seed),
        CaptionedPictures(splits.val, words, pictures),
    )
