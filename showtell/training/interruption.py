"""Ctrl-C and SIGTERM: finish the step, save, leave."""

from __future__ import annotations

import atexit
import multiprocessing
import signal
import threading
from types import FrameType, TracebackType
from typing import Any

from showtell.errors import Problem


class Interrupted(Problem):
    """The run was asked to stop, and has saved."""

    status = 130


def leave_signals_to_the_main_process(worker: int) -> None:
    """What a process that opens pictures does first. Terminals and batch systems signal it too, but the step needs its pictures.

    It leaves when the main process tells it to, or is no more, which a DataLoader's processes look for every few seconds.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


@atexit.register
def end_workers() -> None:
    """Ends what a program that failed has left of them; multiprocessing would try by SIGTERM, and wait for ever."""
    left = [process for process in multiprocessing.active_children() if process.daemon]
    if left and hasattr(signal, "SIGCHLD"):
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch would complain of each
    for process in left:
        process.kill()


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
