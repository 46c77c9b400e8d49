"""Makes the captioner that comes with the package, in one language: trains, exports and judges it, and keeps it if it is better.

python recipes/box.py --annotations captions_en.json --images images --language en

Flickr8k is expected (Hodosh et al. 2013; the other languages: Li et al. 2016, Alsayed et al. 2023, Elliott et al. 2016). What
training and judging leave lies under runs/box; what is better than what showtell/box holds, by CIDEr-D on val, replaces it.
"""

from __future__ import annotations

import hashlib
import json
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import onnx
import tyro
from onnx import ModelProto, numpy_helper

from showtell.errors import Problem
from showtell.evaluation.results import CAPTIONS as CAPTIONS_FILE
from showtell.evaluation.results import Result, load_result
from showtell.model.artefact import Artefact, load_artefact
from showtell.model.card import Licences
from showtell.model.config import CLASSES, CONFIG, GRAPHS
from showtell.model.exported import ENCODER
from showtell.model.folder import replaced_whole
from showtell.model.graphs import save_graphs, trace
from showtell.model.hub import BOX_FOLDER
from showtell.model.quantization import CALIBRATION_PICTURES, calibration_pixels, dynamic, quantised
from showtell.model.regained import origins
from showtell.training.models import trainings

HERE = Path(__file__).resolve().parent
LARGEST = 8 << 20
"""Bytes that start and step of a language may have."""
LARGEST_BOX = 32 << 20
"""Bytes that all files of the box may have."""
POOR = 0.2
"""CIDEr-D below which a caption shares next to nothing with what five people said of its picture."""
WRONG_GUESSES = 3 / 5
"""Share of what is marked as a guess that is to be poor."""
TERMS = "trained on Flickr8k, for research"
CAPTIONS = {
    "en": "five English captions each",
    "de": "German captions (Multi30k task 2, Elliott et al. 2016), written by people independently of the English ones",
    "zh": "Chinese captions by native writers (flickr8kcn, Li et al. 2016)",
    "ar": "Arabic captions (Flickr8k-Rev, Alsayed et al. 2023)",
}
"""Of each language, for its card."""
SMALL_BATCHES = "--batch_size 16 --learning_rate 7e-4"
FLAGS = {
    "en": f"--epochs 8 {SMALL_BATCHES} --embed_size 512 --attention_dim 512 --grid_scale 2",
    "de": "--epochs 10 --tied_embedding",
    "zh": f"--epochs 6 {SMALL_BATCHES} --tokenizer character --word_query",
    "ar": f"--epochs 9 {SMALL_BATCHES}",
}
"""Of a language's training, above recipes/box.yaml."""


@dataclass(frozen=True)
class BoxOptions:
    """One language of the captioner that comes with the package."""

    annotations: Path
    """Flickr8k's captions in that language, as Karpathy's JSON."""
    images: Path
    """Its pictures."""
    language: Literal["en", "de", "zh", "ar"] = "en"
    """Of the captions."""
    model: Path | None = None
    """A model that was trained so already; without it, it is trained first."""
    work: Path = Path("runs/box")
    """Folder for the run, the candidate and its scores."""
    box: Path = BOX_FOLDER
    """The box whose captioner of that language is replaced, if the candidate is better."""


@dataclass(frozen=True)
class Guesses:
    """Which captions are marked as guesses, and how well that meets the poor ones of val."""

    below: float
    """Confidence."""
    share: float
    """Of val's captions that are marked."""
    precision: float
    """Of the marked ones, the share that is poor."""
    recall: float
    """Of the poor ones, the share that is marked."""


def main(options: BoxOptions) -> None:
    run_folder, candidate = options.work / options.language, options.work / "candidate"
    model = options.model or train(options, run_folder)
    folder = export(load_artefact(model), candidate, options)
    scores = run_folder / "scores"
    run(
        f"showtell evaluate --model {folder.as_posix()} {_data(options)} --split val --metrics {_metrics(options.language)} "
        f"--output_dir {scores.as_posix()} --overwrite"
    )
    result = load_result(scores)
    guesses = find_guesses(result)
    describe(folder, result, guesses)
    print(
        f"Guesses: confidence below {guesses.below:.2f}, {guesses.share:.0%} of val; {guesses.precision:.0%} of them are poor "
        f"(CIDEr-D below {POOR}), and {guesses.recall:.0%} of the poor are among them."
    )
    keep_if_better(candidate, options.box, options.language)


