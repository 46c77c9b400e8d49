"""Seconds of the scores in Python, beside the public scorer's.

    python -m benchmarks.metrics --annotations annotations/captions_val2017.json

A set of COCO val2014's size, 40,504 pictures with five references each, is made up of these captions and scored from text to
numbers. Then each picture's first caption is scored against its others, and CIDEr-D timed in turns with pycocoevalcap's, on the
same tokens: with the references prepared once, as a training reward needs it, and cold.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
from pycocoevalcap.cider.cider import Cider

from showtell.data.options import DataOptions
from showtell.data.readers import read_records
from showtell.metrics import CiderD, cider_d, score, tokenise

PICTURES, REFERENCES = 40_504, 5


def seconds(do: Callable[[], object]) -> float:
    start = time.perf_counter()
    do()
    return time.perf_counter() - start


def against_the_public_scorer(captions: list[str], references: list[list[str]], turns: int) -> None:
    """Both take captions as text, tokenised; ours is to split them too."""
    said = [" ".join(tokenise(caption)) for caption in captions]
    known = [[" ".join(tokenise(reference)) for reference in each] for each in references]
    gts, res = dict(enumerate(known)), {i: [caption] for i, caption in enumerate(said)}
    split = [[reference.split() for reference in each] for each in known]
    prepared = CiderD(split)
    ways: dict[str, Callable[[], object]] = {
        "pycocoevalcap": lambda: Cider().compute_score(gts, res),
        "prepared": lambda: prepared.score([caption.split() for caption in said]),
        "cold": lambda: cider_d([c.split() for c in said], [[r.split() for r in each] for each in known]),
    }
    times: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(turns):
        for way, do in ways.items():
            times[way].append(seconds(do))
    theirs, apart = Cider().compute_score(gts, res)[1], prepared.score([caption.split() for caption in said])
    print(f"CIDEr-D of {len(said):,} captions, {sum(map(len, known)):,} references, median of {turns} turns")
    for way in ways:
        ratios = sorted(public / own for public, own in zip(times["pycocoevalcap"], times[way], strict=True))
        fast = f"{median(ratios):.1f} times as fast ({ratios[0]:.1f} .. {ratios[-1]:.1f})"
        print(f"  {1000 * median(times[way]):8.1f} ms  {way:14} {fast}")
    print(f"  largest difference of a picture {np.abs(theirs - apart).max():.1e}")


def at_full_size(captions: list[str]) -> None:
    """From text to scores; each caption is a whole one of the file, picked at random."""
    random = np.random.default_rng(0)
    picked = random.integers(len(captions), size=(PICTURES, REFERENCES + 1)).tolist()
    said = [captions[row[0]] for row in picked]
    known = [[captions[i] for i in row[1:]] for row in picked]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    took = seconds(lambda: score(said, known))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"{PICTURES:,} pictures, {REFERENCES} references each: BLEU-1..4, ROUGE-L, CIDEr-D and the tokens")
    print(f"  {took:.1f} s, at most {peak / 1024:.0f} MiB in memory ({before / 1024:.0f} MiB before)")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--annotations", type=Path, required=True, help="COCO's captions_val2017.json, say")
    parser.add_argument("--pictures", type=int, nargs="+", default=[1000, 5000], help="sizes to compare with the public scorer")
    parser.add_argument("--turns", type=int, default=5)
    options = parser.parse_args()
    records = read_records(DataOptions(annotations=options.annotations), need_pictures=False)
    records = [record for record in records if len(record.captions) > 1]
    at_full_size([caption for record in records for caption in record.captions])  # first, for the memory's sake
    for number in options.pictures:
        chosen = records[:number]
        against_the_public_scorer([r.captions[0] for r in chosen], [list(r.captions[1:]) for r in chosen], options.turns)


if __name__ == "__main__":
    main()
