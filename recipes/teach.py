"""Lets a large captioner teach a small one: writes captions of its own for the training pictures, beside those of people.

    python recipes/teach.py --annotations captions_en.json --images images --teacher runs/large/best_model.pt --output taught.json
    python recipes/box.py --annotations taught.json --images images

What the larger one says is plainer and more alike than what people say, and so easier to learn (Y. Kim and A. Rush,
*Sequence-Level Knowledge Distillation*, EMNLP 2016). Captions of val and test stay those of people alone.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from showtell.captioning.options import CaptioningOptions
from showtell.captioning.run import caption_pictures
from showtell.errors import Problem
from showtell.files import written_whole
from showtell.search import SearchOptions


@dataclass(frozen=True)
class TeachOptions:
    """Adds a captioner's own captions to those of the training pictures."""

    annotations: Path
    """Captions by people, as Karpathy's JSON."""
    images: Path
    """The pictures."""
    teacher: Path
    """The captioner, trained on these very pictures, perhaps."""
    output: Path
    """The annotations with both; beside them lies what the teacher said, with which a run that was stopped goes on."""
    captions: int = 3
    """How many of the teacher's captions of each picture: its likeliest."""
    name: str = ""
    """What the annotations call the teacher, for a model card; by default what it calls itself."""


def main(options: TeachOptions) -> None:
    annotations: dict[str, Any] = json.loads(options.annotations.read_bytes())
    learnt_from = [picture for picture in annotations["images"] if picture["split"] == "train"]
    said_at = options.output.with_suffix(".jsonl")
    status = caption_pictures(
        CaptioningOptions(
            image=tuple(str(options.images / picture["filename"]) for picture in learnt_from),
            model=options.teacher,
            output=said_at,
        ),
        SearchOptions(beam_size=max(5, options.captions), n_best=options.captions),
    )
    if status:
        raise Problem("the teacher could not caption all pictures: they are named above.")
    records = [json.loads(line) for line in said_at.read_text("utf-8").split("\n") if line]
    said = {Path(record["image"]).name: [each["caption"] for each in record["candidates"]] for record in records}
    for picture in learnt_from:
        picture["sentences"] += [{"raw": caption} for caption in said[picture["filename"]]]
    annotations["taught"] = f"{options.captions} captions each by {options.name or records[0]['model']}"
    with written_whole(options.output) as file:
        file.write(json.dumps(annotations, ensure_ascii=False).encode())
    print(f"{len(learnt_from):,} pictures have {options.captions} captions more each: {options.output}.")


if __name__ == "__main__":
    try:
        main(tyro.cli(TeachOptions, config=(tyro.conf.OmitArgPrefixes,)))
    except Problem as problem:
        sys.exit(f"recipes/teach.py: {problem}")
