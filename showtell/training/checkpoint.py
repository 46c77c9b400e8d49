"""Checkpoints: a model file with all that a run needs to go on exactly where it stood."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import yaml
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor

from showtell.errors import Problem, WrongUse, first_line
from showtell.files import written_whole
from showtell.model.artefact import read_model_file, save_artefact
from showtell.training.log import LOG
from showtell.training.state import Position, Run

MAY_CHANGE = {
    "training.quiet", "training.device", "training.checkpoint_minutes", "training.max_steps", "training.early_stop_patience",
    "training.min_delta", "training.output_dir", "training.vocab", "data.workers",
}  # fmt: skip
"""Settings that may differ when a run goes on: they do not change what it computes, or only when it ends."""


LAST, BEST = "last_model.pt", "best_model.pt"
"""In a run's folder: its newest checkpoint, and the model with the best score so far."""
SETTINGS = "settings.yaml"
"""In a run's folder: what it was begun with."""
SPLIT_LIST = "split_list.json"
"""In a run's folder: which pictures were for validation, where the data do not say."""


def save_checkpoint(run: Run) -> None:
    """Writes `last_model.pt`: the model with the state of the run beside it. Every process must call it; the first one writes."""
    of_processes = gather_object([{"sums": run.position.sums, "random": _random_state()}])
    if not run.accelerator.is_main_process:
        return
    position = run.position
    state = {
        "model": run.plain_model.state_dict() if run.average else None,  # the artefact holds the average
        "average": run.average.state_dict() if run.average else None,
        "optimizer": run.optimizer.state_dict(),
        "schedule": run.schedule.state_dict(),
        "stopping": run.stopping.state_dict(),
        "kept": run.kept,
        "fingerprint": run.fingerprint,
        "position": {"epoch": position.epoch, "batch": position.batch, "step": position.step},
        "processes": of_processes,
        "device": run.accelerator.device.type,
        "precision": precision_of(run.accelerator),
    }
    save_artefact(run.artefact(), run.options.output_dir / LAST, checkpoint=state)


def load_checkpoint_state(path: Path) -> dict[str, Any]:
    """The whole content of a checkpoint.

    Raises:
        Problem: the file cannot be read or is a model without a run's state.
    """
    content = read_model_file(path, _instead(path))
    if "checkpoint" not in content:
        raise Problem(f"{path} is a model, not a checkpoint: it cannot be resumed; fine-tune it instead.")
    return content


def checkpoint_of(folder: Path) -> dict[str, Any]:
    """The checkpoint in a run's folder, with all that a run asks of it before it is restored.

    Raises:
        Problem: it cannot be read, is a model without a run's state, or lacks something.
    """
    path = folder / LAST
    content = load_checkpoint_state(path)
    with whole(path):
        state = content["checkpoint"]
        if lacking := {"processes", "model", "device", "precision"} - set(state) | {"vocabulary_checksum"} - set(content):
            raise ValueError(f"it lacks {', '.join(sorted(lacking))}")
        if not {"epoch", "batch", "step"} <= {name for name, value in state["position"].items() if type(value) is int}:
            raise ValueError("it does not say where the run stood")
    return content


@contextmanager
def whole(path: Path) -> Iterator[None]:
    """What fails in this block fails because the checkpoint at `path` lacks something, or is of another run.

    Raises:
        Problem: something did.
    """
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise Problem(f"{path} is damaged, or of another run ({first_line(error)}); {_instead(path)}.") from None


def _instead(path: Path) -> str:
    """What to do where a checkpoint is of no use."""
    best, start = path.with_name(BEST), "start anew (--overwrite)"
    if best.exists():
        start = f"start from its best model (--pretrained_path {best} with another --output_dir), or anew (--overwrite)"
    return f"this run cannot be gone on with: {start}"


def encoder_of(content: dict[str, Any]) -> Mapping[str, Tensor]:
    """The weights of the encoder that a run was training, or was seeing with; not their moving average."""
    model = content["checkpoint"]["model"] or {}
    trained = {name.removeprefix("encoder."): tensor for name, tensor in model.items() if name.startswith("encoder.")}
    return trained or content["encoder"]


