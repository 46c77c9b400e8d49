"""What the user sees while pictures are captioned: captions on standard output, all else on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from showtell.pictures.opening import printable

if TYPE_CHECKING:
    from showtell.model.captioner import Caption

FEW = 8
"""Pictures for which no progress bar is worth its line."""


class Screen:
    """Says what happens, and counts.

    Args:
        quiet: say only what was left out.
    """

    def __init__(self, quiet: bool) -> None:
        self.quiet = quiet
        self.captioned = self.skipped = self.held = 0
        self._bar: tqdm[Any] | None = None
        self._seconds = 0.0

    @contextmanager
    def progress(self, total: int | None) -> Iterator[None]:
        """While it is entered, time counts and a bar shows it. total: pictures to come; None if nobody knows."""
        shown = not self.quiet and (total is None or total > FEW)
        began = time.perf_counter()
        with tqdm(total=total, desc="captioning", unit="picture", disable=not shown) as self._bar:
            yield
        self._seconds = time.perf_counter() - began

    def say(self, sentence: str) -> None:
        """On standard error, unless quiet."""
        if not self.quiet:
            tqdm.write(sentence, file=sys.stderr)

    def skip(self, sentence: str) -> None:
        """An input is left out: always said, and counted."""
        self.skipped += 1
        tqdm.write(f"Skipped: {sentence}", file=sys.stderr)

    def show(self, captions: list[tuple[str, Caption]]) -> None:
        """The captions of a batch, a line each; further candidates beneath."""
        self.captioned += len(captions)
        if captions and not self.quiet:
            tqdm.write("\n".join(_lines(image, caption) for image, caption in captions), file=sys.stdout)

    def advance(self, pictures: int) -> None:
        """So many pictures are done with."""
        if self._bar is not None:
            self._bar.update(pictures)

    def summary(self, places: list[str]) -> str:
        """One sentence: how many, how fast, and where it all lies."""
        pictures = f"{self.captioned:,} picture{'' if self.captioned == 1 else 's'}"
        speed = self.captioned / max(self._seconds, 1e-9)
        told = [f"Captioned {pictures}, {speed:.3g} a second" if self.captioned else "Captioned no picture"]
        if self.held:
            told.append(f"{self.held:,} had been captioned before")
        if self.skipped:
            told.append(f"skipped {self.skipped:,}")
        return "; ".join(told) + (f"; {', '.join(places)}." if places else ".")


def _lines(image: str, caption: Caption) -> str:
    lines = [f"{printable(image)}: {caption.text}  ({caption.confidence:.2f})"]
    lines += [f"    {other.text}  ({other.confidence:.2f})" for other in caption.candidates[1:]]
    return "\n".join(lines)
