"""What a small captioner costs on this machine, as a user of the command meets it. Needs no torch.

    python -m benchmarks.box --images images --models box runs/box/float32 runs/box/int8

For each model: seconds from the command to the first caption, memory at its peak with eight pictures at once, and pictures a
second from disk to captions, in turns with the first model's encoder alone. Cold seconds, where the system's cache of files may
be emptied.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import numpy as np

from showtell.captioning.options import CaptioningOptions
from showtell.captioning.run import caption_pictures
from showtell.model.captioner import Captioner
from showtell.model.exported import ExportedCaptioner
from showtell.pictures import pixels_of
from showtell.search import SearchOptions

DROP = Path("/proc/sys/vm/drop_caches")
PEAK = r"""
import re, sys
from pathlib import Path
from showtell.cli import main
status = main(["caption", *sys.argv[1:]])
print(re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())[1], file=sys.stderr)
sys.exit(status)
"""
"""Captions, then tells its own largest memory in KiB; getrusage would count what its caller had."""


def first_caption(model: str, picture: Path, turns: int, cold: bool) -> float | None:
    """Median seconds of a command that captions one picture; None where a cold start cannot be had."""
    taken = []
    for _ in range(turns):
        if cold:
            try:
                subprocess.run(["sync"], check=True)
                DROP.write_text("3")
            except OSError:
                return None
        begin = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "showtell", "caption", str(picture), "--model", model], check=True, capture_output=True
        )
        taken.append(time.perf_counter() - begin)
    return median(taken)


def peak(model: str, pictures: Sequence[Path]) -> float:
    """MiB of a process that captions these at once; on Linux."""
    command = [sys.executable, "-c", PEAK, *map(str, pictures), "--model", model, "--batch_size", str(len(pictures))]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return int(done.stderr.split()[-1]) / 1024


def encoder_alone(model: str, pictures: Sequence[Path]) -> Callable[[], object]:
    """The encoder on pixels that lie in memory, 32 pictures at a time."""
    captioner = Captioner.from_pretrained(model)
    assert isinstance(captioner, ExportedCaptioner)
    pixels = np.stack([pixels_of(each, captioner.pictures) for each in pictures])
    return lambda: [captioner.encoder(pixels[first : first + 32]) for first in range(0, len(pixels), 32)]


def captioning(model: str, pictures: Sequence[Path]) -> Callable[[], object]:
    options = CaptioningOptions(tuple(map(str, pictures)), model=Path(model), quiet=True)
    return lambda: caption_pictures(options, SearchOptions())


def in_turns(ways: Sequence[Callable[[], object]], turns: int, clock: Callable[[], float]) -> list[list[float]]:
    """Seconds of each way, a turn each; the first turn, which loads what others find loaded, does not count."""
    taken: list[list[float]] = [[] for _ in ways]
    for turn in range(turns + 1):
        for seconds, way in zip(taken, ways, strict=True):
            begin = clock()
            with contextlib.redirect_stdout(io.StringIO()):
                way()
            if turn:
                seconds.append(clock() - begin)
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--models", nargs="+", default=["box"])
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--processor_time", action="store_true")
    options = parser.parse_args()
    pictures = sorted(options.images.glob("*.jpg"))[: options.pictures]
    clock = time.process_time if options.processor_time else time.perf_counter
    ways = [encoder_alone(options.models[0], pictures), *(captioning(model, pictures) for model in options.models)]
    alone, *captioned = in_turns(ways, options.turns, clock)
    print(f"{len(pictures)} pictures; {options.models[0]}'s encoder alone: {len(pictures) / median(alone):.1f} pictures a second")
    for model, seconds in zip(options.models, captioned, strict=True):
        ratios = sorted(each / bare for each, bare in zip(seconds, alone, strict=True))
        warm, cold = (first_caption(model, pictures[0], options.turns, cold) for cold in (False, True))
        told = {
            "model": model,
            "pictures a second": round(len(pictures) / median(seconds), 1),
            "times the encoder alone": [round(ratio, 2) for ratio in ratios],
            "first caption, s": round(warm or 0, 2),
            "cold, s": cold and round(cold, 2),
            "peak, MiB": round(peak(model, pictures[:8])),
        }
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