def restore(run: Run, content: dict[str, Any]) -> None:
    """Puts the run back where the checkpoint was written, down to the random generators.

    Raises:
        WrongUse: the run has other words, pictures or captions, or another number of processes, than it had then.
        Problem: the checkpoint lacks something, or is another run's.
    """
    state = content["checkpoint"]
    if state.get("fingerprint", run.fingerprint) != run.fingerprint:
        raise WrongUse(
            f"the run in {run.options.output_dir} has other pictures or captions than it began with: bring those back, or start "
            "anew with --overwrite."
        )
    if content["vocabulary_checksum"] != run.vocabulary.checksum:
        raise WrongUse(
            f"the run in {run.options.output_dir} has other words than {run.options.vocab} now: bring back the vocabulary file "
            "and the captions that it began with, or start anew with --overwrite."
        )
    if len(state["processes"]) != run.accelerator.num_processes:
        raise WrongUse(
            f"the run in {run.options.output_dir} began with {len(state['processes'])} process(es), and now there are "
            f"{run.accelerator.num_processes}: launch as many, or start anew with --overwrite."
        )
    with whole(run.options.output_dir / LAST):
        model = state["model"] or {
            f"{part}.{name}": tensor
            for part in ("encoder", "decoder")
            if getattr(run.plain_model, part) is not None
            for name, tensor in content[part].items()
        }
        run.plain_model.load_state_dict(model)
        if run.average:
            run.average.load_state_dict(state["average"])
        run.optimizer.load_state_dict(state["optimizer"])
        run.schedule.load_state_dict(state["schedule"])
        run.stopping.load_state_dict(state["stopping"])
        run.kept = state.get("kept", run.stopping.best)
        own = state["processes"][run.accelerator.process_index]
        run.position = Position(**state["position"], sums=own["sums"])
        _set_random_state(own["random"])


def precision_of(accelerator: Accelerator) -> str:
    """bf16 or float32."""
    return "bf16" if accelerator.mixed_precision == "bf16" else "float32"


def _random_state() -> dict[str, Any]:
    """Of the generators that training draws from: torch's, on every device. (Order and augmentation draw from their own.)"""
    state: dict[str, Any] = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    if torch.backends.mps.is_available():
        state["mps"] = torch.mps.get_rng_state()
    return state


def _set_random_state(state: dict[str, Any]) -> None:
    torch.set_rng_state(state["cpu"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])
    if "mps" in state and torch.backends.mps.is_available():
        torch.mps.set_rng_state(state["mps"])


def check_folder(folder: Path, settings: dict[str, Any], resume: bool, overwrite: bool) -> bool:
    """Whether a checkpoint in the run's folder is to be gone on with.

    Raises:
        WrongUse: the folder holds another run and neither resume nor overwrite was asked for, or resuming was asked for with
            settings that would change the run or where there is a best model only, or what is to be overwritten is the model to
            start from.
    """
    last, best, file = folder / LAST, folder / BEST, folder / SETTINGS
    if not any(path.exists() for path in (last, best, file, folder / LOG)):
        return False
    if overwrite:
        source = settings["training"]["pretrained_path"]
        if source and os.path.realpath(source) in map(os.path.realpath, (last, best)):
            raise WrongUse(f"{source} would be removed by the run that starts from it: name another --output_dir.")
        return False
    if not resume:
        raise WrongUse(
            f"{folder} holds another run: go on with it (--resume), replace it (--overwrite), or name another --output_dir."
        )
    if not last.is_file() and best.exists():  # a new run would remove it
        raise WrongUse(
            f"{folder} holds {best.name}, but no {last.name} to go on from: start from that model (--pretrained_path {best} with "
            "another --output_dir), or replace it (--overwrite)."
        )
    if file.is_file():
        _check_settings(settings, _saved_settings(file), file)
    return last.is_file()


def begin(folder: Path, settings: dict[str, Any]) -> None:
    """Makes the folder a new run's: checkpoints of another run go, so that none of them is taken for this one's."""
    for name in (LAST, BEST, SPLIT_LIST):
        (folder / name).unlink(missing_ok=True)
    with written_whole(folder / SETTINGS) as file:
        file.write(yaml.safe_dump(settings, sort_keys=False, allow_unicode=True, width=120).encode())


def _saved_settings(file: Path) -> dict[str, dict[str, Any]]:
    """What `begin` saved, by room.

    Raises:
        Problem: it is damaged.
    """
    try:
        saved = yaml.safe_load(file.read_text("utf-8"))
    except (yaml.YAMLError, ValueError, AttributeError, LookupError, RecursionError):
        saved = None
    if not isinstance(saved, dict) or not all(isinstance(room, dict) for room in saved.values()):
        raise Problem(f"{file} is damaged, so that this run cannot be gone on with: start anew with --overwrite.")
    return saved


def _check_settings(now: dict[str, Any], then: dict[str, Any], file: Path) -> None:
    free = MAY_CHANGE | ({"training.epochs"} if now["training"]["schedule"] != "cosine" else set())
    told = {room: then.get(room, {}) for room in now}  # a setting that it does not name is younger than the run
    different = [
        f"{room}.{name} was {told[room][name]} and is {value}"
        for room, values in now.items()
        for name, value in values.items()
        if told[room].get(name, value) != value and f"{room}.{name}" not in free
    ]
    if different:
        raise WrongUse(
            f"a resumed run needs the settings it began with ({file}), but {'; '.join(different)}: "
            f"repeat them with --config {file}, or start anew with --overwrite."
        )
