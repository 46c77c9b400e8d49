"""A captioner for the tests that says what it sees in no time: how bright a picture is. And the pictures that it sees."""

from __future__ import annotations

import os
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import exp
from pathlib import Path
from typing import Any

import numpy as np

from showtell.pictures import PictureOptions
from showtell.search import SearchOptions
from showtell.vocabulary import SPECIALS, Vocabulary

Caption = Callable[..., int]
"""The fixture `caption`: the inputs, options as keywords, gives the exit status."""

WHOLE = [
    f"photos/{name}" for name in ("a_001.png", "c_003.png", "d_004.jpg", "e_005.png", "f_006.png", "sub/a_001.png", "sub/z.png")
]
BROKEN = "photos/b_002.jpg"
"""Pictures that the fixture `here` makes."""

WORDS = ("black", "dark", "grey", "bright", "white")


@dataclass(frozen=True)
class FakeCaption:
    """With the fields of showtell.model.captioner.Caption, which a test compares."""

    text: str
    words: tuple[str, ...]
    log_probabilities: tuple[float, ...]
    attention: Any = field(compare=False)
    ended: bool = True
    candidates: tuple[FakeCaption, ...] = ()
    guess: bool | None = None
    labels: tuple[tuple[str, float], ...] = ()
    languages: dict[str, FakeCaption] = field(default_factory=dict)
    model: str = field(default="", compare=False)

    @property
    def confidence(self) -> float:
        return exp(sum(self.log_probabilities) / len(self.log_probabilities))


class FakeCaptioner:
    """Counts the pictures that it captions in `seen`, by batches; raises `error` in its batch number `error_at`."""

    pictures = PictureOptions(picture_size=16)
    vocabulary = Vocabulary((*SPECIALS, "a", *WORDS))
    seen: list[int] = []
    error: BaseException | None = None
    error_at = 0

    def __init__(self, name: str) -> None:
        self.name = self.described = name

    @classmethod
    def from_pretrained(cls, path: Path, device: str = "auto") -> FakeCaptioner:
        return cls(path.name)

    def knows(self, word: str) -> bool:
        return word in self.vocabulary.words

    def caption_pixels(self, pixels: np.ndarray, options: SearchOptions) -> list[FakeCaption]:
        assert pixels.dtype == np.uint8 and pixels.shape[1:] == (16, 16, 3)
        if self.error is not None and len(self.seen) == self.error_at:
            raise self.error
        self.seen.append(len(pixels))
        return [self._caption(float(each.mean()), options.n_best) for each in pixels]

    def _caption(self, brightness: float, n_best: int) -> FakeCaption:
        candidates = []
        for rank in range(n_best):
            word = WORDS[(int(brightness / 52) + rank) % len(WORDS)]
            maps = np.full((2, 4, 4), 1 / 16, np.float32)
            log_probabilities = (-0.1 - rank, -brightness / 255, -1 / 3)
            candidates.append(FakeCaption(f"A “{word}” thing", ("a", word), log_probabilities, maps, model=self.name))
        return replace(candidates[0], candidates=tuple(candidates))


def fake_module() -> types.ModuleType:
    """Stands in for showtell.model.captioner, and keeps torch away."""
    module = types.ModuleType("showtell.model.captioner")
    module.Captioner = type("Captioner", (FakeCaptioner,), {"seen": []})  # type: ignore[attr-defined]
    return module


if __name__ == "__main__":  # `showtell caption` with the fake
    sys.modules["showtell.model.captioner"] = fake_module()
    from showtell.cli import main

    status = main(["caption", *sys.argv[1:]])
    sys.stdout.flush()
    os._exit(status)
