"""`showtell COMMAND ...`: finds the command, hands each room its options, and turns what goes wrong into a sentence.

Nothing heavy is imported before a command needs it, so that `showtell --help` answers at once and without torch.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from showtell import __version__
from showtell.errors import NOTHING_TO_FINETUNE, Problem, WrongUse, missing_extra, printable

INTERRUPTED = 130
TRAIN_PACKAGES = ("torch", "torchvision", "accelerate", "safetensors", "tensorboard")


class Call(NamedTuple):
    """How a command was called."""

    arguments: list[str]
    """What follows the command."""
    prog: str
    """How the user named it: `showtell train`, or `train.py`."""
    config: object | None
    """The class `Config` that a root script handed over."""


class Command(NamedTuple):
    """A command of `showtell`."""

    line: str
    """What it does, for `showtell --help`."""
    run: Callable[[Call], int]
    """Does it, and gives the exit status."""


# ------------------------------------------------------------------------------------------------------------- commands


def _train(call: Call) -> int:
    from showtell.settings import TrainSettings, fill

    settings = fill(TrainSettings(), call.arguments, prog=call.prog, config=call.config)
    from showtell.training.run import train

    return train(settings.plan()).status


def _finetune(call: Call) -> int:
    from showtell.settings import FinetuneSettings, fill

    settings = fill(FinetuneSettings(), call.arguments, prog=call.prog, config=call.config)  # --help needs no model
    from showtell.model.hub import load_model

    if settings.training.pretrained_path is None:
        raise WrongUse(NOTHING_TO_FINETUNE)
    artefact = load_model(settings.training.pretrained_path)
    words = artefact.vocabulary
    chosen = {"tokenizer": words.tokenizer, "min_frequency": words.min_frequency, "max_words": words.max_words}
    saved = {"vocabulary": {name: value for name, value in chosen.items() if value is not None}}
    defaults = FinetuneSettings().over(
        artefact.encoder_options, artefact.decoder_options, artefact.pictures, artefact.training.get("settings", {}) | saved
    )
    settings = fill(defaults, call.arguments, prog=call.prog, config=call.config)
    from showtell.training.run import finetune

    return finetune(settings.plan(), settings.finetuning).status


def _caption(call: Call) -> int:
    from showtell.settings import CaptionSettings, fill

    settings = fill(CaptionSettings(), call.arguments, prog=call.prog, config=call.config)
    options = settings.captioning
    if options.model is None and options.language is None and call.config is not None:
        trained = _trained_here(call)  # `showtell caption` itself picks up nothing that merely lies in the current folder
        options = replace(options, model=trained if trained.is_file() else None)
    from showtell.captioning.run import caption_pictures

    return caption_pictures(options, settings.search)


def _trained_here(call: Call) -> Path:
    """Where the best model of the training that `config.py` describes comes to lie."""
    from showtell.training.options import TrainingOptions

    return Path(getattr(call.config, "CHECKPOINT_DIR", TrainingOptions.output_dir)) / "best_model.pt"


def _export(call: Call) -> int:
    from showtell.settings import ExportSettings, fill

    options = fill(ExportSettings(), call.arguments, prog=call.prog, config=call.config).export
    if options.checkpoint is None:
        trained = _trained_here(call)
        if not trained.is_file():
            raise WrongUse(f"No model: {trained} is not there; train one (showtell train), or name one with --checkpoint.")
        options = replace(options, checkpoint=trained)
    from showtell.model.export import export

    export(options)
    return 0


def _evaluate(call: Call) -> int:
    from showtell.settings import EvaluateSettings, fill

    settings = fill(EvaluateSettings(), call.arguments, prog=call.prog, config=call.config)
    from showtell.evaluation.run import evaluate

    return evaluate(settings.evaluation, settings.data, settings.metrics, settings.search)


def _compare(call: Call) -> int:
    from showtell.settings import CompareSettings, fill

    settings = fill(CompareSettings(), call.arguments, prog=call.prog, config=call.config)
    from showtell.evaluation.comparing import compare

    return compare(settings.systems, settings.comparison)


def _coco2014(call: Call) -> int:
    from showtell.data.options import Coco2014Options
    from showtell.settings import fill, tree_of

    tree = tree_of(COMMANDS["data coco2014"].line, coco2014=Coco2014Options())
    options = fill(tree, call.arguments, prog=call.prog).coco2014
    from showtell.data.coco2014 import download

    download(options.data, options.base_url, quiet=options.quiet)
    if not options.quiet:
        print(f"COCO 2014 is in {options.data}: showtell train --data {options.data} trains on it.")
    return 0


def _scenes(call: Call) -> int:
    from showtell.data.scenes.options import ScenesOptions
    from showtell.settings import fill, tree_of

    tree = tree_of(COMMANDS["data scenes"].line, scenes=ScenesOptions())
    options = fill(tree, call.arguments, prog=call.prog).scenes
    from showtell.data.scenes import write_scenes

    folder = write_scenes(options)
    if not options.quiet:
        print(f"The scenes are in {folder}: showtell train --data {folder} trains on them.")
    return 0


def _features(call: Call) -> int:
    from showtell.settings import FeaturesSettings, fill

    settings = fill(FeaturesSettings(), call.arguments, prog=call.prog, config=call.config)
    from showtell.training.precompute import precompute_features

    precompute_features(settings.plan())
    return 0


COMMANDS = {
    "train": Command("Train a captioner on captioned pictures.", _train),
    "finetune": Command("Train a model on: other pictures, other words, another language.", _finetune),
    "export": Command("Export a trained model for others: one file, or a folder for the Hugging Face Hub.", _export),
    "caption": Command("Caption pictures, and show where the model looked for every word.", _caption),
    "evaluate": Command("Score a model on captioned pictures, or captions that some program wrote.", _evaluate),
    "compare": Command("Compare two systems that were evaluated on the same pictures.", _compare),
    "data coco2014": Command("Download MS COCO 2014: 123,287 pictures with captions, some 20 GB.", _coco2014),
    "data scenes": Command("Draw the built-in captioned set, to try everything on.", _scenes),
    "data features": Command("Compute the feature cache of a training run ahead of it.", _features),
}


# ------------------------------------------------------------------------------------------------------------- the front


def main(arguments: Sequence[str] | None = None, config: object | None = None) -> int:
    """Runs a command and gives the exit status: 0 done, 1 some inputs skipped, 2 wrong use, 3 not possible, 130 interrupted.

    Args:
        arguments: the command and what follows it; by default the command line's.
        config: the class `Config` of an editable `config.py`, for the root scripts.
    """
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started us
            setattr(sys, name, Path(os.devnull).open("r" if name == "stdin" else "w", encoding="utf-8"))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a console that lacks a caption's letters shows ? and goes on
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        status = _run(words, config)
        sys.stdout.flush()
        return status
    except Problem as problem:
        return _complain(str(problem), problem.status)
    except KeyboardInterrupt:
        return _complain("Interrupted.", INTERRUPTED)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in TRAIN_PACKAGES:
            raise
        return _complain(str(missing_extra(f"showtell {_command(words)}", "train")), Problem.status)
    except BrokenPipeError:  # whoever read our output has left, `head` for instance: nobody to talk to
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Problem.status
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        what = "The disk is full" if full else error.strerror or str(error)
        advice = "make room, then run this again" if full else "see that it can be read and written, or name another place"
        return _complain(f"{what}: {error.filename}; {advice}." if error.filename else f"{what}; {advice}.", Problem.status)


def _complain(sentence: str, status: int) -> int:
    shown = "\n".join(map(printable, sentence.split("\n")))  # names in it may be a stranger's
    print(f"showtell: {shown}", file=sys.stderr)
    return status


def _run(words: list[str], config: object | None) -> int:
    if "--version" in words:
        print(f"showtell {__version__}")
        return 0
    if name := _command(words):
        prog = f"showtell {name}" if config is None else Path(sys.argv[0]).name
        return COMMANDS[name].run(Call(words[len(name.split()) :], prog, config))
    group = f"{words[0]} " if words and any(name.startswith(f"{words[0]} ") for name in COMMANDS) else ""
    asked = words[1 if group else 0 :]
    if not asked or asked[0] in ("-h", "--help"):
        print(_help(group))
        return 0 if asked else WrongUse.status
    raise WrongUse(f"There is no command {' '.join(words[:2]) if group else words[0]}{_nearest(words)}; see showtell --help.")


def _command(words: list[str]) -> str | None:
    """The command that is called: `data scenes` is two words long."""
    return next((name for length in (2, 1) if (name := " ".join(words[:length])) in COMMANDS), None)


def _nearest(words: list[str]) -> str:
    import difflib

    close = difflib.get_close_matches(words[0], COMMANDS, n=1) or difflib.get_close_matches(" ".join(words[:2]), COMMANDS, n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def _help(group: str) -> str:
    """The commands whose names begin with `group`."""
    shown = {name: command.line for name, command in COMMANDS.items() if name.startswith(group)}
    width = max(map(len, shown))
    return "\n".join(
        [
            f"usage: showtell {group}COMMAND [OPTIONS]",
            "",
            "A picture goes in; a sentence comes out, and for every word a map of where the model looked.",
            "",
            *(f"  {name:{width}}  {line}" for name, line in shown.items()),
            "",
            "showtell COMMAND --help explains every setting of a command; showtell --version tells the version.",
        ]
    )
