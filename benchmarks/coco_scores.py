"""Corpus BLEU and CIDEr-D of a captions file by pycocoevalcap, the public scorer (it needs Java for its PTB tokeniser).

    python -m benchmarks.coco_scores --captions captions.jsonl --annotations captions_en.json --split val

The captions are what `showtell caption --output captions.jsonl` wrote; pictures are matched by file name.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import tyro
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

from showtell.data.options import DataOptions
from showtell.data.readers import read_records
from showtell.data.splits import split


@dataclass(frozen=True)
class ScoreOptions:
    """Scores captions by pycocoevalcap."""

    captions: Path
    """JSONL that `showtell caption` wrote."""
    annotations: Path
    """References, in any format that the readers know."""
    split: str = "val"
    """The split whose pictures were captioned; every one of them must be there."""


def main(options: ScoreOptions) -> None:
    lines = [json.loads(line) for line in options.captions.read_text("utf-8").splitlines()]
    said = {Path(line["image"]).name: line["caption"] for line in lines if "caption" in line}
    records = split(read_records(DataOptions(annotations=options.annotations), need_pictures=False), options.split)
    references = {record.path.name: [{"caption": caption} for caption in record.captions] for record in records}
    hypotheses = {name: [{"caption": said[name]}] for name in references}
    tokenizer = PTBTokenizer()
    gts, res = tokenizer.tokenize(references), tokenizer.tokenize(hypotheses)
    bleu, _ = Bleu(4).compute_score(gts, res, verbose=0)
    cider, _ = Cider().compute_score(gts, res)
    print(f"{len(res):,} pictures, {sum(map(len, gts.values())):,} references, PTB tokens, pycocoevalcap; x 100:")
    print("  ".join(f"BLEU-{n} {100 * score:.1f}" for n, score in enumerate(bleu, 1)) + f"  CIDEr-D {100 * cider:.1f}")


if __name__ == "__main__":
    main(tyro.cli(ScoreOptions, config=(tyro.conf.OmitArgPrefixes,)))
