"""The training loop."""

from __future__ import annotations

import math
import time
from contextlib import nullcontext

import torch
from accelerate import Accelerator
from tqdm import tqdm

from showtell.data.batches import Batch
from showtell.errors import Problem
from showtell.model.artefact import save_artefact
from showtell.model.transfer import model_info, trained_rates
from showtell.training.checkpoint import BEST, save_checkpoint
from showtell.training.interruption import Interrupted, Interruption
from showtell.training.log import say
from showtell.training.options import Monitor
from showtell.training.state import Position, Run

MONITORED: dict[Monitor, str] = {"val_loss": "the validation loss", "cider": "CIDEr-D", "bleu4": "BLEU-4"}


def fit(run: Run) -> str:
    """Trains until the epochs are done, or the score no longer gets better; returns why it ended.

    Raises:
        Interrupted: Ctrl-C or SIGTERM; a checkpoint has been written.
        Problem: the loss is not finite; the last checkpoint stands as it was.
    """
    options = run.options
    with Interruption() as interruption:
        while run.position.epoch < options.epochs and not run.stopping.should_stop:
            started = time.monotonic()
            if run.steps_are_done or not train_epoch(run, interruption):
                if run.position.batch:  # neither stopping nor schedule hears of it: going on stays exact
                    keep_if_best(run, validate(run, time.monotonic() - started))
                    save_checkpoint(run)
                return f"it has made the {options.max_steps} steps that were asked for"
            score = validate(run, time.monotonic() - started)
            run.schedule.epoch_ended(run.stopping.observe(score))
            run.position = Position(epoch=run.position.epoch + 1, step=run.position.step)
            keep_if_best(run, score)
            save_checkpoint(run)
    if run.stopping.should_stop:
        return f"{MONITORED[options.monitor]} has not become better for {run.stopping.waited} epochs"
    return f"its {options.epochs} epochs are done"


def keep_if_best(run: Run, score: float) -> None:
    """Writes `best_model.pt`, unless what lies there has a score as good."""
    if score >= run.kept:
        return
    run.kept = score
    if run.accelerator.is_main_process:
        save_artefact(run.artefact(), run.options.output_dir / BEST)


def train_epoch(run: Run, interruption: Interruption) -> bool:
    """The rest of an epoch, from the position on; False if `max_steps` ended it."""
    options, accelerator, position = run.options, run.accelerator, run.position
    if run.unfreezing.begin(position.epoch):
        say(model_info(run.encoder, run.plain_model.decoder, run.optimizer), run.quiet)
    run.model.train()
    saved = time.monotonic()
    order = run.training.order
    batches = run.training.batches(position.epoch, position.batch)
    bar = tqdm(
        batches, f"epoch {position.epoch + 1}/{options.epochs}", order.batches, initial=position.batch, unit="batch",
        disable=run.quiet, leave=False,
    )  # fmt: skip
    for batch in bar:
        position.batch += 1
        name_skipped(run, batch)
        last_of_step = position.batch % options.accumulate == 0 or position.batch == order.batches
        if len(batch.pictures) or accelerator.num_processes > 1:  # the others wait for the gradients of this one too
            with nullcontext() if last_of_step else accelerator.no_sync(run.model):
                loss, tally = run.model(batch.to(accelerator.device))
                accelerator.backward(loss / order.group(position.batch - 1, options.accumulate))
            position.tallies.append(tally.stack().detach())
            if len(batch.pictures):
                run.log.step(position.step, loss.detach(), **run.plain_model.figures)
        if not last_of_step:
            continue

        run.schedule.set_rates(run.optimizer, position.step)
        if options.grad_clip:
            accelerator.clip_grad_norm_(run.model.parameters(), options.grad_clip)
        run.optimizer.step()
        run.optimizer.zero_grad()
        if run.average:
            run.average.update_parameters(run.plain_model)
        position.step += 1

        if position.step % 10 == 0:
            bar.set_postfix_str(f"loss {flushed_loss(run):.3f}")
        leaving, due = agreed(accelerator, interruption.wanted, time.monotonic() - saved > 60 * options.checkpoint_minutes)
        if run.steps_are_done or leaving or due:
            flushed_loss(run)
            check_weights(run)
            save_checkpoint(run)
            saved = time.monotonic()
        if leaving:
            raise Interrupted(
                f"stopped at step {position.step}, saved in {options.output_dir}: go on with the same command and --resume."
            )
        if run.steps_are_done:
            return False
    flushed_loss(run)
    return True


