"""Whether a model says and sees the same after each way of being exported, each loaded in a process of its own.

    python -m benchmarks.round_trips --checkpoint runs/flickr8k/best_model.pt --images images --pictures 200

The checkpoint is exported in every form and precision; the first pictures of the folder are captioned by it and by each export.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from showtell.model.captioner import Caption, Captioner

FORMS = {
    "file": "--format pt",
    "file, half precision": "--format pt --half",
    "folder for the Hub": "--format hub",
    "folder for the Hub, half precision": "--format hub --half",
    "ONNX": "--format onnx",
    "ONNX, half precision": "--format onnx --half",
    "ONNX, int8": "--format onnx --quantize int8 --calibration",
}
BATCH = 20


def captions_of(model: Path, pictures: Sequence[Path]) -> list[Caption]:
    captioner = Captioner.from_pretrained(model, "cpu")
    return [
        caption for first in range(0, len(pictures), BATCH) for caption in captioner.caption([*pictures[first : first + BATCH]])
    ]


def in_a_new_process(model: Path, pictures: Sequence[Path]) -> list[Caption]:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(captions_of, model, pictures).result()


def export(checkpoint: Path, how: str, folder: Path, images: Path) -> Path:
    name = how.replace("-", "").replace(" ", "_")
    command = f"export --checkpoint {checkpoint} --output_dir {folder} --model_name {name} --quiet {how}".split()
    command += [str(images)] if how.endswith("--calibration") else []
    subprocess.run([sys.executable, "-m", "showtell", *command], check=True)
    file = folder / f"{name}.pt"
    return file if file.exists() else folder / name


def megabytes(model: Path) -> float:
    return sum(file.stat().st_size for file in ([model] if model.is_file() else model.iterdir())) / 1e6


def row(form: str, model: Path, said: Sequence[Caption], before: Sequence[Caption]) -> str:
    """A line of the table: what differs, and by how much where the words are the same."""
    same = [(now, then) for now, then in zip(said, before, strict=True) if now.words == then.words]
    bits = all(
        now.log_probabilities == then.log_probabilities and np.array_equal(now.attention, then.attention) for now, then in same
    )
    words = max(np.abs(np.subtract(now.log_probabilities, then.log_probabilities)).max() for now, then in same)
    maps = max(np.abs(now.attention - then.attention).max() for now, then in same)
    gaps = "none, bit for bit" if bits else f"{words:.1e} in a word's log-probability, {maps:.1e} in attention"
    return f"| {form} | {megabytes(model):.1f} | {len(before) - len(same)} of {len(before)} | {gaps} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--pictures", type=int, default=200)
    options = parser.parse_args()
    pictures = sorted(options.images.glob("*.jpg"))[: options.pictures]
    before = in_a_new_process(options.checkpoint, pictures)
    print("| form | MB | captions that differ | largest gap where the words are the same |\n|---|--:|--:|---|", flush=True)
    print(row("the checkpoint again", options.checkpoint, in_a_new_process(options.checkpoint, pictures), before), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for form, how in FORMS.items():
            model = export(options.checkpoint, how, Path(folder), options.images)
            print(row(form, model, in_a_new_process(model, pictures), before), flush=True)


if __name__ == "__main__":
    main()
