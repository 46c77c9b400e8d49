"""A training run from settings to `best_model.pt`: reads the data, builds the model, and hands both to the loop."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from accelerate import Accelerator, PartialState
from accelerate.state import AcceleratorState
from accelerate.utils import set_seed
from torch.optim.swa_utils import AveragedModel

from showtell.data.batches import BatchOrder, CaptionedPictures, PictureSource, SomeCaptions
from showtell.data.readers import read_records
from showtell.data.records import Record
from showtell.data.splits import Splits, save_split_list, split_records
from showtell.errors import Problem, WrongUse, first_line, memory_sentence
from showtell.model.artefact import load_artefact, save_artefact
from showtell.model.device import has_fast_bf16, resolve_device
from showtell.model.encoder import Encoder
from showtell.model.transfer import model_info
from showtell.training.checkpoint import (
    BEST,
    LAST,
    SETTINGS,
    SPLIT_LIST,
    begin,
    check_folder,
    checkpoint_of,
    encoder_of,
    precision_of,
    restore,
    whole,
)
from showtell.training.features import cached_features
from showtell.training.free_running import FreeRunning
from showtell.training.log import Log, say
from showtell.training.loop import MONITORED, fit
from showtell.training.loss import TrainingModel
from showtell.training.models import Start, finetuning_start, new_start
from showtell.training.optimisation import EarlyStopping, Schedule, build_optimizer, moving_average
from showtell.training.options import FinetuningOptions, TrainingOptions
from showtell.training.plan import Plan
from showtell.training.self_critical import Reward, SelfCritical
from showtell.training.state import Feed, Run
from showtell.training.unfreezing import Unfreezing
from showtell.vocabulary import Vocabulary, save_vocab

OF_THE_MACHINE = ("output_dir", "vocab", "pretrained_path", "word_vectors", "device", "quiet", "checkpoint_minutes", "max_steps")
"""Settings of the training room that say nothing of how the model came about."""

ALL_DONE, SOME_SKIPPED = 0, 1


class Outcome(NamedTuple):
    """What came of a run."""

    model: Path
    """The best model."""
    status: int
    """Exit status: 1 where pictures could not be read (each was named), else 0; of several processes always 0, since what
    launched them takes anything else for a crash."""


def train(plan: Plan) -> Outcome:
    """Trains a captioner, and keeps its best model as `best_model.pt`.

    Raises:
        WrongUse: the folder holds another run, or the vocabulary belongs to other captions.
        Problem: no data, no weights, disk full, a loss that is not finite; Interrupted after Ctrl-C or SIGTERM.
    """
    outcome = _train(plan, lambda records: new_start(records, plan))
    if PartialState().is_main_process and outcome.model.is_file():
        say(f"Next: showtell caption --model {outcome.model} YOUR_PICTURES --attention figures", plan.training.quiet)
    return outcome


def finetune(plan: Plan, finetuning: FinetuningOptions) -> Outcome:
    """Trains a model on, with words that suit the new captions, and keeps its best as `OUTPUT_NAME.pt`.

    Raises: as `train`; `plan.training.pretrained_path` names the model, and the run lies in `output_dir`/OUTPUT_NAME.
    """
    options = plan.training
    folder = options.output_dir / finetuning.output_name
    target = folder.with_name(f"{finetuning.output_name}.pt")
    goes_on = options.resume and (folder / SETTINGS).is_file()
    if target.exists() and not (goes_on or options.overwrite):
        raise WrongUse(
            f"{target} is there already: name another --output_name, go on with its run (--resume), or replace it (--overwrite)."
        )
    if options.pretrained_path is not None and os.path.realpath(options.pretrained_path) == os.path.realpath(target):
        raise WrongUse(f"{target} is the model that is to be trained on: name another --output_name or --output_dir.")
    plan = replace(plan, training=replace(options, output_dir=folder))
    outcome = _train(plan, lambda records: finetuning_start(records, plan, finetuning.words))
    if PartialState().is_main_process and outcome.model.is_file():
        save_artefact(load_artefact(outcome.model), target)
        say(f"The model is {target}. Next: showtell caption --model {target} YOUR_PICTURES", options.quiet)
    return outcome._replace(model=target)


def _train(plan: Plan, start: Callable[[Sequence[Record]], Start]) -> Outcome:
    """A run in `output_dir`, with the model and the words that `start` makes of the training records."""
    options = plan.training
    folder, started = options.output_dir, time.monotonic()
    checkpoint = None
    if check_folder(folder, plan.settings, options.resume, options.overwrite):
        checkpoint = checkpoint_of(folder)
    accelerator = build_accelerator(options, checkpoint["checkpoint"] if checkpoint else None)
    quiet = options.quiet or not accelerator.is_main_process

    splits = split_records(read_records(plan.data), plan.data, options.seed)
    set_seed(options.seed)
    too_large = (
        "a model of these sizes does not fit into memory: lower --embed_size, --hidden_size or --attention_dim, or name a "
        "smaller --encoder."
    )
    with accelerator.main_process_first(), memory_sentence(too_large):
        begun = start(splits.train)
    if checkpoint:  # its file may hold another by now
        with whole(folder / LAST):
            begun.encoder.load_state_dict(encoder_of(checkpoint))
    say(
        f"{len(splits.train):,} pictures to train on, {len(splits.val):,} to validate on; {len(begun.vocabulary):,} words; "
        f"on {accelerator.device} in {precision_of(accelerator)}",
        quiet,
    )
    if options.resume and not checkpoint:
        say(f"There is no checkpoint in {folder} to go on from: this run begins anew.", quiet)
    for note in begun.notes:
        say(note, quiet)
    at = checkpoint["checkpoint"]["position"] if checkpoint else {"step": 0, "epoch": 0}
    run = _build_run(begun, splits, plan, accelerator, at)
    if checkpoint:
        restore(run, checkpoint)
        say(f"going on at epoch {run.position.epoch + 1}, step {run.position.step}", quiet)
    if accelerator.is_main_process:  # all has been checked: from here on the disk is written to
        if options.vocab and not options.vocab.exists():
            save_vocab(begun.vocabulary, options.vocab)
        if not checkpoint:
            begin(folder, plan.settings)
        if splits.by_share and not (folder / SPLIT_LIST).exists():
            save_split_list(splits, folder / SPLIT_LIST)
    run.log.begin()

    run.unfreezing.begin(run.position.epoch)
    say(model_info(run.encoder, run.plain_model.decoder, run.optimizer), quiet)
    why = _fit(run)
    best, minutes = folder / BEST, (time.monotonic() - started) / 60
    say(f"Training ended after {minutes:.1f} minutes: {why}.", quiet)
    if best.is_file():
        what = MONITORED[options.monitor]
        say(f"Best {what.removeprefix('the ')} {abs(run.kept):.3f}, in {best}.", quiet)
    if run.named:
        say(f"Pictures that could not be read and were left out: {len(run.named):,} (each is named above).", quiet)
    accelerator.end_training()  # else a process may end while threads of its group still run, and abort
    return Outcome(best, SOME_SKIPPED if run.named and accelerator.num_processes == 1 else ALL_DONE)


def _fit(run: Run) -> str:
    """Trains until the run ends; returns why it did. The log is closed whatever happens.

    Raises:
        Problem: a batch does not fit into memory, or a worker was killed; and as `fit`.
    """
    too_large = (
        f"a batch of {run.options.batch_size} pictures with all their captions does not fit into memory: start anew "
        "(--overwrite) with a lower --batch_size, and with --accumulate so much higher, so that a step sees as many pictures "
        "as before; or with fewer --captions_per_picture."
    )
    try:
        with memory_sentence(too_large):
            return fit(run)
    except RuntimeError as error:
        if not str(error).startswith("DataLoader worker"):  # ... (pid 7) is killed by signal: Killed
            raise
        raise Problem(
            f"a process that opens pictures has died ({first_line(error)}), most often for want of memory: go on with "
            "--resume and fewer --workers."
        ) from error
    finally:
        run.log.close()


def _build_run(begun: Start, splits: Splits, plan: Plan, accelerator: Accelerator, at: dict[str, int]) -> Run:
    """The run before its next step: what it reads, what it trains, and how the weights will move.

    Args:
        begun, splits: model and records.
        at: the step and epoch at which it goes on.

    Raises:
        WrongUse: gradual unfreezing is asked of several processes, or of a group that the encoder does not have.
    """
    options, encoder, words = plan.training, begun.encoder, begun.vocabulary
    unfreezing = Unfreezing(encoder, options.unfreeze)
    if not encoder.frozen:
        encoder.backbone.forget_classes()
    if options.unfreeze and accelerator.num_processes > 1:
        raise WrongUse("unfreeze works with one process only, since the others are told at the start what trains.")
    with accelerator.main_process_first():
        training, validation = sources(splits, words, encoder, plan, accelerator)
    cached = not isinstance(training, CaptionedPictures)
    if options.captions_per_picture:
        training = SomeCaptions(training, options.captions_per_picture, options.seed)
    model = training_model(begun, splits.train, options, cached)
    average = AveragedModel(model, multi_avg_fn=moving_average(options.ema), use_buffers=True) if options.ema else None
    prepared, optimizer = accelerator.prepare(model, build_optimizer(model.encoder, begun.decoder, options))
    processes = accelerator.process_index, accelerator.num_processes
    order = BatchOrder(len(training), options.batch_size, options.seed, *processes)
    workers = 0 if cached else plan.workers  # a cached grid is there at once
    free_running = None
    if options.scored_pictures:
        free_running = FreeRunning(validation, splits.val, options.scored_pictures, words, options.batch_size, workers)
    return Run(
        options=options,
        accelerator=accelerator,
        model=prepared,
        plain_model=model,
        average=average.to(accelerator.device) if average else None,
        optimizer=optimizer,
        schedule=Schedule(options.schedule, options.warmup, options.epochs * -(-order.batches // options.accumulate)),
        stopping=EarlyStopping(options.early_stop_patience, options.min_delta),
        training=Feed(training, order, workers),
        validation=Feed(validation, BatchOrder(len(validation), options.batch_size, None, *processes), workers),
        log=Log(options.output_dir, at["step"], at["epoch"], accelerator.is_main_process),
        encoder=encoder,
        vocabulary=words,
        pictures=plan.pictures,
        free_running=free_running,
        data=str(plan.data.annotations or plan.data.data),
        fingerprint=splits.fingerprint,
        unfreezing=unfreezing,
        settings=_remembered(plan.settings),
        before=begun.before,
    )


def training_model(begun: Start, records: Sequence[Record], options: TrainingOptions, cached: bool) -> TrainingModel:
    """Encoder, decoder and loss; the encoder only where something of it is still to be computed in training."""
    encoder, decoder = begun.encoder, begun.decoder
    trained = None if cached and encoder.frozen else encoder
    if options.self_critical:
        return SelfCritical(trained, decoder, Reward(records, begun.vocabulary), options.self_critical)
    return TrainingModel(trained, decoder, encoder.grid_shape.copies, options.label_smoothing, options.attention_lambda)


def _remembered(settings: dict[str, Any]) -> dict[str, Any]:
    """What a model file keeps of the settings, by room, as defaults for fine-tuning it, beside its architecture."""
    training = {name: value for name, value in settings["training"].items() if name not in OF_THE_MACHINE}
    return {room: settings[room] for room in ("vocabulary", "augment")} | {"training": training}


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


def sources(
    splits: Splits, words: Vocabulary, encoder: Encoder, plan: Plan, accelerator: Accelerator
) -> tuple[PictureSource, PictureSource]:
    """Training and validation pictures: as cached grids or maps where the encoder is frozen as far, else as pixels.

    Raises:
        WrongUse: the encoder is to be cached up to what trains, and has no such place.
    """
    pictures, augment, options = plan.pictures, plan.augment, plan.training
    if options.cache_maps and not (encoder.frozen or encoder.can_be_cut):
        raise WrongUse(
            f"the encoder {encoder.options.encoder} cannot be cut before what trains, so cache_maps must be off: or use a ResNet "
            "with its first groups frozen (unfrozen_groups)."
        )
    if options.cache_features and (encoder.frozen or options.cache_maps):
        quiet = options.quiet or not accelerator.is_main_process
        training, validation = (
            cached_features(
                records, words, encoder, pictures, augment, views, options.seed,
                device=accelerator.device, bf16=precision_of(accelerator) == "bf16", workers=plan.workers, quiet=quiet,
            )
            for records, views in ((splits.train, options.cache_views), (splits.val, 1))
        )  # fmt: skip
        return training, validation
    return (
        CaptionedPictures(splits.train, words, pictures, augment, options.seed),
        CaptionedPictures(splits.val, words, pictures),
    )
