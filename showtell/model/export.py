"""A checkpoint becomes a finished model: weights, words and settings together, without the state of the training."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from showtell.errors import Problem, WrongUse, disk_sentences
from showtell.model.artefact import Artefact, read_model_file, save_artefact
from showtell.model.card import Licences
from showtell.model.config import FILES
from showtell.model.folder import save_folder
from showtell.model.hub import find_model, load_model, push_folder
from showtell.model.options import ExportOptions
from showtell.vocabulary import Vocabulary, load_vocab, save_vocab


def export(options: ExportOptions) -> Path:
    """Exports a model and says what was written: names, sizes and SHA-256.

    Returns:
        `NAME.pt`, or the folder `NAME`.

    Raises:
        WrongUse: the vocabulary named is not the model's, or the model would be replaced by what is made of it.
        Problem: the checkpoint or the scores cannot be read, nothing can be written, or the Hub refuses it.
    """
    if options.checkpoint is None:
        raise WrongUse("No model to export: name one with --checkpoint.")
    artefact = load_model(options.checkpoint)
    artefact.build(options.checkpoint)  # what cannot be used is not given away
    if options.vocab is not None:
        artefact.check_own(options.vocab, options.checkpoint)
    encoder = replace(artefact.encoder_options, encoder_weights=Path(artefact.encoder_options.encoder_weights).name)
    artefact = replace(artefact, encoder_options=encoder, training=_presentable(artefact.training))
    if options.scores:
        artefact = replace(artefact, scores=_read_scores(options.scores))
    if options.format != "pt" and os.path.realpath(_folder(options)) == os.path.realpath(find_model(options.checkpoint)):
        raise WrongUse(f"{_folder(options)} is the model that is to be exported: name another --model_name or --output_dir.")
    if options.format == "onnx":
        return _export_graphs(artefact, options)
    if options.half:
        artefact = artefact.halved()
    if options.format == "hub":
        return _export_folder(artefact, options)
    return _export_file(artefact, options)


def _export_file(artefact: Artefact, options: ExportOptions) -> Path:
    path = options.output_dir / f"{options.model_name}.pt"
    _check_place(path, options.checkpoint)
    words = vocabulary_place(path, artefact.vocabulary)
    save_artefact(artefact, path)
    save_vocab(artefact.vocabulary, words)
    if words.name != "vocab.pkl":
        _say(f"{path.with_name('vocab.pkl')} is another model's and stays as it is; this model's is {words.name}.", options)
    _report([path, words], options)
    return path


def _check_place(path: Path, checkpoint: Path | None) -> None:
    """See that a file that is to be replaced is a finished model, and not the one that is exported.

    Raises:
        WrongUse: it is something else.
    """
    if not path.exists():
        return
    try:
        finished = "checkpoint" not in read_model_file(path)
    except Problem:
        finished = False
    if not finished or os.path.realpath(path) == os.path.realpath(checkpoint or ""):
        what = "the model that is to be exported" if finished else "no finished model"
        raise WrongUse(f"{path} is there and is {what}: name another --model_name or --output_dir.")


def vocabulary_place(model: Path, vocabulary: Vocabulary) -> Path:
    """Where the vocabulary of a model file goes: `vocab.pkl` beside it, or `NAME.vocab.pkl` where another model's lies there."""
    usual = model.with_name("vocab.pkl")
    try:
        ours = not usual.exists() or load_vocab(usual).checksum == vocabulary.checksum
    except Problem:  # whatever it is, it is not ours to replace
        ours = False
    return usual if ours else model.with_name(f"{model.stem}.vocab.pkl")


def _folder(options: ExportOptions) -> Path:
    """Where a model that is a folder goes."""
    return options.output_dir / options.model_name


def _export_folder(artefact: Artefact, options: ExportOptions) -> Path:
    folder = _folder(options)
    save_folder(artefact, folder, Licences(options.license, options.data_license))
    _report([folder / name for name in FILES], options)
    if options.push_to:
        _say(f"Sent to {push_folder(folder, options.push_to)}.", options)
    return folder


def _export_graphs(artefact: Artefact, options: ExportOptions) -> Path:
    from showtell.model.graphs import check_extra, halved, save_graphs, trace  # here, since torch's exporter takes seconds

    check_extra()
    pixels = None
    if options.calibration is not None:
        from showtell.model.quantization import calibration_pixels, quantised

        pixels = calibration_pixels(options.calibration, artefact.pictures)
    models, precision = trace(*artefact.build()), "float32"
    if options.half:
        models, precision = {file: halved(model) for file, model in models.items()}, "float16"
    if pixels is not None:
        models, precision = quantised(models, pixels), "int8"
    folder = _folder(options)
    files = save_graphs(artefact, models, precision, folder, Licences(options.license, options.data_license))
    _report(files, options)
    return folder


def _presentable(training: dict[str, Any]) -> dict[str, Any]:
    """The summary of the training without folders of the machine that it ran on."""
    return training | ({"data": Path(training["data"]).name} if isinstance(training.get("data"), str) else {})


def _read_scores(path: Path) -> dict[str, Any]:
    with disk_sentences(path, "read"):
        content = path.read_bytes()
    try:
        return {
            name: {"value": score["value"], "signature": score["signature"]}
            for name, score in json.loads(content)["scores"].items()
            if score["value"] is not None
        }
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise Problem(f"{path} holds no scores: name the scores.json that showtell evaluate wrote.") from None


def _report(paths: list[Path], options: ExportOptions) -> None:
    for path in paths:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        _say(f"{path}  {path.stat().st_size:,} bytes  sha256 {digest}", options)


def _say(sentence: str, options: ExportOptions) -> None:
    if not options.quiet:
        print(sentence)