def run(command: str) -> None:
    """Shows a command and runs it; ends the recipe where it fails."""
    print(f"\n$ {command}", flush=True)
    status = subprocess.run(
        [sys.executable, "-m", *shlex.split(command)],
    ).returncode
    if status:
        sys.exit(status)


def train(options: BoxOptions, folder: Path) -> Path:
    """The best model of a training run in that folder, which goes on where an earlier one stopped."""
    resumed = " --resume" if (folder / "last_model.pt").is_file() else ""
    run(
        f"showtell train --config {(HERE / 'box.yaml').as_posix()} {_data(options)} --output_dir {folder.as_posix()} "
        f"--vocab {folder.as_posix()}/vocab.pkl {FLAGS.get(options.language, '')}{resumed}"
    )
    return folder / "best_model.pt"


def _data(options: BoxOptions) -> str:
    return f"--annotations {shlex.quote(options.annotations.as_posix())} --images {shlex.quote(options.images.as_posix())}"


def _metrics(language: str) -> str:
    if language == "en":
        return "bleu rouge cider meteor"
    return f"bleu rouge cider --tokens {'characters' if language == 'zh' else 'words'}"


# ---------------------------------------------------------------------------------------------------------------- export


def export(artefact: Artefact, candidate: Path, options: BoxOptions) -> Path:
    """The candidate's graphs in int8. An encoder that the box has already, from the same weights, is taken from there.

    Raises:
        Problem: start and step are too large.
    """
    language = options.language
    about = {"data": f"Flickr8k ({language})", "settings": artefact.training.get("settings", {})}
    artefact = replace(artefact, training=artefact.training | about, scores={})
    encoder, decoder = artefact.build()
    models = trace(encoder, decoder)
    places, weights = origins(encoder, decoder, models), weights_hash(models[ENCODER])
    if weights in [_read(config).get("encoder_weights") for config in options.box.glob(f"*/{CONFIG}")]:
        models = {file: onnx.load(options.box / ENCODER) if file == ENCODER else dynamic(models[file]) for file in GRAPHS}
    else:
        models = quantised(models, calibration_pixels(options.images, artefact.pictures))
    shutil.rmtree(candidate, ignore_errors=True)
    folder = candidate / language
    models = {file: _raw(model) for file, model in models.items()}
    save_graphs(artefact, models, "int8", folder, Licences("apache-2.0", "research"))
    for file in (ENCODER, CLASSES):  # languages share them
        (folder / file).replace(candidate / file)
    _change(folder / CONFIG, origins=places, encoder_weights=weights)
    sizes = {file: (folder / file).stat().st_size for file in GRAPHS if file != ENCODER}
    if sum(sizes.values()) > LARGEST:
        raise Problem(f"start and step have {sum(sizes.values()):,} bytes: choose smaller sizes in recipes/box.yaml.")
    for file in sorted(candidate.rglob("*")):
        if file.is_file():
            print(f"{file}  {file.stat().st_size:,} bytes")
    return folder


def weights_hash(graph: ModelProto) -> str:
    """SHA-256 of the weights of a graph, in the order of their names."""
    weights = sorted((weight.name, numpy_helper.to_array(weight).tobytes()) for weight in graph.graph.initializer)
    return hashlib.sha256(b"".join(content for _, content in weights)).hexdigest()


def _raw(model: ModelProto) -> ModelProto:
    """The graph with its weights as raw bytes, as `showtell.model.onnx_file.initializers` reads them."""
    for weight in model.graph.initializer:
        weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight), weight.name))
    return model


# --------------------------------------------------------------------------------------------------------------- judging


