"""Many pictures in, captions out: the pictures are opened ahead by threads, captioned in batches, and written as they come."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from showtell.captioning.batches import Batch, Job, Opened, batches, open_job
from showtell.captioning.figures import FigureNames, draw_figure
from showtell.captioning.inputs import STANDARD_INPUT, find_pictures
from showtell.captioning.options import CaptioningOptions
from showtell.captioning.output import NoOutput, output_for
from showtell.captioning.records import captioned, skipped
from showtell.captioning.screen import Screen
from showtell.captioning.threads import Threads
from showtell.errors import Problem, WrongUse
from showtell.search import SearchOptions

if TYPE_CHECKING:
    from showtell.model.captioner import Caption, Captioner

ALL_DONE, SOME_SKIPPED, NOTHING_READABLE = 0, 1, 3


def caption_pictures(options: CaptioningOptions, search: SearchOptions) -> int:
    """Captions the pictures that the options name, to the screen and to where the options say.

    A picture that cannot be read is named, skipped and counted. What an output file holds already is not done again; a run that
    is killed or interrupted leaves a file that the next one goes on with.

    Returns:
        The exit status: 0 all done, perhaps by an earlier run; 1 some inputs were skipped; 3 nothing could be read.

    Raises:
        WrongUse: no model or no picture is named, or the output holds what was made otherwise.
        Problem: the model cannot be read, or the output cannot be written.
    """
    if options.model is None:
        raise WrongUse("No model: name one with --model.")
    if not options.model.exists():
        raise Problem(f"There is no model at {options.model}: train one (showtell train), or name another with --model.")
    if not options.image:
        raise WrongUse('No picture: name some, or folders, patterns such as "holiday/*.jpg", or - for names on standard input.')
    screen = Screen(options.quiet)
    with output_for(options, search) as output:
        jobs: Iterable[Job] = _jobs(options, output, screen)
        if STANDARD_INPUT not in options.image:  # else they are taken as they come, for there may be no end to them
            jobs = list(jobs)
        if jobs:
            _caption_all(jobs, options, search, output, screen)
        output.finish()
    screen.say(screen.summary(_places(options, screen)))
    if not screen.captioned and not screen.held:
        return NOTHING_READABLE
    return SOME_SKIPPED if screen.skipped else ALL_DONE


def _jobs(options: CaptioningOptions, output: NoOutput, screen: Screen) -> Iterator[Job]:
    """The pictures that are still to be captioned.

    Raises:
        WrongUse: a picture cannot stand in the output; where names come on standard input, it is skipped instead.
    """
    figures = FigureNames(options.attention) if options.attention else None
    for image in find_pictures(options.image, _standard_input(), screen.skip):
        if refusal := output.refusal(image):
            if STANDARD_INPUT not in options.image:
                raise WrongUse(refusal)
            screen.skip(refusal)
            continue
        figure = figures.path(image) if figures else None
        if output.holds(image) and (figure is None or figure.exists()):
            screen.held += 1
        else:
            yield Job(image, figure)


def _standard_input() -> Iterator[str]:
    """Its lines; a name of bytes that are no text stays what it is on the disk."""
    if hasattr(sys.stdin, "reconfigure"):
        sys.stdin.reconfigure(errors="surrogateescape")
    yield from sys.stdin


def _caption_all(
    jobs: Iterable[Job], options: CaptioningOptions, search: SearchOptions, output: NoOutput, screen: Screen
) -> None:
    from showtell.model.captioner import Captioner  # here, since it brings torch, which takes seconds

    assert options.model is not None
    captioner = Captioner.from_pretrained(options.model, options.device)
    screen.say(f"{captioner.name} speaks ({options.model}).")
    output.begin()
    with Threads(options.workers) as threads, screen.progress(len(jobs) if isinstance(jobs, list) else None):
        opened = threads.map(partial(open_job, options=captioner.pictures), jobs, ahead=2 * options.batch_size)
        for batch in batches(opened, options.batch_size):
            _caption_batch(batch, captioner, search, threads, output, screen)


def _caption_batch(
    batch: Batch, captioner: Captioner, search: SearchOptions, threads: Threads, output: NoOutput, screen: Screen
) -> None:
    readable = [each for each in batch if isinstance(each, Opened)]
    captions = _captions(readable, captioner, search)
    said = list(zip(readable, captions, strict=True))
    drawn = [each for each in said if each[0].job.figure is not None]  # before records: whoever has a record has its figure
    refused = [*threads.map(lambda each: draw_figure(*each, captioner.name), drawn, ahead=len(batch))]
    found = iter(captions)
    output.write(
        captioned(each.job.image, next(found), captioner.name)
        if isinstance(each, Opened)
        else skipped(each.job.image, each.error)
        for each in batch
    )
    for sentence in [*(each.error for each in batch if not isinstance(each, Opened)), *filter(None, refused)]:
        screen.skip(sentence)
    screen.show([(each.job.image, caption) for each, caption in said])
    screen.advance(len(batch))


def _captions(pictures: list[Opened], captioner: Captioner, search: SearchOptions) -> list[Caption]:
    if not pictures:
        return []
    try:
        return captioner.caption_pixels(np.stack([each.pixels for each in pictures]), search)
    except RuntimeError as error:  # torch's own kinds of it are not imported here
        if "out of memory" in str(error) or "allocate memory" in str(error):
            raise Problem(
                f"{len(pictures)} pictures at once do not fit into memory: lower --batch_size or --beam_size."
            ) from error
        raise


def _places(options: CaptioningOptions, screen: Screen) -> list[str]:
    places = {"the captions are in": options.output, "the figures are in": options.attention}
    return [f"{what} {where}" for what, where in places.items() if where is not None and (screen.captioned or screen.held)]