def agreed(accelerator: Accelerator, *wishes: bool) -> list[bool]:
    """What any of the processes wishes: saving and leaving are done by all of them, at the same step."""
    if accelerator.num_processes == 1:
        return list(wishes)
    wished = accelerator.reduce(torch.tensor(wishes, dtype=torch.float32, device=accelerator.device), "sum")
    return [bool(wish) for wish in wished.tolist()]


def flushed_loss(run: Run) -> float:
    """Writes the losses that wait, adds up the tallies that do, and gives the mean of the epoch so far.

    Raises:
        Problem: one of them is not finite.
    """
    broken = run.log.flush()
    if broken is not None:
        raise not_finite(run, f"the loss became {broken}")
    words, cross_entropy, *_ = run.position.settled()
    return float(cross_entropy / words.clamp(min=1))


def check_weights(run: Run) -> None:
    """See that the last step left numbers that are worth a checkpoint; its loss was taken before it.

    Raises:
        Problem: a weight is not finite.
    """
    for name, parameter in run.plain_model.named_parameters():
        if parameter.requires_grad and not parameter.isfinite().all():
            raise not_finite(run, f"the weights of {name} became infinite")


def not_finite(run: Run, what: str) -> Problem:
    """The sentence for numbers that ran away."""
    return Problem(
        f"{what} near step {run.position.step}, so training stopped; the checkpoints in {run.options.output_dir} are from before "
        "that: start anew with a lower --learning_rate or a smaller --grad_clip."
    )


@torch.no_grad()
def validate(run: Run, training_seconds: float) -> float:
    """Scores the model on the validation pictures, and logs the scores with the epoch's training figures.

    Mean cross-entropy a word, fed the right words; then CIDEr-D and BLEU-4 of what it says by itself of some of them.

    Args:
        training_seconds: that the epoch took, for the log; of a resumed epoch, since it went on.

    Returns:
        The score that the run follows; lower is better.

    Raises:
        Problem: it is not finite, or no picture could be read.
    """
    accelerator, position = run.accelerator, run.position
    model = run.validated_model.eval()
    sums = torch.zeros(4, dtype=torch.float64)
    started = time.monotonic()
    for batch in tqdm(
        run.validation.batches(0), "validating", run.validation.order.batches, unit="batch",
        disable=run.quiet, leave=False,
    ):  # fmt: skip
        name_skipped(run, batch)
        if len(batch.pictures):
            with accelerator.autocast():
                _, tally = model(batch.to(accelerator.device))
            sums += tally.stack().cpu()
    figures: dict[str, float] = {}
    for split, split_sums in (("train", position.sums), ("val", sums)):
        words, *totals = accelerator.reduce(split_sums.float().to(accelerator.device), "sum").tolist()
        if not words:
            raise Problem(f"no picture of the {split} split could be read: look at the first messages above.")
        figures |= {f"{split}_{name}": total / words for name, total in zip(("loss", "top1", "top5"), totals, strict=True)}
    finite = math.isfinite(figures["val_loss"])
    if finite and run.free_running:
        figures |= run.free_running.scores(model, accelerator)
    run.log.event(
        "epoch", position.step - 1, epoch=position.epoch + 1, training_seconds=training_seconds,
        validating_seconds=time.monotonic() - started,
        rates=trained_rates(run.encoder, run.plain_model.decoder, run.optimizer), **figures,
    )  # fmt: skip
    if not finite:
        raise not_finite(run, f"the validation loss became {figures['val_loss']}")
    score = followed(run.options.monitor, figures)
    star = "  best so far" if score < run.kept else ""
    free = "   CIDEr-D {val_cider:.3f}, BLEU-4 {val_bleu4:.3f}".format(**figures) if "val_cider" in figures else ""
    say(
        f"epoch {position.epoch + 1:3d}   train loss {figures['train_loss']:.3f}   val loss {figures['val_loss']:.3f}   "
        f"val words right at once {figures['val_top1']:.1%}, in five {figures['val_top5']:.1%}{free}{star}",
        run.quiet,
    )
    return score


def followed(monitor: Monitor, figures: dict[str, float]) -> float:
    """The score that the best model and early stopping follow, the lower the better.

    Raises:
        Problem: it could not be measured.
    """
    if monitor == "val_loss":
        return figures["val_loss"]
    if f"val_{monitor}" not in figures:
        raise Problem("none of the validation pictures that are captioned could be read: look at the first messages above.")
    return -figures[f"val_{monitor}"]


def name_skipped(run: Run, batch: Batch) -> None:
    """Names each picture that could not be read, once."""
    for sentence in batch.skipped:
        if sentence not in run.named:
            run.named.add(sentence)
            say(f"skipped: {sentence}")
