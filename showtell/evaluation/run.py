"""An evaluation from settings to scores: captions made or read, matched with their references, scored, written, shown."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

import showtell
from showtell.captioning.options import CaptioningOptions
from showtell.captioning.provenance import load_provenance, provenance_path
from showtell.data.options import DataOptions
from showtell.data.readers import caption_files, read_records
from showtell.data.records import Record
from showtell.data.splits import belongs
from showtell.errors import Problem, WrongUse, disk_sentences, printable
from showtell.evaluation.matching import Matched, choose_split, match, named, references_hash
from showtell.evaluation.options import EvaluationOptions
from showtell.evaluation.predictions import Prediction, read_predictions
from showtell.evaluation.results import CAPTIONS, PICTURES, SCORES, forget, is_ours, save_captions, save_pictures, save_scores
from showtell.evaluation.table import score_table
from showtell.metrics import MetricOptions, Scores, score
from showtell.metrics.signature import reference_counts
from showtell.metrics.tokenisers import writes_without_spaces
from showtell.search import SearchOptions

ALL_DONE, SOME_LEFT_OUT = 0, 1


def evaluate(options: EvaluationOptions, data: DataOptions, metrics: MetricOptions, search: SearchOptions) -> int:
    """Scores a model on a split, or captions that some program wrote, and writes everything to `output_dir`.

    Returns:
        The exit status: 0 all pictures of the split were scored, 1 some were left out.

    Raises:
        WrongUse: nothing is named; the folder holds other scores; captions and references are not of the same pictures.
        Problem: data, model or predictions cannot be read.
    """
    if options.model is None and options.predictions is None:
        raise WrongUse("Nothing to score: name a model with --model, or captions with --predictions.")
    _check_output(options, data)
    records = read_records(data, need_pictures=options.model is not None)
    wanted, split = choose_split(records, options.split, data.val_split)
    if options.model is not None:
        if split is None:
            _say(
                f"Warning: the data have no splits, so all {len(wanted):,} pictures are scored, also those that the model may "
                "have been trained on: --split val --split_list RUN/split_list.json takes those that its training left out.",
                False,
            )
        predictions, source = _captioned(options, wanted, search, data.workers), options.output_dir / CAPTIONS
    else:
        assert options.predictions is not None
        predictions, source = read_predictions(options.predictions), options.predictions
    matched = match(predictions, records, wanted, source)
    _check(matched, wanted, options, source)

    if metrics.tokens in ("ptb", "words") and writes_without_spaces(matched.records[0].captions[0]):
        _say(
            f"Warning: the references have no spaces between words, as tokens {metrics.tokens} need: try --tokens characters.",
            False,
        )
    with disk_sentences(options.output_dir):
        options.output_dir.mkdir(parents=True, exist_ok=True)
    _say(f"Scoring {len(matched.captions):,} captions on {', '.join(metrics.metrics)} ...", options.quiet)
    origin = _origin(options, search)
    training = [caption for record in records if belongs(record, data.train_split) for caption in record.captions]
    place = f"{_data_name(data)}/{split or 'all'}#{references_hash(matched.records)[:8]}"
    scores = score(
        matched.captions, [record.captions for record in matched.records], tokens=metrics.tokens, metrics=metrics.metrics,
        training=training or None, protocol={"data": place, "search": _search_name(origin["search"])},
        java_seconds=60 * metrics.java_minutes,
    )  # fmt: skip
    if options.predictions is not None:
        provenance_path(options.output_dir / CAPTIONS).unlink(missing_ok=True)  # of another evaluation's captions
        forget(options.output_dir)
        save_captions(options.output_dir, matched.records, matched.captions)
    save_pictures(options.output_dir, matched.records, matched.captions, scores)
    protocol = _protocol(data, split, matched, metrics, origin, scores)
    save_scores(options.output_dir, scores, protocol, {} if training else {"novel": "the data have no train split"})
    _show(scores, matched, options)
    return SOME_LEFT_OUT if matched.missing or matched.unknown else ALL_DONE


def _check_output(options: EvaluationOptions, data: DataOptions) -> None:
    """See that nothing is replaced unasked, and never a file that is to be read.

    Raises:
        WrongUse: something would be.
    """
    folder = options.output_dir
    written = [folder / SCORES, folder / CAPTIONS, folder / PICTURES]
    for read in (options.predictions, data.split_list, *caption_files(data)):
        if read is not None and os.path.realpath(read) in map(os.path.realpath, written):
            raise WrongUse(f"{read} would be replaced by what is written to {folder}: name another --output_dir.")
    if options.model is not None:
        written.remove(folder / CAPTIONS)  # they are gone on with, or refused, when captioning looks at them
        if provenance_path(folder / CAPTIONS).exists() and is_ours(folder / PICTURES):
            written.remove(folder / PICTURES)  # of an evaluation that did not come to its end
    there = next((path for path in written if path.exists()), None)
    if there and not options.overwrite:
        raise WrongUse(
            f"{folder} holds {there.name} already: name another --output_dir, or replace what is there by --overwrite."
        )


def _captioned(options: EvaluationOptions, wanted: Sequence[Record], search: SearchOptions, workers: int) -> list[Prediction]:
    """Captions the pictures, going on with what lies in the folder; those that cannot be read are named and have no caption."""
    from showtell.captioning.run import caption_pictures
    from showtell.model.hub import find_model

    assert options.model is not None
    find_model(options.model)  # before anything goes
    if options.overwrite:
        forget(options.output_dir)
    captions = options.output_dir / CAPTIONS
    asked = CaptioningOptions(
        image=tuple(str(record.path) for record in wanted), model=options.model, output=captions, overwrite=options.overwrite,
        batch_size=options.batch_size, workers=workers, device=options.device, quiet=options.quiet,
    )  # fmt: skip
    with contextlib.redirect_stdout(io.StringIO()):  # captions go to the file; standard output is for the scores
        status = caption_pictures(asked, search)
    if status not in (ALL_DONE, SOME_LEFT_OUT):
        raise Problem(f"None of the {len(wanted):,} pictures could be read: look at the messages above.")
    return read_predictions(captions)


def _check(matched: Matched, wanted: Sequence[Record], options: EvaluationOptions, source: Path) -> None:
    """See that captions and references are of the same pictures, as far as is asked for."""
    if not matched.captions:
        example = named([str(record.image_id) for record in wanted])
        raise WrongUse(
            f"No caption of {source} is of a picture that is to be scored ({example}): name the right references with "
            "--annotations, and their split with --split."
        )
    if options.partial or options.model is not None:
        return
    if matched.unknown:
        raise WrongUse(
            f"{source} has captions of {len(matched.unknown):,} pictures that the references do not have "
            f"({named(matched.unknown)}): name the right references, or score what both have with --partial."
        )
    if matched.missing:
        raise WrongUse(
            f"{source} lacks captions of {len(matched.missing):,} of {len(wanted):,} pictures ({named(matched.missing)}): add "
            "them, name the split that was captioned (--split, --split_list), or score what is there with --partial."
        )


# -------------------------------------------------------------------------------------------------------------- protocol


def _origin(options: EvaluationOptions, search: SearchOptions) -> dict[str, Any]:
    """What made the captions, as far as it is known: file, model and search."""
    if options.model is not None:
        made_with = load_provenance(options.output_dir / CAPTIONS)
        return {"predictions": None, "model": made_with and made_with["model"], "search": asdict(search)}
    assert options.predictions is not None
    made_with = load_provenance(options.predictions)  # showtell's own captions tell
    regular = options.predictions.is_file()  # a pipe has been read, and is not there a second time
    sha256 = hashlib.sha256(options.predictions.read_bytes()).hexdigest() if regular else None
    file = {"name": options.predictions.name, "sha256": sha256}
    return {"predictions": file, "model": made_with and made_with["model"], "search": made_with and made_with["search"]}


def _data_name(data: DataOptions) -> str:
    named = os.path.abspath(data.annotations or data.data)  # noqa: PTH100  (a link keeps its name)
    return Path(named).name.removesuffix(".gz")


def _search_name(search: dict[str, Any] | None) -> str | None:
    if search is None:
        return None
    name = f"beam{search['beam_size']}" if search["search"] == "beam" else str(search["search"])
    usual = asdict(SearchOptions()) | {key: search[key] for key in ("search", "beam_size", "n_best")}
    others = [key for key, value in search.items() if json.dumps(value) != json.dumps(usual.get(key))]
    return ",".join([name, *(f"{key}={search[key]}" for key in others)])


def _protocol(
    data: DataOptions, split: str | None, matched: Matched, metrics: MetricOptions, origin: dict[str, Any], scores: Scores
) -> dict[str, Any]:
    """All that somebody needs to know who wants to compare these scores with others."""
    numbers = [len(record.captions) for record in matched.records]
    versions = {"showtell": showtell.__version__, "python": platform.python_version(), "numpy": np.__version__}
    if any(name in scores and scores[name].value is not None for name in ("METEOR", "SPICE")):
        versions["pycocoevalcap"] = metadata.version("pycocoevalcap")
    return {
        "data": _data_name(data),
        "split": split,
        "split_list": data.split_list and data.split_list.name,
        "pictures": len(numbers),
        "references": sum(numbers),
        "references_per_picture": reference_counts(numbers),
        "references_sha256": references_hash(matched.records),
        "tokens": metrics.tokens,
        "document_frequencies": "references",
        "left_out": {
            "without_caption": len(matched.missing), "without_references": len(matched.unknown),
            "of_other_splits": matched.elsewhere, "said_twice": matched.repeated,
        },
        **origin,
        "versions": versions,
    }  # fmt: skip


# ---------------------------------------------------------------------------------------------------------------- screen


def _say(sentence: str, quiet: bool) -> None:
    if not quiet:
        print(printable(sentence), file=sys.stderr, flush=True)


def _show(scores: Scores, matched: Matched, options: EvaluationOptions) -> None:
    if scores.diversity.warning:
        _say(f"Warning: {scores.diversity.warning}", False)
    for count, what in (
        (len(matched.missing), "pictures of the split have no caption and were left out"),
        (len(matched.unknown), "captions are of pictures that the references do not have and were left out"),
        (matched.elsewhere, "captions are of other splits' pictures and were left out"),
        (matched.repeated, "captions stood twice"),
        (sum(not caption.strip() for caption in matched.captions), "captions are empty"),
    ):
        if count:
            _say(f"{count:,} {what}.", options.quiet)
    if not options.quiet:
        print(score_table(scores))
        print(f"Captions, scores of each picture and the protocol are in {options.output_dir}/.", file=sys.stderr)
