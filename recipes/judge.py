"""Holds a captioner of the built-in scenes against the scenes themselves: what it says, and where it looks.

python recipes/judge.py --model runs/demo/model/best_model.pt --data runs/demo/data
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import tyro
from tqdm import tqdm

from showtell import Captioner
from showtell.data.options import DataOptions
from showtell.data.readers import read_records
from showtell.data.scenes import SceneScores, evaluate_scenes, read_scenes
from showtell.data.splits import split
from showtell.errors import Problem
from showtell.search import SearchOptions


@dataclass(frozen=True)
class JudgeOptions:
    """Scores a captioner of the built-in scenes by what is in the pictures."""

    model: Path
    """The model."""
    data: Path = Path("data/scenes")
    """Folder of the scenes."""
    splits: tuple[str, ...] = ("test", "test_new")
    """The splits to score; test_new has combinations of shape and colour that training never showed."""
    beam_size: int = 5
    """Beginnings that beam search keeps."""
    batch_size: int = 50
    """Pictures captioned together."""


def judge_split(captioner: Captioner, options: JudgeOptions, name: str) -> SceneScores:
    """Captions a split and counts what is true."""
    records, scenes = split(read_records(DataOptions(data=options.data)), name, "splits"), read_scenes(options.data, name)
    search = SearchOptions(beam_size=options.beam_size)
    captions = []
    for first in tqdm(range(0, len(records), options.batch_size), name, unit="batch", leave=False):
        some = records[first : first + options.batch_size]
        captions += captioner.caption([record.path for record in some], search)
    return evaluate_scenes(
        [caption.words for caption in captions],
        [scenes[int(record.image_id)] for record in records],
        [caption.attention for caption in captions],
    )


def main(options: JudgeOptions) -> None:
    captioner = Captioner.from_pretrained(options.model)
    for name in options.splits:
        print(f"{name}:\n{judge_split(captioner, options, name)}\n")


if __name__ == "__main__":
    try:
        main(tyro.cli(JudgeOptions, config=(tyro.conf.OmitArgPrefixes,)))
    except Problem as problem:
        sys.exit(f"recipes/judge.py: {problem}")
