"""What the user sees while pictures are captioned: captions on standard output, all else on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from showtell.captioning.batches import Batch, Job, Unreadable
from showtell.errors import printable

if TYPE_CHECKING:
    from showtell.model.captioner import Caption

FEW = 8
"""Pictures for which no progress bar is worth its line."""


class Screen:
    """Says what happens, and counts. Used as a context, it sums up at the end, also when something stops the run.

    Args:
        quiet: say only what was left out.
        places: what lies where when all is done, for what is written at all.
        labels: how many of a classifier's labels stand beside a caption.
    """

    def __init__(self, quiet: bool, places: dict[str, Path | None], labels: int = 0) -> None:
        self.labels = labels
        self.quiet, self._places = quiet, {what: where for what, where in places.items() if where}
        self.captioned = self.skipped = self.undrawn = self.held = 0
        self._bar: tqdm[Any] | None = None
        self._seconds = 0.0

    @contextmanager
    def progress(self, total: int | None) -> Iterator[None]:
        """While it is entered, time counts and a bar shows it. total: pictures to come; None if nobody knows."""
        shown = not self.quiet and (total is None or total > FEW)
        began = time.perf_counter()
        with tqdm(total=total, desc="captioning", unit=" pictures", disable=not shown) as self._bar:
            try:
                yield
            finally:
                self._seconds = time.perf_counter() - began

    def say(self, sentence: str) -> None:
        """On standard error, unless quiet."""
        if not self.quiet:
            tqdm.write(sentence, file=sys.stderr)

    def skip(self, sentence: str) -> None:
        """An input is left out: always said, and counted."""
        self.skipped += 1
        tqdm.write(f"Skipped: {sentence}", file=sys.stderr)

    def show(self, batch: Batch, captions: dict[Job, Caption], undrawn: list[str]) -> None:
        """A batch is done: its captions, and what of it was left out.

        Args:
            captions: of those that could be opened, in the batch's order.
            undrawn: which figures could not be drawn, and why.
        """
        for each in batch:
            if isinstance(each, Unreadable):
                self.skip(each.error)
        for sentence in undrawn:
            tqdm.write(f"Captioned, but not drawn: {sentence}", file=sys.stderr)
        self.undrawn += len(undrawn)
        if captions and not self.quiet:
            tqdm.write("\n".join(_lines(job.image, caption, self.labels) for job, caption in captions.items()), file=sys.stdout)
        self.captioned += len(captions)
        if self._bar is not None:
            self._bar.update(len(batch))

    def _summary(self, stopped: bool) -> str:
        """One sentence: how many, how fast, and where it all lies."""
        pictures = f"{self.captioned:,} picture{'' if self.captioned == 1 else 's'}"
        speed = self.captioned / max(self._seconds, 1e-9)
        told = [f"Captioned {pictures}, {speed:.3g} a second" if self.captioned else "Captioned no picture"]
        if self.held:
            told.append(f"{self.held:,} had been captioned before")
        if self.skipped:
            told.append(f"skipped {self.skipped:,}")
        if self.undrawn:
            told.append(f"{self.undrawn:,} figure{' is' if self.undrawn == 1 else 's are'} missing")
        if stopped and "captions" in self._places:
            told.append("run again, without --overwrite, it goes on from there")
        elif not stopped and (self.captioned or self.held):
            told += [f"the {what} are in {where}" for what, where in self._places.items()]
        return "; ".join(told) + "."

    def __enter__(self) -> Screen:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None or (self.captioned and not issubclass(kind, BrokenPipeError)):
            self.say(self._summary(stopped=kind is not None))


def _lines(image: str, caption: Caption, labels: int) -> str:
    """A line for each candidate and language; the first says whether it is a guess, and what the classifier sees."""
    seen = ", ".join(f"{label} {probability:.2f}" for label, probability in caption.labels[:labels])
    lines = [f"{printable(image)}: {_line(caption)}" + (f"  [{seen}]" if seen else "")]
    lines += [f"    {_line(other)}" for other in caption.candidates[1:]]
    for language, other in [*caption.languages.items()][1:]:
        lines += [f"    {language}: {_line(other)}", *(f"        {_line(each)}" for each in other.candidates[1:])]
    return "\n".join(lines)


def _line(caption: Caption) -> str:
    return f"{printable(caption.text)}  ({caption.confidence:.2f}{', a guess' if caption.guess else ''})"
