"""Many pictures in, captions out: the pictures are opened ahead by threads, captioned in batches, and written as they come."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from showtell.captioning.batches import Batch, Job, Opened, Unreadable, batches, open_job
from showtell.captioning.figures import FigureNames, draw_figure, figure_paths, figures_of
from showtell.captioning.inputs import STANDARD_INPUT, find_pictures
from showtell.captioning.options import CaptioningOptions
from showtell.captioning.output import NoOutput, output_for
from showtell.captioning.records import Record, captioned, skipped
from showtell.captioning.screen import Screen
from showtell.captioning.threads import Threads
from showtell.errors import WrongUse, memory_sentence
from showtell.model.hub import BOX, find_in_box, find_model, is_box
from showtell.pictures import PictureOptions
from showtell.search import SearchOptions

if TYPE_CHECKING:
    from showtell.model.captioner import Caption, Captioner

ALL_DONE, SOME_SKIPPED, NOTHING_READABLE = 0, 1, 3


def caption_pictures(options: CaptioningOptions, search: SearchOptions) -> int:
    """Captions the pictures that the options name, to the screen and to where the options say.

    A picture that cannot be read is named, skipped and counted. What an output file holds already is not done again; a run that
    is killed or interrupted leaves a file that the next one goes on with.

    Returns:
        The exit status: 0 all done, perhaps by an earlier run; 1 some inputs were skipped, or figures not drawn; 3 nothing could
        be read.

    Raises:
        WrongUse: no picture is named, the box does not speak the language, or the output holds what was made otherwise.
        Problem: the model cannot be read, or the output cannot be written.
    """
    model = _model(options)
    options = replace(options, model=model)
    places = {"captions": options.output, "figures": options.attention}
    with Screen(options.quiet, places, options.labels) as screen, output_for(options, search) as output:
        jobs, total = _jobs(options, output, screen), None
        if STANDARD_INPUT not in options.image:  # else they are taken as they come, for there may be no end to them
            known = list(jobs)
            jobs, total = iter(known), len(known)
        if first := next(jobs, None):
            from showtell.model.captioner import Captioner  # here, since it brings Pillow and onnxruntime, or torch

            captioner = Captioner.from_pretrained(model, options.device)
            most = options.max_pixels or min(
                captioner.pictures.max_pixels, PictureOptions.max_pixels
            )  # a stranger's may be endless
            pictures = replace(captioner.pictures, max_pixels=most)
            screen.say(f"Captions by {captioner.described}{'' if is_box(model) else f', from {model}'}.")
            if unknown := [word for word in search.forbid if not captioner.knows(word)]:
                screen.say(f"{captioner.name} has no word {' or '.join(unknown)} to be forbidden: see how its captions write it.")
            output.begin()
            with Threads(options.workers) as threads, screen.progress(total):
                opened = threads.map(partial(open_job, options=pictures), chain([first], jobs), 2 * options.batch_size)
                for batch in batches(opened, options.batch_size):
                    captions = _captions(batch, captioner, search)
                    undrawn = _figures(batch, captions, threads)  # before records: who has one has a figure
                    output.write(_record(each, captions, captioner.described, options.labels) for each in batch)
                    screen.show(batch, captions, undrawn)
        output.finish()
    if not screen.captioned and not screen.held:
        return NOTHING_READABLE
    return SOME_SKIPPED if screen.skipped or screen.undrawn else ALL_DONE


def _model(options: CaptioningOptions) -> Path:
    """The model that speaks: the one that is named, else the box, in the languages that are asked for."""
    if not options.image:
        raise WrongUse('No picture: name some, or folders, patterns such as "holiday/*.jpg", or - for names on standard input.')
    model = options.model or Path(BOX)
    if options.language is not None:
        model = Path(BOX) / options.language
    find_in_box(model) if is_box(model) else find_model(model)
    return model


def _jobs(options: CaptioningOptions, output: NoOutput, screen: Screen) -> Iterator[Job]:
    """The pictures that are still to be captioned.

    Raises:
        WrongUse: a picture cannot stand in the output; where names come on standard input, it is skipped instead.
    """
    figures = FigureNames(options.attention) if options.attention else None
    languages = find_in_box(options.model) if options.model and is_box(options.model) else ()
    for image in find_pictures(options.image, _standard_input(), screen.skip):
        if refusal := output.refusal(image):
            if STANDARD_INPUT not in options.image:
                raise WrongUse(refusal)
            screen.skip(refusal)
            continue
        figure = figures.path(image) if figures else None
        if output.holds(image) and (figure is None or all(path.exists() for path in figure_paths(figure, languages))):
            screen.held += 1
        else:
            yield Job(image, figure)


def _standard_input() -> Iterator[str]:
    """Its lines; a name of bytes that are no text stays what it is on the disk."""
    if hasattr(sys.stdin, "reconfigure"):
        sys.stdin.reconfigure(errors="surrogateescape")
    yield from sys.stdin


def _captions(batch: Batch, captioner: Captioner, search: SearchOptions) -> dict[Job, Caption]:
    """What the model says of those that could be opened."""
    readable = [each for each in batch if isinstance(each, Opened)]
    if not readable:
        return {}
    with memory_sentence(f"{len(readable)} pictures at once do not fit into memory: lower batch_size or beam_size."):
        captions = captioner.caption_pixels(np.stack([each.pixels for each in readable]), search)  # N x S x S x 3
    return {each.job: caption for each, caption in zip(readable, captions, strict=True)}


def _figures(batch: Batch, captions: dict[Job, Caption], threads: Threads) -> list[str]:
    """Draws the figures that are asked for, by threads, and says which could not be drawn."""
    wanted = [
        (each, caption, path)
        for each in batch
        if isinstance(each, Opened) and each.job.figure
        for path, caption in figures_of(each.job.figure, captions[each.job]).items()
    ]
    told = threads.map(lambda figure: draw_figure(*figure), wanted, len(batch))
    return [sentence for sentence in told if sentence]


def _record(picture: Opened | Unreadable, captions: dict[Job, Caption], model: str, labels: int) -> Record:
    if isinstance(picture, Unreadable):
        return skipped(picture.job.image, picture.error)
    return captioned(picture.job.image, captions[picture.job], model, labels)
