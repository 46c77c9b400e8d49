"""The run's log: every number to `log.jsonl` and to TensorBoard, some of them to the screen."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from torch import Tensor

from showtell.files import written_whole

LOG = "log.jsonl"
"""In a run's folder."""


class Log:
    """Writes what happened, a JSON object a line, and the same numbers for TensorBoard.

    The losses of steps stay on the device until `flush`, so that the device is not waited for at every step.

    Args:
        folder: of the run.
        step, epoch: where the run goes on; lines of later steps and epochs are dropped, since they will be written again.
        writes: False in all processes but the first.
    """

    def __init__(self, folder: Path, step: int, epoch: int, writes: bool = True) -> None:
        self.path, self.at, self.writes = folder / LOG, (step, epoch), writes
        self.waiting: list[tuple[int, Tensor, dict[str, float]]] = []
        self.board: Any = None

    def begin(self) -> None:
        """Makes the folder's log this run's; nothing is written before."""
        if not self.writes:
            return
        from torch.utils.tensorboard import SummaryWriter

        self.path.parent.mkdir(parents=True, exist_ok=True)
        kept = [line for line in self._lines() if _is_before(line, *self.at)]
        with written_whole(self.path) as file:
            file.write("".join(kept).encode())
        self.board = SummaryWriter(str(self.path.with_name("tensorboard")), purge_step=self.at[0])

    def _lines(self) -> list[str]:
        """Whole lines only: a kill may have left half of one at the end."""
        if not self.path.is_file():
            return []
        text = self.path.read_text("utf-8", errors="replace")
        return [line for line in text.splitlines(keepends=True) if line.endswith("\n")]

    def step(self, step: int, loss: Tensor, **numbers: float) -> None:
        """A training step's loss, which may still be on its way."""
        self.waiting.append((step, loss, numbers))

    def flush(self) -> float | None:
        """Writes the steps that wait; returns the last of their losses that is not finite, or None."""
        broken = None
        for step, loss, numbers in self.waiting:
            value = float(loss)
            self.event("step", step, loss=value, **numbers)
            if value != value or value in (float("inf"), float("-inf")):
                broken = value
        self.waiting.clear()
        return broken

    def event(self, kind: str, step: int, **numbers: Any) -> None:
        """One line."""
        if not self.writes:
            return
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"event": kind, "step": step, **numbers}, ensure_ascii=False) + "\n")
        for name, value in numbers.items():
            if isinstance(value, int | float):
                self.board.add_scalar(f"{kind}/{name}", value, step)

    def close(self) -> None:
        self.flush()
        if self.board:
            self.board.close()


def _is_before(line: str, step: int, epoch: int) -> bool:
    """Whether it is an event from before this step and epoch; not where it is damaged."""
    try:
        event = json.loads(line)
        return bool(event["step"] < step and event.get("epoch", 0) <= epoch)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return False


def say(text: str, quiet: bool = False) -> None:
    """A line on the screen; progress bars and words go to standard error, so that standard output stays for results."""
    if not quiet:
        print(text, file=sys.stderr, flush=True)