def find_guesses(result: Result) -> Guesses:
    """The highest confidence below which at least three of five of val's captions are poor."""
    poor = {picture["image"]: picture["CIDEr-D"] < POOR for picture in result.pictures.values()}
    records = [json.loads(line) for line in result.path.with_name(CAPTIONS_FILE).read_text("utf-8").split("\n") if line]
    ranked = sorted((record["confidence"], poor[Path(record["image"]).name]) for record in records)
    marked = wrong = best = 0
    wrong_in_best = 0
    for marked, (_, is_poor) in enumerate(ranked, 1):
        wrong += is_poor
        if wrong >= WRONG_GUESSES * marked:
            best, wrong_in_best = marked, wrong
    below = ranked[min(best, len(ranked) - 1)][0]
    all_poor = max(1, sum(is_poor for _, is_poor in ranked))
    return Guesses(round(below, 4), best / len(ranked), wrong_in_best / max(1, best), wrong_in_best / all_poor)


def describe(folder: Path, result: Result, guesses: Guesses) -> None:
    """Writes scores, guesses and terms into the candidate's config.json, and its card."""
    measured = {
        name: {"value": score["value"], "signature": score["signature"]}
        for name, score in result.scores.items()
        if score["value"] is not None
    }
    note = f"CIDEr-D {100 * measured['CIDEr-D']['value']:.1f} on Flickr8k val; {TERMS}"
    _change(folder / CONFIG, scores=measured, guess_below=guesses.below, guesses=vars(guesses), note=note)
    text = card(folder, measured, guesses, len(result.pictures))
    (folder / "README.md").write_text(text, encoding="utf-8")


def _read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_bytes())
    return content


def _change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(_read(path) | values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def card(folder: Path, measured: dict[str, Any], guesses: Guesses, judged: int) -> str:
    """The model card of a language, from the template beside this file."""
    config = _read(folder / CONFIG)
    signatures = {name: score["signature"].replace("|", "\\|") for name, score in measured.items()}
    rows = [f"| {name} | {100 * score['value']:.1f} | `{signatures[name]}` |" for name, score in measured.items()]
    training = config["training"]
    return (HERE / "box_card.md").read_text("utf-8").format(
        language=folder.name, judged=f"{judged:,}",
        scores="\n".join(["| score | x 100 | signature |", "|---|---|---|", *rows]),
        below=f"{guesses.below:.2f}", share=f"{guesses.share:.0%}", precision=f"{guesses.precision:.0%}",
        recall=f"{guesses.recall:.0%}", poor=POOR,
        pictures=f"{training['training_pictures']:,}", captions=CAPTIONS[folder.name],
        trainings="; then ".join(trainings(training)), calibration=CALIBRATION_PICTURES,
        megabytes=f"{sum(file.stat().st_size for file in [folder.parent / ENCODER, *folder.glob('*.onnx')]) / 1e6:.1f}",
    )  # fmt: skip


# --------------------------------------------------------------------------------------------------------------- keeping


def keep_if_better(candidate: Path, box: Path, language: str) -> None:
    """Puts the candidate into the box, unless what is there scores as well or better.

    Raises:
        Problem: it does, or the box has other languages whose encoder is another, or it would become too large.
    """
    now, there = candidate / language, box / language
    if (there / CONFIG).is_file():
        old, new = (_read(folder / CONFIG)["scores"]["CIDEr-D"] for folder in (there, now))
        if new["value"] <= old["value"]:
            raise Problem(
                f"the candidate's CIDEr-D is {100 * new['value']:.2f}, that of the box {100 * old['value']:.2f}: the box stays."
            )
    others = [path.parent.name for path in box.glob(f"*/{CONFIG}") if path.parent.name != language]
    if others and _sha256(box / ENCODER) != _sha256(candidate / ENCODER):
        raise Problem(f"the box has another encoder, which {', '.join(others)} need: make those with this one too.")
    new_size = sum(_size(folder) for folder in [candidate, *(box / other for other in others)])
    if new_size > LARGEST_BOX:
        raise Problem(
            f"the box would have {new_size:,} bytes, and may have {LARGEST_BOX:,}: choose smaller sizes in recipes/box.yaml."
        )
    box.mkdir(parents=True, exist_ok=True)
    for file in (ENCODER, CLASSES):
        shutil.copy2(candidate / file, box / file)
    with replaced_whole(there) as new_folder:
        shutil.copytree(now, new_folder, dirs_exist_ok=True)
    print(f"The box speaks {language} anew: {there}.")


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    try:
        main(tyro.cli(BoxOptions, config=(tyro.conf.OmitArgPrefixes,)))
    except Problem as problem:
        sys.exit(f"recipes/box.py: {problem}")
