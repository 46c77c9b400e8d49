"""Ctrl-C and SIGTERM: finish the step, save, leave."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

from showtell.errors import Problem


class Interrupted(Problem):
    """The run was asked to stop, and has saved."""

    status = 130


def leave_signals_to_the_main_process(worker: int) -> None:
    """What a process that opens pictures does first: Ctrl-C reaches it too, but the step to be finished needs its pictures."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # its end is the main process's to decide


class Interruption:
    """While it is entered, the first Ctrl-C or SIGTERM is only noted, in `wanted`; the second one ends the program as usual."""

    def __init__(self) -> None:
        self.wanted = False
        self.former: dict[int, Any] = {}

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():  # elsewhere Python allows no handlers
            for number in (signal.SIGINT, signal.SIGTERM):
                self.former[number] = signal.signal(number, self._note)
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.wanted = True
        self._restore()

    def _restore(self) -> None:
        while self.former:
            signal.signal(*self.former.popitem())

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._restore()
