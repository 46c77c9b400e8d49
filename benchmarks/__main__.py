"""Ours against the way that others do it, in turns: seconds, memory, and how much of the machine that is.

    python -m benchmarks                    # all cases (`make bench`), some twenty minutes on two cores
    python -m benchmarks step beam          # some; --help lists them
    python -m benchmarks growth             # how cost grows with batch, caption length, vocabulary and beams, as a plot

The table goes to the screen, and with the machine's limits as JSON into --output_dir; what earlier calls found there stays in it.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch

from benchmarks import machine
from benchmarks.cases import CASES
from benchmarks.growth import draw, grow
from benchmarks.machine import Limits
from benchmarks.memory import peak
from benchmarks.table import Row, into, table
from benchmarks.timing import Case, in_turns, operations
from showtell.files import written_whole


def run(name: str, case: Case, device: torch.device, limits: Limits, turns: int, memory: bool, clock: Callable[[], float]) -> Row:
    """Times a case, and measures its memory."""
    pair = case.make(device)
    times = in_turns(pair, turns, clock)
    share = limits.share(operations(pair.ours), pair.size, min(times.ours), pair.precision)
    peaks = [peak(name, way, device.type) if memory and case.memory else None for way in ("baseline", "ours")]
    goal = case.goal if device.type == "cpu" else case.gpu_goal
    return Row(name, case.what, case.baseline, goal, device.type, times.baseline, times.ours, times.ratio, *peaks, share)


def main() -> None:
    names = [*CASES, "growth"]
    parser = argparse.ArgumentParser("python -m benchmarks", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("name", nargs="*", choices=[*names, []], help="cases; all by default")
    parser.add_argument("--turns", type=int, default=5, help="timed runs of each way; the median of their ratios counts")
    parser.add_argument("--processor_time", action="store_true", help="count it, with --threads 1, where others use the machine")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="processor threads")
    parser.add_argument(
        "--no_memory", action="store_true", help="skip the runs that measure memory, each in a process of its own"
    )
    parser.add_argument(
        "--output_dir", type=Path, default=Path("runs/bench"), help="folder for results_DEVICE.json, growth_DEVICE.json and .png"
    )
    parser.add_argument("--into", type=Path, help="Markdown file whose table is to be replaced: docs/speed.md")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    chosen = options.name or names
    clock = machine.processor_seconds if options.processor_time else time.perf_counter
    devices = [torch.device("cpu"), *([torch.device("cuda")] if torch.cuda.is_available() else [])]
    for device in devices:
        limits = machine.measure(device)
        head = machine.description(device)
        print(f"{head}: {limits.told()}", flush=True)
        results = options.output_dir / f"results_{device.type}.json"
        rows = known(results, head)
        for name in chosen:
            if name in CASES and (device.type == "cpu" or CASES[name].on_gpu) and (limits.bf16 or not CASES[name].bf16):
                rows[name] = run(name, CASES[name], device, limits, options.turns, not options.no_memory, clock)
                print(rows[name].told(), flush=True)
                save({"machine": head, "limits": asdict(limits), "cases": [asdict(row) for row in rows.values()]}, results)
        if "growth" in chosen:
            growth = grow(device)
            draw(growth, head, options.output_dir / f"growth_{device.type}.png")
            save(growth, options.output_dir / f"growth_{device.type}.json")
        if rows:
            shown = table([rows[name] for name in CASES if name in rows])
            print(f"\n{shown}\n")
            if options.into:
                into(options.into, device.type, f"{head}: {limits.told()}\n\n{shown}")


def known(path: Path, head: str) -> dict[str, Row]:
    """What earlier calls found on this machine, so that cases can be run one by one and stand in one table."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    return {case["name"]: Row(**case) for case in found["cases"]} if found["machine"] == head else {}


def save(found: object, path: Path) -> None:
    with written_whole(path) as file:
        file.write(json.dumps(found, indent=1).encode())


if __name__ == "__main__":
    main()
